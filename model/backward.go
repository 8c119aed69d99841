package model

import "eaft/compute"

// backward adds dw += dy^T x and the bias's gradient, and writes dx = dy w, or
// adds it with add.
func (l *linear) backward(m *Model, dx, dy, x compute.Tensor, add bool) {
	var dbias compute.Tensor
	if l.bias != nil {
		dbias = l.bias.grad
	}
	m.dev.LinearBackwardWeight(l.weight.grad, dbias, dy, x, m.dtype)
	m.dev.LinearBackwardInput(dx, dy, l.weight.op, add)
}

// backward turns d [T, D], the gradient of the block's output, into that of its
// input, and adds the gradients of its weights. It writes over gate and up.
func (l *layer) backward(m *Model, in input, a *activations, d compute.Tensor) {
	dev, s := m.dev, &m.spec
	T := len(in.ids)
	hidden := m.ws.get("hidden", T, s.Hidden)
	dhidden := m.ws.get("dhidden", T, s.Hidden)

	// out = mid + down(silu(gate) * up)
	act := m.ws.get("act", T, s.Intermediate)
	dact := m.ws.get("dact", T, s.Intermediate)
	dev.SwiGLU(act, a.gate, a.up)
	l.downProj.backward(m, dact, d, act, false)
	dgate, dup := a.gate, a.up
	dev.SwiGLUBackward(dgate, dup, dact, a.gate, a.up)
	dev.RMSNorm(hidden, a.rstd2, a.mid, l.postAttentionNorm.value, s.Eps)
	l.gateProj.backward(m, dhidden, dgate, hidden, false)
	l.upProj.backward(m, dhidden, dup, hidden, true)
	dev.RMSNormBackward(d, l.postAttentionNorm.grad, dhidden, a.mid, a.rstd2, l.postAttentionNorm.value, true)

	// mid = x + o(attention(q, k, v))
	q, kv := s.Heads*s.HeadDim, s.KVHeads*s.HeadDim
	dattn := m.ws.get("dattn", T, q)
	dq, dk, dv := m.ws.get("dq", T, q), m.ws.get("dk", T, kv), m.ws.get("dv", T, kv)
	l.oProj.backward(m, dattn, d, a.attn, false)
	dev.AttentionBackward(dq, dk, dv, dattn, a.attn, a.lse, a.q, a.k, a.v, m.attention(l, in))
	dev.RoPE(dq, m.rope.cos, m.rope.sin, in.pos, true)
	dev.RoPE(dk, m.rope.cos, m.rope.sin, in.pos, true)
	if s.QKNorm {
		dev.RMSNormBackward(dq, l.qNorm.grad, dq, a.qRaw, a.qRstd, l.qNorm.value, false)
		dev.RMSNormBackward(dk, l.kNorm.grad, dk, a.kRaw, a.kRstd, l.kNorm.value, false)
	}
	dev.RMSNorm(hidden, a.rstd1, a.x, l.inputNorm.value, s.Eps)
	l.qProj.backward(m, dhidden, dq, hidden, false)
	l.kProj.backward(m, dhidden, dk, hidden, true)
	l.vProj.backward(m, dhidden, dv, hidden, true)
	dev.RMSNormBackward(d, l.inputNorm.grad, dhidden, a.x, a.rstd1, l.inputNorm.value, true)
}
