package model

import (
	"math"

	"eaft/compute"
)

// activations are what one block's backward pass needs of its forward pass.
// Normalised inputs and the product silu(gate)*up are cheap and made again.
type activations struct {
	x      compute.Tensor // [T, D] the block's input
	rstd1  compute.Tensor // [T, 1] of input_layernorm
	qRaw   compute.Tensor // [T, H*C] before QK-norm; q itself without
	kRaw   compute.Tensor // [T, KV*C]
	qRstd  compute.Tensor // [T, H]
	kRstd  compute.Tensor // [T, KV]
	q      compute.Tensor // [T, H*C] after RoPE
	k, v   compute.Tensor // [T, KV*C]
	attn   compute.Tensor // [T, H*C] attention's output
	lse    compute.Tensor // [T, H]
	mid    compute.Tensor // [T, D] after attention's residual
	rstd2  compute.Tensor // [T, 1] of post_attention_layernorm
	gate   compute.Tensor // [T, F]
	up     compute.Tensor // [T, F]
	shared bool           // buffers serve all layers; x and mid are one
}

// newActivations gets buffers for T tokens whose names end in suffix. Shared
// buffers serve every layer in turn: scoring keeps nothing behind.
func (m *Model) newActivations(T int, suffix string, shared bool) activations {
	s := &m.spec
	q, kv := s.Heads*s.HeadDim, s.KVHeads*s.HeadDim
	get := func(name string, cols int) compute.Tensor { return m.ws.get(name+suffix, T, cols, compute.F32) }
	a := activations{
		x: get("x", s.Hidden), rstd1: get("rstd1", 1),
		q: get("q", q), k: get("k", kv), v: get("v", kv),
		attn: m.ws.get("attn"+suffix, T, q, m.dtype), lse: get("lse", s.Heads),
		rstd2: get("rstd2", 1),
		gate:  get("gate", s.Intermediate), up: get("up", s.Intermediate),
		shared: shared,
	}
	a.qRaw, a.kRaw = a.q, a.k
	if s.QKNorm {
		a.qRstd, a.kRstd = get("q_rstd", s.Heads), get("k_rstd", s.KVHeads)
		if !shared {
			a.qRaw, a.kRaw = get("q_raw", q), get("k_raw", kv)
		}
	}
	a.mid = a.x
	if !shared {
		a.mid = get("mid", s.Hidden)
	}
	return a
}

// input is what all blocks of a pass share.
type input struct {
	ids, cu, pos []int32
}

func (m *Model) newInput(b Batch) input {
	pos, longest := b.positions()
	m.rope.grow(m.dev, &m.spec.RoPE, m.spec.HeadDim, longest)
	return input{b.IDs, b.CuSeqlens, pos}
}

func (m *Model) attention(l *layer, in input) compute.Attention {
	return compute.Attention{
		Heads: m.spec.Heads, KVHeads: m.spec.KVHeads, HeadDim: m.spec.HeadDim,
		CuSeqlens: in.cu, Window: l.window,
		Scale: float32(1 / math.Sqrt(float64(m.spec.HeadDim))),
		DType: m.dtype,
	}
}

// forward is dst = x w^T + bias, added to dst with add.
func (l *linear) forward(dev compute.Device, dst, x compute.Tensor, add bool) {
	var bias compute.Tensor
	if l.bias != nil {
		bias = l.bias.value
	}
	dev.Linear(dst, x, l.weight.op, bias, add)
}

// forward runs a block on a.x and writes its output to out [T, D], which is a.x
// with shared buffers.
func (l *layer) forward(m *Model, in input, a *activations, out compute.Tensor) {
	dev, s := m.dev, &m.spec
	T := len(in.ids)

	hidden := m.ws.get("hidden", T, s.Hidden, compute.F32)
	dev.RMSNorm(hidden, a.rstd1, a.x, l.inputNorm.value, s.Eps)
	l.qProj.forward(dev, a.qRaw, hidden, false)
	l.kProj.forward(dev, a.kRaw, hidden, false)
	l.vProj.forward(dev, a.v, hidden, false)
	if s.QKNorm {
		dev.RMSNorm(a.q, a.qRstd, a.qRaw, l.qNorm.value, s.Eps)
		dev.RMSNorm(a.k, a.kRstd, a.kRaw, l.kNorm.value, s.Eps)
	}
	dev.RoPE(a.q, m.rope.cos, m.rope.sin, in.pos, false)
	dev.RoPE(a.k, m.rope.cos, m.rope.sin, in.pos, false)
	dev.Attention(a.attn, a.lse, a.q, a.k, a.v, m.attention(l, in))
	if !a.shared {
		dev.Copy(a.mid, a.x)
	}
	l.oProj.forward(dev, a.mid, a.attn, true)

	dev.RMSNorm(hidden, a.rstd2, a.mid, l.postAttentionNorm.value, s.Eps)
	l.gateProj.forward(dev, a.gate, hidden, false)
	l.upProj.forward(dev, a.up, hidden, false)
	act := m.ws.get("act", T, s.Intermediate, compute.F32)
	dev.SwiGLU(act, a.gate, a.up)
	if !a.shared {
		dev.Copy(out, a.mid)
	}
	l.downProj.forward(dev, out, act, true)
}
