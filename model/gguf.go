package model

import (
	"fmt"
	"math"
	"strings"

	"eaft/model/weights"
)

// ropeFreqsName is the GGUF tensor of Llama 3's frequency divisors.
const ropeFreqsName = "rope_freqs.weight"

// ggufTensors maps the suffix of a Hugging Face name within a block to GGUF's.
var ggufTensors = map[string]string{
	"input_layernorm":          "attn_norm",
	"self_attn.q_proj":         "attn_q",
	"self_attn.k_proj":         "attn_k",
	"self_attn.v_proj":         "attn_v",
	"self_attn.q_norm":         "attn_q_norm",
	"self_attn.k_norm":         "attn_k_norm",
	"self_attn.o_proj":         "attn_output",
	"post_attention_layernorm": "ffn_norm",
	"mlp.gate_proj":            "ffn_gate",
	"mlp.up_proj":              "ffn_up",
	"mlp.down_proj":            "ffn_down",
}

// ggufName translates a Hugging Face weight name to llama.cpp's:
// model.layers.3.mlp.up_proj.weight is blk.3.ffn_up.weight.
func ggufName(name string) string {
	switch name {
	case embedName:
		return "token_embd.weight"
	case normName:
		return "output_norm.weight"
	case headName:
		return "output.weight"
	}
	layer, suffix, _ := strings.Cut(strings.TrimPrefix(name, "model.layers."), ".")
	dot := strings.LastIndexByte(suffix, '.')
	return "blk." + layer + "." + ggufTensors[suffix[:dot]] + suffix[dot:]
}

// header reads a GGUF's metadata of one architecture and keeps the first error.
type header struct {
	ref, arch string
	md        *weights.Metadata
	err       error
}

func (h *header) fail(format string, args ...any) {
	if h.err == nil {
		h.err = fmt.Errorf("%s: %s", h.ref, fmt.Sprintf(format, args...))
	}
}

func (h *header) key(name string) string { return h.arch + "." + name }

// int reads an integer; def is required (-1) where it must be given.
func (h *header) int(name string, def int) int {
	v, ok := h.md.Uint(h.key(name))
	switch {
	case ok && v > maxSize*16:
		h.fail("metadata %s is %d, which is out of range", h.key(name), v)
		return 0
	case ok:
		return int(v)
	case h.md.Has(h.key(name)):
		h.fail("metadata %s is not a single integer of 0 or more, which alone is supported", h.key(name))
	case def == required:
		h.fail("metadata %s is missing", h.key(name))
	}
	return def
}

func (h *header) float(name string, def float64) float64 {
	v, ok := h.md.Float(h.key(name))
	switch {
	case ok:
		return v
	case h.md.Has(h.key(name)):
		h.fail("metadata %s is no number", h.key(name))
	}
	return def
}

// plain refuses what would make attention or the logits another function, where it
// is not said to do nothing.
func (h *header) plain() {
	for _, f := range []struct {
		name    string
		nothing float64
	}{
		{"rope.scaling.attn_factor", 1}, {"attention.scale", 0}, {"attention.clamp_kqv", 0}, {"attention.max_alibi_bias", 0},
		{"attn_logit_softcapping", 0}, {"final_logit_softcapping", 0}, {"logit_scale", 1}, {"embedding_scale", 1}, {"residual_scale", 1},
	} {
		if v := h.float(f.name, f.nothing); v != f.nothing {
			h.fail("%s is %g, which is not supported; leave it out, or use %g", h.key(f.name), v, f.nothing)
		}
	}
	if causal, ok := h.md.Bool(h.key("attention.causal")); ok && !causal {
		h.fail("%s is false: only models whose tokens see what is before them are supported", h.key("attention.causal"))
	}
}

// ggufSpec reads a GGUF header. Architecture "llama" covers Mistral too; what
// llama.cpp does not write down, the tensors that are there tell.
func ggufSpec(c *weights.Checkpoint, md *weights.Metadata) (Spec, error) {
	arch, _ := md.String("general.architecture")
	h := &header{ref: c.Ref(), arch: arch, md: md}
	if n, _ := md.Uint("split.count"); n > 1 {
		return Spec{}, fmt.Errorf("%s: split.count is %d: the file is one of several that make the model; join them with llama-gguf-split --merge", h.ref, n)
	}
	switch arch {
	case "llama", "qwen2", "qwen3":
	default:
		return Spec{}, fmt.Errorf("%s: general.architecture is %q, which is not supported; supported: llama, qwen2, qwen3", h.ref, arch)
	}
	if h.int("expert_count", 0) > 0 {
		return Spec{}, fmt.Errorf("%s: %s is set: mixtures of experts are not supported; use a dense model", h.ref, h.key("expert_count"))
	}
	s := Spec{
		Family:       arch,
		Hidden:       h.int("embedding_length", required),
		Intermediate: h.int("feed_forward_length", required),
		Layers:       h.int("block_count", required),
		Heads:        h.int("attention.head_count", required),
		Eps:          float32(h.float("attention.layer_norm_rms_epsilon", 0)),
		MaxPositions: h.int("context_length", 0),
		QKNorm:       arch == "qwen3",
	}
	s.KVHeads = h.int("attention.head_count_kv", s.Heads)
	if s.Heads > 0 {
		s.HeadDim = h.int("attention.key_length", s.Hidden/s.Heads)
	}
	if v := h.int("attention.value_length", s.HeadDim); v != s.HeadDim {
		h.fail("%s is %d and differs from the key length %d, which is not supported", h.key("attention.value_length"), v, s.HeadDim)
	}
	if v := h.int("rope.dimension_count", s.HeadDim); v != s.HeadDim {
		h.fail("%s is %d of a head's %d; only whole heads are supported", h.key("rope.dimension_count"), v, s.HeadDim)
	}
	if info, ok := c.Info(ggufName(embedName)); ok && len(info.Shape) == 2 {
		s.Vocab = info.Shape[0]
	} else {
		h.fail("tensor %s is missing or no matrix", ggufName(embedName))
	}
	present := func(suffix string) bool {
		_, ok := c.Info(ggufName(layerName(0, suffix)))
		return ok
	}
	_, untied := c.Info(ggufName(headName))
	s.TiedHead = !untied
	s.QKVBias = present("self_attn.q_proj.bias")
	s.OBias = present("self_attn.o_proj.bias")
	s.MLPBias = present("mlp.gate_proj.bias")
	window := h.int("attention.sliding_window", 0)
	if window > 0 && arch == "llama" {
		s.Family = "mistral"
	} else if window > 0 {
		h.fail("%s is %d; a sliding window is supported for the architecture llama only", h.key("attention.sliding_window"), window)
	}
	s.window(window)
	s.RoPE = h.rope(c, s.HeadDim)
	h.plain()
	return s, h.err
}

// rope reads the positions' base and scaling. Llama 3's scaling comes as one
// divisor per frequency, from which its parameters are found again.
func (h *header) rope(c *weights.Checkpoint, headDim int) RoPE {
	r := RoPE{Theta: h.float("rope.freq_base", 10000)}
	factor := h.float("rope.scaling.factor", h.float("rope.scale_linear", 1))
	kind, ok := h.md.String(h.key("rope.scaling.type"))
	switch {
	case !ok && h.md.Has(h.key("rope.scaling.type")):
		h.fail("metadata %s is no text", h.key("rope.scaling.type"))
	case kind == "linear" || kind == "" && factor != 1:
		r.Scaling, r.Factor = "linear", factor
	case kind == "" || kind == "none":
	default:
		h.fail("%s is %q, which is not supported; supported: none, linear", h.key("rope.scaling.type"), kind)
	}
	info, ok := c.Info(ropeFreqsName)
	if !ok || h.err != nil {
		return r
	}
	if len(info.Shape) != 1 || info.Shape[0] != headDim/2 || r.Scaling != "" {
		h.fail("tensor %s has shape %v beside rope scaling %q; expected [%d] and none", ropeFreqsName, info.Shape, kind, headDim/2)
		return r
	}
	divisors := make([]float32, headDim/2)
	if err := c.ReadRows(ropeFreqsName, 0, 1, divisors); err != nil {
		h.fail("tensor %s: %v", ropeFreqsName, err)
		return r
	}
	plain := r.frequencies(headDim)
	r.Scaling, r.LowFreq, r.HighFreq = "llama3", 1, 4
	r.Original = h.int("rope.scaling.original_context_length", 8192)
	for _, d := range divisors {
		r.Factor = max(r.Factor, float64(d))
	}
	if r.check() == nil {
		for i, f := range r.frequencies(headDim) {
			if d := plain[i] / f; math.Abs(d-float64(divisors[i])) > 1e-4*d {
				h.fail("tensor %s: divisor %d is %g, but Llama 3's rule with factor %g gives %g; other rules are not supported",
					ropeFreqsName, i, divisors[i], r.Factor, d)
				break
			}
		}
	}
	return r
}

// interleavedRow is the row of a GGUF's attn_q or attn_k that holds row r of
// Hugging Face's q_proj or k_proj. llama.cpp turns neighbouring components
// together in architecture llama, so its converter puts the pair (i, i+d/2) of
// every head at 2i and 2i+1.
func interleavedRow(r, headDim int) int {
	head, i := r/headDim, r%headDim
	return head*headDim + 2*(i%(headDim/2)) + i/(headDim/2)
}
