// Package model is a decoder-only transformer over a compute.Device: load,
// score, accumulate gradients, save. One decoder described by a Spec covers the
// families; forward and backward are written out by hand, operation by operation.
//
// Rows are packed into one token axis, so nothing is ever padded. Letters in
// comments: T tokens of the packed batch, n targets, D hidden size, F
// intermediate size, V vocabulary, H query heads, KV key and value heads, C
// components of a head.
package model

import "eaft/compute"

// Model is a decoder on a device. Its methods are not safe for concurrent use:
// they share buffers, which stay allocated for the next call.
type Model struct {
	dev   compute.Device
	spec  Spec
	dtype compute.DType

	weights map[string]*weight // by Hugging Face name
	order   []*weight          // as in Spec.tensors

	embed  *weight
	layers []layer
	norm   *weight
	head   *weight // embed when tied

	lora     *LoRA     // nil without adapters
	adapters []*weight // A and B of each projection that has them, in the order of the layers
	ref      string    // of the checkpoint, for messages
	merged   []string  // adapters that are in its weights already

	rope ropeTable
	ws   workspace
	acts []activations // of each layer, in training
	keep []keep        // what each layer keeps

	moments func(rows, cols int) int64 // Options.Moments
}

// layer is one decoder block. Field names follow Hugging Face's.
type layer struct {
	inputNorm, postAttentionNorm *weight
	qProj, kProj, vProj, oProj   linear
	qNorm, kNorm                 *weight // nil without QK-norm
	gateProj, upProj, downProj   linear
	window                       int
}

// linear is a projection; bias is nil where the family has none.
type linear struct {
	weight, bias *weight
	adapter      *adapter // nil without
}

// wire gives the weights their places in the blocks.
func (m *Model) wire() {
	m.embed, m.norm = m.weights[embedName], m.weights[normName]
	m.head = m.embed
	if !m.spec.TiedHead {
		m.head = m.weights[headName]
	}
	for _, w := range m.order {
		w.set = w.kind == matrix && (w != m.embed || w == m.head) // an embedding alone gets rows
		w.stale = w.set
	}
	m.layers = make([]layer, m.spec.Layers)
	for i := range m.layers {
		get := func(suffix string) *weight { return m.weights[layerName(i, suffix)] }
		proj := func(name string) linear { return linear{weight: get(name + ".weight"), bias: get(name + ".bias")} }
		m.keep = append(m.keep, keepAll)
		m.layers[i] = layer{
			inputNorm:         get("input_layernorm.weight"),
			postAttentionNorm: get("post_attention_layernorm.weight"),
			qProj:             proj("self_attn.q_proj"),
			kProj:             proj("self_attn.k_proj"),
			vProj:             proj("self_attn.v_proj"),
			oProj:             proj("self_attn.o_proj"),
			qNorm:             get("self_attn.q_norm.weight"),
			kNorm:             get("self_attn.k_norm.weight"),
			gateProj:          proj("mlp.gate_proj"),
			upProj:            proj("mlp.up_proj"),
			downProj:          proj("mlp.down_proj"),
			window:            m.spec.Windows[i],
		}
	}
}

// Spec describes the model.
func (m *Model) Spec() Spec { return m.spec }

// Param is a trained weight. Value and Grad are float32.
type Param struct {
	Name        string // as in Hugging Face
	Shape       []int
	Value, Grad compute.Tensor
	Decay       bool // matrices; norms and biases are not decayed
	// Operand is what products read of a matrix: who changes Value refreshes it.
	// nil for vectors.
	Operand compute.Weight
}

// Params lists the weights of a model loaded with Train, or its adapters'; a tied
// head appears once, as model.embed_tokens.weight.
func (m *Model) Params() []Param {
	var ps []Param
	for _, w := range m.trainable() {
		if w.grad != nil {
			ps = append(ps, Param{w.name, w.shape(), w.value, w.grad, w.kind == matrix, w.op})
		}
	}
	return ps
}

// ZeroGrad clears the gradients, which otherwise add up over calls of Accumulate.
func (m *Model) ZeroGrad() {
	m.BeginStep()
	m.settle()
}

// BeginStep is ZeroGrad for who calls Accumulate before anything reads a gradient:
// those of matrices are left as they are, for the pass to write over, which saves
// clearing them and reading the zeros.
func (m *Model) BeginStep() {
	for _, w := range m.trainable() {
		if w.grad == nil {
			continue
		}
		if w.stale = w.set; !w.stale {
			m.dev.Zero(w.grad)
		}
	}
}

// settle clears what BeginStep has left.
func (m *Model) settle() {
	for _, w := range m.trainable() {
		if w.renew() {
			m.dev.Zero(w.grad)
		}
	}
}

// Refresh derives the products' operands again after the masters have changed.
func (m *Model) Refresh() {
	for _, w := range m.trainable() {
		if w.grad != nil && w.kind == matrix {
			m.dev.Refresh(w.op)
		}
	}
}
