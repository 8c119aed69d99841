package model

import (
	"fmt"
	"slices"
	"strings"

	"eaft/model/weights"
)

// Spec describes a decoder: its sizes and which of the variants that the
// families differ in it has. It comes from config.json or from a GGUF header
// and has been checked against neither's weights; Load does that.
type Spec struct {
	Family       string // llama, mistral, qwen2 or qwen3: transformers' model_type
	Vocab        int    // V
	Hidden       int    // D
	Intermediate int    // F
	Layers       int
	Heads        int // query heads
	KVHeads      int // key and value heads, a divisor of Heads
	HeadDim      int
	Eps          float32 // of every RMSNorm
	RoPE         RoPE
	Windows      []int // of each layer's attention, 0: unlimited
	TiedHead     bool  // the head is the embedding
	QKVBias      bool  // biases of q_proj, k_proj, v_proj
	OBias        bool  // bias of o_proj
	MLPBias      bool  // biases of gate_proj, up_proj, down_proj
	QKNorm       bool  // RMSNorm of every query and key head before RoPE
	MaxPositions int   // the length the model was made for; scorer and train refuse longer rows
}

// Bounds of what a config may ask for. They are far above any known dense
// decoder and keep products of two of them within an int.
const (
	maxLayers = 1 << 12
	maxSize   = 1 << 24
)

// SpecOf reads the architecture of a checkpoint. Errors name the file, the
// field, its value and what is supported.
func SpecOf(c *weights.Checkpoint) (Spec, error) {
	var s Spec
	var err error
	if md := c.GGUF(); md != nil {
		s, err = ggufSpec(c, md)
	} else {
		s, err = hfSpec(c.Ref(), c.Config())
	}
	if err != nil {
		return Spec{}, err
	}
	if err := s.check(); err != nil {
		return Spec{}, fmt.Errorf("%s: %w", c.Ref(), err)
	}
	return s, nil
}

// check says what is impossible about a Spec.
func (s *Spec) check() error {
	for _, f := range []struct {
		name     string
		v, limit int
	}{
		{"vocabulary size", s.Vocab, maxSize},
		{"hidden size", s.Hidden, maxSize},
		{"intermediate size", s.Intermediate, maxSize},
		{"number of layers", s.Layers, maxLayers},
		{"number of attention heads", s.Heads, 1 << 14},
		{"number of key/value heads", s.KVHeads, 1 << 14},
		{"head dimension", s.HeadDim, 1 << 12},
	} {
		if f.v < 1 || f.v > f.limit {
			return fmt.Errorf("the %s is %d; it must lie between 1 and %d", f.name, f.v, f.limit)
		}
	}
	if s.Heads%s.KVHeads != 0 {
		return fmt.Errorf("%d attention heads cannot share %d key/value heads evenly", s.Heads, s.KVHeads)
	}
	if s.HeadDim%2 != 0 {
		return fmt.Errorf("the head dimension is %d; rotary positions need an even one", s.HeadDim)
	}
	if !(s.Eps > 0 && s.Eps < 1) {
		return fmt.Errorf("the RMSNorm epsilon is %g; it must lie between 0 and 1", s.Eps)
	}
	if len(s.Windows) != s.Layers {
		return fmt.Errorf("attention windows are given for %d of %d layers", len(s.Windows), s.Layers)
	}
	return s.RoPE.check()
}

// window gives every layer the same attention window.
func (s *Spec) window(w int) {
	s.Windows = slices.Repeat([]int{w}, max(0, min(s.Layers, maxLayers)))
}

// kind is what a weight is: it decides precision, initial value and decay.
type kind uint8

const (
	matrix kind = iota // multiplied by, in the model's dtype
	norm               // scale of an RMSNorm
	bias
)

// tensorSpec is one weight the Spec asks for, by its Hugging Face name.
type tensorSpec struct {
	name string
	kind kind
	rows int // 1 for vectors
	cols int
}

func (t tensorSpec) shape() []int {
	if t.kind == matrix {
		return []int{t.rows, t.cols}
	}
	return []int{t.cols}
}

// Names of weights outside the blocks. All four families share them.
const (
	embedName = "model.embed_tokens.weight"
	normName  = "model.norm.weight"
	headName  = "lm_head.weight"
)

// layerName is the name of a block's weight, such as
// model.layers.3.self_attn.q_proj.weight.
func layerName(layer int, suffix string) string {
	return fmt.Sprintf("model.layers.%d.%s", layer, suffix)
}

// tensors lists every weight of the model in the order of the forward pass.
func (s *Spec) tensors() []tensorSpec {
	d, q, kv := s.Hidden, s.Heads*s.HeadDim, s.KVHeads*s.HeadDim
	ts := []tensorSpec{{embedName, matrix, s.Vocab, d}}
	for i := range s.Layers {
		linear := func(name string, n, k int, hasBias bool) {
			ts = append(ts, tensorSpec{layerName(i, name+".weight"), matrix, n, k})
			if hasBias {
				ts = append(ts, tensorSpec{layerName(i, name+".bias"), bias, 1, n})
			}
		}
		scale := func(name string, n int) {
			ts = append(ts, tensorSpec{layerName(i, name+".weight"), norm, 1, n})
		}
		scale("input_layernorm", d)
		linear("self_attn.q_proj", q, d, s.QKVBias)
		linear("self_attn.k_proj", kv, d, s.QKVBias)
		linear("self_attn.v_proj", kv, d, s.QKVBias)
		if s.QKNorm {
			scale("self_attn.q_norm", s.HeadDim)
			scale("self_attn.k_norm", s.HeadDim)
		}
		linear("self_attn.o_proj", d, q, s.OBias)
		scale("post_attention_layernorm", d)
		linear("mlp.gate_proj", s.Intermediate, d, s.MLPBias)
		linear("mlp.up_proj", s.Intermediate, d, s.MLPBias)
		linear("mlp.down_proj", d, s.Intermediate, s.MLPBias)
	}
	ts = append(ts, tensorSpec{normName, norm, 1, d})
	if !s.TiedHead {
		ts = append(ts, tensorSpec{headName, matrix, s.Vocab, d})
	}
	return ts
}

// ignorable says whether a stored tensor carries nothing the Spec lacks.
func (s *Spec) ignorable(name string) bool {
	return strings.HasSuffix(name, "rotary_emb.inv_freq") || // derived from the config, saved by old versions
		name == ropeFreqsName || // read into RoPE
		s.TiedHead && name == headName // the embedding once more, which Load compares
}
