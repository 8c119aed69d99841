package model

import (
	"math"

	"eaft/compute"
)

// activations are what one block's backward pass needs of its forward pass.
// Normalised inputs and the product silu(gate)*up are cheap and made again.
// Keys and values have a row for each of the T tokens, what comes of the queries
// one for each of the n tokens that ask: all T, or fewer in the last block.
type activations struct {
	x     compute.Tensor // [T, D] the block's input
	rstd1 compute.Tensor // [T, 1] of input_layernorm
	qRaw  compute.Tensor // [n, H*C] before QK-norm; q itself without
	kRaw  compute.Tensor // [T, KV*C]
	qRstd compute.Tensor // [n, H]
	kRstd compute.Tensor // [T, KV]
	q     compute.Tensor // [n, H*C] after RoPE
	k, v  compute.Tensor // [T, KV*C]
	attn  compute.Tensor // [n, H*C] attention's output
	lse   compute.Tensor // [n, H]
	mid   compute.Tensor // [n, D] after attention's residual
	rstd2 compute.Tensor // [n, 1] of post_attention_layernorm
	gate  compute.Tensor // [n, F]
	up    compute.Tensor // [n, F]
	inX   bool           // mid is x
}

// newActivations gets buffers for the tokens of in whose names end in suffix.
// Shared buffers serve every layer in turn: scoring keeps nothing behind.
func (m *Model) newActivations(in input, suffix string, shared bool) activations {
	s := &m.spec
	T, n := len(in.ids), len(in.ids)
	if in.asks != nil {
		n = len(in.asks)
	}
	q, kv := s.Heads*s.HeadDim, s.KVHeads*s.HeadDim
	get := func(name string, rows, cols int) compute.Tensor {
		return m.ws.get(name+suffix, rows, cols, compute.F32)
	}
	a := activations{
		x: get("x", T, s.Hidden), rstd1: get("rstd1", T, 1),
		q: get("q", n, q), k: get("k", T, kv), v: get("v", T, kv),
		attn: m.ws.get("attn"+suffix, n, q, m.dtype), lse: get("lse", n, s.Heads),
		rstd2: get("rstd2", n, 1),
		gate:  get("gate", n, s.Intermediate), up: get("up", n, s.Intermediate),
		inX: shared && in.asks == nil,
	}
	a.qRaw, a.kRaw = a.q, a.k
	if s.QKNorm {
		a.qRstd, a.kRstd = get("q_rstd", n, s.Heads), get("k_rstd", T, s.KVHeads)
		if !shared {
			a.qRaw, a.kRaw = get("q_raw", n, q), get("k_raw", T, kv)
		}
	}
	a.mid = a.x
	if !a.inX {
		a.mid = get("mid", n, s.Hidden)
	}
	return a
}

// input is what a block knows of its tokens.
type input struct {
	ids, cu, parent, pos []int32
	// asks are the tokens whose hidden states the block computes, ascending, and
	// askPos their positions; nil and pos: all. Keys and values are made of all.
	asks, askPos []int32
}

func (m *Model) newInput(b Batch) input {
	pos, longest := b.positions()
	m.rope.grow(m.dev, &m.spec.RoPE, m.spec.HeadDim, longest)
	return input{ids: b.IDs, cu: b.CuSeqlens, parent: b.Parent, pos: pos, askPos: pos}
}

// asking is the input of a block of which only the rows are wanted.
func (in input) asking(rows []int32) input {
	in.asks, in.askPos = rows, make([]int32, len(rows))
	for i, t := range rows {
		in.askPos[i] = in.pos[t]
	}
	return in
}

// take copies the rows of x [T, D] that ask to dst [n, D].
func (in input) take(dev compute.Device, dst, x compute.Tensor) {
	if in.asks == nil {
		dev.Copy(dst, x)
		return
	}
	dev.GatherRows(dst, x, in.asks)
}

func (m *Model) attention(l *layer, in input) compute.Attention {
	return compute.Attention{
		Heads: m.spec.Heads, KVHeads: m.spec.KVHeads, HeadDim: m.spec.HeadDim,
		CuSeqlens: in.cu, Parent: in.parent, Queries: in.asks, Window: l.window,
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

// forward runs a block on a.x and writes its output to out [n, D]; nil: over
// a.mid, which with shared buffers is a.x if all tokens ask.
func (l *layer) forward(m *Model, in input, a *activations, out compute.Tensor) {
	dev, s := m.dev, &m.spec
	T, n := a.x.Rows(), a.mid.Rows()

	if !a.inX {
		in.take(dev, a.mid, a.x)
	}
	hidden := m.ws.get("hidden", T, s.Hidden, compute.F32)
	dev.RMSNorm(hidden, a.rstd1, a.x, l.inputNorm.value, s.Eps)
	l.kProj.forward(dev, a.kRaw, hidden, false)
	l.vProj.forward(dev, a.v, hidden, false)
	if in.asks != nil {
		hidden = hidden.Slice(0, n)
		dev.RMSNorm(hidden, a.rstd2, a.mid, l.inputNorm.value, s.Eps)
	}
	l.qProj.forward(dev, a.qRaw, hidden, false)
	if s.QKNorm {
		dev.RMSNorm(a.q, a.qRstd, a.qRaw, l.qNorm.value, s.Eps)
		dev.RMSNorm(a.k, a.kRstd, a.kRaw, l.kNorm.value, s.Eps)
	}
	dev.RoPE(a.q, m.rope.cos, m.rope.sin, in.askPos, false)
	dev.RoPE(a.k, m.rope.cos, m.rope.sin, in.pos, false)
	dev.Attention(a.attn, a.lse, a.q, a.k, a.v, m.attention(l, in))
	l.oProj.forward(dev, a.mid, a.attn, true)

	dev.RMSNorm(hidden, a.rstd2, a.mid, l.postAttentionNorm.value, s.Eps)
	l.gateProj.forward(dev, a.gate, hidden, false)
	l.upProj.forward(dev, a.up, hidden, false)
	act := m.ws.get("act", n, s.Intermediate, compute.F32)
	dev.SwiGLU(act, a.gate, a.up)
	if out == nil {
		out = a.mid
	} else {
		dev.Copy(out, a.mid)
	}
	l.downProj.forward(dev, out, act, true)
}
