package model

import (
	"math"
	"strconv"

	"eaft/compute"
)

// keep says what a block keeps of its forward pass for its backward pass, which
// computes the rest again, with the same bits.
type keep uint8

const (
	keepNothing   keep = iota // no backward pass follows
	keepInput                 // x
	keepAttention             // all but the factors of the MLP
	keepAll
)

// activations are what one block's backward pass needs of its forward pass.
// Normalised inputs and the product silu(gate)*up are cheap and made again.
// Keys and values have a row for each of the T tokens, what comes of the queries
// one for each of the n tokens that ask: all T, or fewer in the last block.
type activations struct {
	keep  keep
	x     compute.Tensor // [T, D] the block's input
	rstd1 compute.Tensor // [T, 1] of input_layernorm
	qRaw  compute.Tensor // [n, H*C] before QK-norm; nil without
	kRaw  compute.Tensor // [T, KV*C]
	qRstd compute.Tensor // [n, H]
	kRstd compute.Tensor // [T, KV]
	q     compute.Tensor // [n, H*C] after RoPE, in the model's dtype as k, v and attn
	k, v  compute.Tensor // [T, KV*C]
	attn  compute.Tensor // [n, H*C] attention's output
	lse   compute.Tensor // [n, H]
	mid   compute.Tensor // [n, D] after attention's residual
	rstd2 compute.Tensor // [n, 1] of post_attention_layernorm
	gate  compute.Tensor // [n, F] in the model's dtype, nil unless all is kept
	up    compute.Tensor // [n, F]
	inX   bool           // mid is x
}

// newActivations gets buffers for the tokens of in. What layer does not keep lies
// in buffers that serve every layer in turn.
func (m *Model) newActivations(in input, layer int, k keep) activations {
	s := &m.spec
	T, n := len(in.ids), len(in.ids)
	if in.asks != nil {
		n = len(in.asks)
	}
	q, kv := s.Heads*s.HeadDim, s.KVHeads*s.HeadDim
	own := "." + strconv.Itoa(layer)
	get := func(kept keep, name string, rows, cols int, dtype compute.DType) compute.Tensor {
		if k >= kept {
			name += own
		}
		return m.ws.get(name, rows, cols, dtype)
	}
	part := func(name string, rows, cols int) compute.Tensor {
		return get(keepAttention, name, rows, cols, compute.F32)
	}
	operand := func(name string, rows, cols int) compute.Tensor {
		return get(keepAttention, name, rows, cols, m.dtype)
	}
	a := activations{
		keep: k,
		x:    get(keepInput, "x", T, s.Hidden, compute.F32), rstd1: part("rstd1", T, 1),
		q: operand("q", n, q), k: operand("k", T, kv), v: operand("v", T, kv),
		attn: operand("attn", n, q), lse: part("lse", n, s.Heads),
		rstd2: part("rstd2", n, 1),
		inX:   k == keepNothing && in.asks == nil,
	}
	if s.QKNorm {
		a.qRaw, a.kRaw = part("q_raw", n, q), part("k_raw", T, kv)
		a.qRstd, a.kRstd = part("q_rstd", n, s.Heads), part("k_rstd", T, s.KVHeads)
	}
	if k == keepAll {
		m.factors(&a, own)
	}
	a.mid = a.x
	if !a.inX {
		a.mid = part("mid", n, s.Hidden)
	}
	return a
}

// factors gets buffers for the factors of the MLP.
func (m *Model) factors(a *activations, suffix string) {
	n := a.q.Rows()
	a.gate = m.ws.get("gate"+suffix, n, m.spec.Intermediate, m.dtype)
	a.up = m.ws.get("up"+suffix, n, m.spec.Intermediate, m.dtype)
}

// input is what a block knows of its tokens.
type input struct {
	ids, cu, parent, pos []int32
	// asks are the tokens whose hidden states the block computes, ascending, and
	// askPos their positions; nil and pos: all. Keys and values are made of all.
	asks, askPos []int32
	// past are the rows that the tokens continue; nil: each row is whole.
	past *past
	// keys are the tokens' for dropout, askKeys those of the tokens that ask; nil
	// without.
	keys, askKeys []uint64
}

func (m *Model) newInput(b Batch) input {
	pos, longest := b.positions()
	m.rope.grow(m.dev, &m.spec.RoPE, m.spec.HeadDim, longest)
	keys := m.dropKeys(b, pos)
	return input{ids: b.IDs, cu: b.CuSeqlens, parent: b.Parent, pos: pos, askPos: pos, keys: keys, askKeys: keys}
}

// asking is the input of a block of which only the rows are wanted.
func (in input) asking(rows []int32) input {
	in.asks, in.askPos = rows, make([]int32, len(rows))
	for i, t := range rows {
		in.askPos[i] = in.pos[t]
	}
	if in.keys != nil {
		in.askKeys = make([]uint64, len(rows))
		for i, t := range rows {
			in.askKeys[i] = in.keys[t]
		}
	}
	return in
}

func (m *Model) attention(l *layer, in input) compute.Attention {
	if in.past != nil {
		in.cu, in.asks = in.past.cu, in.past.rows
	}
	return compute.Attention{
		Heads: m.spec.Heads, KVHeads: m.spec.KVHeads, HeadDim: m.spec.HeadDim,
		CuSeqlens: in.cu, Parent: in.parent, Queries: in.asks, Window: l.window,
		Scale: float32(1 / math.Sqrt(float64(m.spec.HeadDim))),
		DType: m.dtype,
	}
}

// forward is dst = x w^T + bias + residual, and what an adapter adds; keys are
// those of x's tokens.
func (l *linear) forward(m *Model, dst, x, residual compute.Tensor, keys []uint64) {
	if l.adapter != nil {
		l.adapted(m, dst, x, residual, keys)
		return
	}
	m.dev.Linear(dst, x, l.weight.op, l.bias.tensor(), residual)
}

// tensor is a vector's values, nil for none.
func (w *weight) tensor() compute.Tensor {
	if w == nil {
		return nil
	}
	return w.value
}

// forward runs a block on a.x and writes its output to out [n, D]; nil: over
// a.mid, which is a.x where nothing is kept and all tokens ask.
func (l *layer) forward(m *Model, in input, a *activations, out compute.Tensor) {
	l.attend(m, in, a)
	act := l.gated(m, in, a)
	if out == nil {
		out = a.mid
	}
	l.downProj.forward(m, out, act, a.mid, in.askKeys)
}

// attend computes everything up to a.mid.
func (l *layer) attend(m *Model, in input, a *activations) {
	dev, s := m.dev, &m.spec
	T, n := a.x.Rows(), a.mid.Rows()
	residual := a.x
	if in.asks != nil {
		dev.GatherRows(a.mid, a.x, in.asks)
		residual = a.mid
	}
	hidden := m.ws.get("hidden", T, s.Hidden, m.dtype)
	dev.RMSNorm(hidden, a.rstd1, a.x, l.inputNorm.value, s.Eps)
	l.rotated(m, a.k, hidden, &l.kProj, l.kNorm, a.kRaw, a.kRstd, in.pos, in.keys)
	l.vProj.forward(m, a.v, hidden, nil, in.keys)
	if in.asks != nil {
		hidden = hidden.Slice(0, n)
		dev.RMSNorm(hidden, a.rstd2, a.mid, l.inputNorm.value, s.Eps)
	}
	l.rotated(m, a.q, hidden, &l.qProj, l.qNorm, a.qRaw, a.qRstd, in.askPos, in.askKeys)
	lse := a.lse
	if a.keep == keepNothing {
		lse = nil
	}
	k, v := a.k, a.v
	if in.past != nil {
		in.past.add(dev, k, v)
		k, v = in.past.k, in.past.v
	}
	dev.Attention(a.attn, lse, a.q, k, v, m.attention(l, in))
	l.oProj.forward(m, a.mid, a.attn, residual, in.askKeys)
}

// rotated is RoPE of a projection of hidden, normalised in between where the
// family does that: then raw and rstd take what the backward pass needs.
func (l *layer) rotated(m *Model, dst, hidden compute.Tensor, proj *linear, norm *weight, raw, rstd compute.Tensor, pos []int32, keys []uint64) {
	dev := m.dev
	if norm == nil && proj.adapter != nil {
		raw = m.ws.get("lora.rotated."+strconv.Itoa(dst.Cols()), dst.Rows(), dst.Cols(), compute.F32)
		proj.forward(m, raw, hidden, nil, keys)
		dev.RoPE(dst, raw, m.rope.cos, m.rope.sin, pos, false)
		return
	}
	if norm == nil {
		dev.LinearRoPE(dst, hidden, proj.weight.op, proj.bias.tensor(), m.rope.cos, m.rope.sin, pos)
		return
	}
	proj.forward(m, raw, hidden, nil, keys)
	normed := m.ws.get("normed."+strconv.Itoa(raw.Cols()), raw.Rows(), raw.Cols(), compute.F32)
	dev.RMSNorm(normed, rstd, raw, norm.value, m.spec.Eps)
	dev.RoPE(dst, normed, m.rope.cos, m.rope.sin, pos, false)
}

// gated is silu(gate) * up [n, F] of a.mid normalised, and computes a.gate and
// a.up if they are kept.
func (l *layer) gated(m *Model, in input, a *activations) compute.Tensor {
	hidden := m.ws.get("hidden", a.mid.Rows(), m.spec.Hidden, m.dtype)
	m.dev.RMSNorm(hidden, a.rstd2, a.mid, l.postAttentionNorm.value, m.spec.Eps)
	act := m.ws.get("act", a.mid.Rows(), m.spec.Intermediate, m.dtype)
	if l.gateProj.adapter != nil || l.upProj.adapter != nil {
		l.gatedAdapted(m, a, act, hidden, in.askKeys)
		return act
	}
	m.dev.GatedLinear(act, a.gate, a.up, hidden, l.gateProj.weight.op, l.upProj.weight.op, l.gateProj.bias.tensor(), l.upProj.bias.tensor())
	return act
}
