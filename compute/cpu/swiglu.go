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
			swiglu(e.k, row, g.row(i), u.row(i))
			e.k.narrow(d.halfRow(i), row)
		})
		return
	}
	e.spans(len(d.data), func(lo, hi int) { swiglu(e.k, d.data[lo:hi], g.data[lo:hi], u.data[lo:hi]) })
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
			swigluBackward(e.k, row[:d.cols], row[d.cols:], d.row(i), g.row(i), u.row(i))
			e.k.narrow(dg.halfRow(i), row[:d.cols])
			e.k.narrow(du.halfRow(i), row[d.cols:])
		})
		return
	}
	e.spans(len(d.data), func(lo, hi int) {
		swigluBackward(e.k, dg.data[lo:hi], du.data[lo:hi], d.data[lo:hi], g.data[lo:hi], u.data[lo:hi])
	})
}

// swigluBlock is how many exponentials are taken at a time.
const swigluBlock = 512

func swiglu[F real](ker *kernels[F], dst, gate, up []F) {
	buf := make([]F, swigluBlock)
	for lo := 0; lo < len(dst); lo += swigluBlock {
		d := dst[lo:min(len(dst), lo+swigluBlock)]
		g, u, x := gate[lo:][:len(d)], up[lo:][:len(d)], expNeg(ker, buf, gate[lo:][:len(d)])
		for i := range d {
			d[i] = F(g[i]/(1+x[i])) * u[i]
		}
	}
}

func swigluBackward[F real](ker *kernels[F], dgate, dup, dy, gate, up []F) {
	buf := make([]F, swigluBlock)
	for lo := 0; lo < len(dy); lo += swigluBlock {
		d := dy[lo:min(len(dy), lo+swigluBlock)]
		g, u, x := gate[lo:][:len(d)], up[lo:][:len(d)], expNeg(ker, buf, gate[lo:][:len(d)])
		dg, du := dgate[lo:][:len(d)], dup[lo:][:len(d)]
		for i, y := range d {
			gi, ui := g[i], u[i]
			s := 1 / (1 + x[i])
			silu := F(gi * s)
			du[i] = y * silu
			dg[i] = F(y*ui) * (s + F(silu*(1-s)))
		}
	}
}

// expNeg is exp(-x) in buf.
func expNeg[F real](ker *kernels[F], buf, x []F) []F {
	y := buf[:len(x)]
	for i, v := range x {
		y[i] = -v
	}
	ker.expSum(y, 0)
	return y
}
