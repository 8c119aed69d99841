package model

import "eaft/compute"

// gradient is the projection's part in compute.Device.LinearBackward, which has to
// follow: the weight's gradient is then set.
func (l *linear) gradient(dy compute.Tensor) compute.Projection {
	p := compute.Projection{W: l.weight.op, DY: dy, DW: l.weight.grad, Set: l.weight.renew()}
	if l.bias != nil {
		p.DBias = l.bias.grad
	}
	return p
}

// backward turns d [n, D], the gradient of the block's output, into that of its
// input, which it writes to dx [T, D] (d itself if all tokens ask), and adds the
// gradients of its weights. It writes over d, gate and up.
func (l *layer) backward(m *Model, in input, a *activations, d, dx compute.Tensor) {
	dev, s := m.dev, &m.spec
	T, n := a.x.Rows(), a.mid.Rows()
	if a.keep == keepInput {
		l.attend(m, in, a)
	}
	hidden := m.ws.get("hidden", T, s.Hidden, m.dtype)
	dhidden := m.ws.get("dhidden", T, s.Hidden, compute.F32)
	asked, dasked := hidden.Slice(0, n), dhidden.Slice(0, n)
	if a.gate == nil {
		m.factors(a, "")
		l.gated(m, in, a)
	}

	// out = mid + down(silu(gate) * up)
	dgate, dup := a.gate, a.up
	if l.downProj.adapter != nil {
		l.downBackward(m, dgate, dup, a.gate, a.up, d, in.askKeys)
	} else {
		dev.GatedBackward(dgate, dup, a.gate, a.up, l.downProj.gradient(d))
	}
	dev.RMSNorm(asked, a.rstd2, a.mid, l.postAttentionNorm.value, s.Eps)
	dev.LinearBackward(dasked, asked, false, l.gateProj.gradient(dgate), l.upProj.gradient(dup))
	l.gateProj.adapterBackward(m, dasked, asked, dgate, in.askKeys)
	l.upProj.adapterBackward(m, dasked, asked, dup, in.askKeys)
	dev.RMSNormBackward(d, l.postAttentionNorm.grad, dasked, a.mid, a.rstd2, l.postAttentionNorm.value, true)

	// mid = x + o(attention(q, k, v))
	q, kv := s.Heads*s.HeadDim, s.KVHeads*s.HeadDim
	dattn := m.ws.get("dattn", n, q, m.dtype)
	dq, dk, dv := m.ws.get("dq", n, q, compute.F32), m.ws.get("dk", T, kv, compute.F32), m.ws.get("dv", T, kv, compute.F32)
	if l.oProj.adapter != nil {
		l.outBackward(m, dattn, a.attn, d, in.askKeys)
	} else {
		dev.LinearBackward(dattn, a.attn, false, l.oProj.gradient(d))
	}
	dev.AttentionBackward(dq, dk, dv, dattn, a.attn, a.lse, a.q, a.k, a.v, m.attention(l, in))
	if s.QKNorm {
		dev.RoPE(dq, dq, m.rope.cos, m.rope.sin, in.askPos, true)
		dev.RoPE(dk, dk, m.rope.cos, m.rope.sin, in.pos, true)
		dev.RMSNormBackward(dq, l.qNorm.grad, dq, a.qRaw, a.qRstd, l.qNorm.value, false)
		dev.RMSNormBackward(dk, l.kNorm.grad, dk, a.kRaw, a.kRstd, l.kNorm.value, false)
	} else {
		dqRaw, dkRaw := m.ws.get("dq_raw", n, q, m.dtype), m.ws.get("dk_raw", T, kv, m.dtype)
		dev.RoPE(dqRaw, dq, m.rope.cos, m.rope.sin, in.askPos, true)
		dev.RoPE(dkRaw, dk, m.rope.cos, m.rope.sin, in.pos, true)
		dq, dk = dqRaw, dkRaw
	}
	dev.RMSNorm(hidden, a.rstd1, a.x, l.inputNorm.value, s.Eps)
	if in.asks == nil {
		dev.LinearBackward(dhidden, hidden, false, l.qProj.gradient(dq), l.kProj.gradient(dk), l.vProj.gradient(dv))
		l.qProj.adapterBackward(m, dhidden, hidden, dq, in.keys)
	} else {
		// Only the rows that ask have a query and a residual.
		dev.Zero(dx)
		dev.ScatterAddRows(dx, d, in.asks)
		few := m.ws.get("asked", n, s.Hidden, compute.F32)
		dev.GatherRows(few, a.x, in.asks)
		normed := m.ws.get("asked.normed", n, s.Hidden, m.dtype)
		dev.RMSNorm(normed, a.rstd2, few, l.inputNorm.value, s.Eps)
		dev.LinearBackward(d, normed, false, l.qProj.gradient(dq))
		l.qProj.adapterBackward(m, d, normed, dq, in.askKeys)
		dev.Zero(dhidden)
		dev.ScatterAddRows(dhidden, d, in.asks)
		dev.LinearBackward(dhidden, hidden, true, l.kProj.gradient(dk), l.vProj.gradient(dv))
	}
	l.kProj.adapterBackward(m, dhidden, hidden, dk, in.keys)
	l.vProj.adapterBackward(m, dhidden, hidden, dv, in.keys)
	dev.RMSNormBackward(dx, l.inputNorm.grad, dhidden, a.x, a.rstd1, l.inputNorm.value, true)
}
