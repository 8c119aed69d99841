package cpu

import "eaft/compute"

// SwiGLU (Shazeer 2020): dst = silu(gate) * up.
func (e *engine[F]) SwiGLU(dst, gate, up compute.Tensor) {
	d, g, u := mat[F](dst), mat[F](gate), mat[F](up)
	g.shape("SwiGLU", "gate", d.rows, d.cols)
	u.shape("SwiGLU", "up", d.rows, d.cols)
	e.spans(len(d.data), func(lo, hi int) { e.k.swiglu(d.data[lo:hi], g.data[lo:hi], u.data[lo:hi]) })
}

// SwiGLUBackward: dgate and dup from dy; they may be gate and up.
func (e *engine[F]) SwiGLUBackward(dgate, dup, dy, gate, up compute.Tensor) {
	dg, du, d, g, u := mat[F](dgate), mat[F](dup), mat[F](dy), mat[F](gate), mat[F](up)
	for _, m := range []*matrix[F]{dg, du, g, u} {
		m.shape("SwiGLUBackward", "an operand", d.rows, d.cols)
	}
	e.spans(len(d.data), func(lo, hi int) {
		e.k.swigluBack(dg.data[lo:hi], du.data[lo:hi], d.data[lo:hi], g.data[lo:hi], u.data[lo:hi])
	})
}

func swigluGo[F real](dst, gate, up []F) {
	gate, up = gate[:len(dst)], up[:len(dst)]
	for i := range dst {
		dst[i] = F(gate[i]/(1+expOf(-gate[i]))) * up[i]
	}
}

func swigluBackGo[F real](dgate, dup, dy, gate, up []F) {
	n := len(dy)
	dgate, dup, gate, up = dgate[:n], dup[:n], gate[:n], up[:n]
	for i, d := range dy {
		g, u := gate[i], up[i]
		s := 1 / (1 + expOf(-g))
		silu := F(g * s)
		dup[i] = d * silu
		dgate[i] = F(d*u) * (s + F(silu*(1-s)))
	}
}
