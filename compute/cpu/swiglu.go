package cpu

import "eaft/compute"

// SwiGLU (Shazeer 2020): dst = silu(gate) * up.
func (e *engine[F]) SwiGLU(dst, gate, up compute.Tensor) {
	d, g, u := mat[F](dst), mat[F](gate), mat[F](up)
	g.shape("SwiGLU", "gate", d.rows, d.cols)
	u.shape("SwiGLU", "up", d.rows, d.cols)
	if d.half != nil {
		e.rowsOf(d.rows, d.cols, func(i int) {
			row := e.buf.get(d.cols)
			defer e.buf.put(row)
			e.k.swiglu(row, g.row(i), u.row(i))
			e.k.narrow(d.halfRow(i), row)
		})
		return
	}
	e.spans(len(d.data), func(lo, hi int) { e.k.swiglu(d.data[lo:hi], g.data[lo:hi], u.data[lo:hi]) })
}

// SwiGLUBackward: dgate and dup from dy; they may be gate and up.
func (e *engine[F]) SwiGLUBackward(dgate, dup, dy, gate, up compute.Tensor) {
	dg, du, d, g, u := mat[F](dgate), mat[F](dup), mat[F](dy), mat[F](gate), mat[F](up)
	for _, m := range []*matrix[F]{dg, du} {
		m.shapeAny("SwiGLUBackward", "a gradient", d.rows, d.cols)
	}
	for _, m := range []*matrix[F]{g, u} {
		m.shape("SwiGLUBackward", "an operand", d.rows, d.cols)
	}
	if dg.half != nil {
		e.rowsOf(d.rows, d.cols, func(i int) {
			row := e.buf.get(2 * d.cols)
			defer e.buf.put(row)
			e.k.swigluBack(row[:d.cols], row[d.cols:], d.row(i), g.row(i), u.row(i))
			e.k.narrow(dg.halfRow(i), row[:d.cols])
			e.k.narrow(du.halfRow(i), row[d.cols:])
		})
		return
	}
	e.spans(len(d.data), func(lo, hi int) {
		e.k.swigluBack(dg.data[lo:hi], du.data[lo:hi], d.data[lo:hi], g.data[lo:hi], u.data[lo:hi])
	})
}
