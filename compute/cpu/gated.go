package cpu

import "eaft/compute"

// gatedPanels is how many panels of each weight a tile of rows is multiplied by
// before the factors are joined: they stay in the first caches.
const gatedPanels = 4

// GatedLinear: dst = silu(x gate^T) * (x up^T), tile by tile.
func (e *engine[F]) GatedLinear(dst, x compute.Tensor, gate, up compute.Weight, gateBias, upBias compute.Tensor) {
	const op = "GatedLinear"
	d, a, g, u := mat[F](dst), mat[F](x), weightOf[F](gate), weightOf[F](up)
	biases := [2]*matrix[F]{mat[F](gateBias), mat[F](upBias)}
	a.shapeAny(op, "x", d.rows, g.k)
	d.shapeAny(op, "dst", a.rows, g.n)
	checkOperand(op, a, g)
	if u.n != g.n || u.k != g.k || (u.half == nil) != (g.half == nil) {
		panic("cpu: GatedLinear: gate and up differ in shape or dtype")
	}
	for _, b := range biases {
		if b != nil {
			b.shape(op, "bias", 1, g.n)
		}
	}
	if g.half == nil || e.k.half.micro == nil {
		e.gatedWhole(d, x, gate, up, gateBias, upBias)
		return
	}
	left, done := e.halfOperand(a)
	defer done()
	pairs, rows := g.half.pairs, e.k.half.rows
	const wide = gatedPanels * halfPanel
	ld := apart(wide)
	e.tasks(d.rows, d.cols, wide, func(lo, hi, j, n int) {
		buf := e.buf.get(2 * rows * ld)
		defer e.buf.put(buf)
		full := (n + halfPanel - 1) / halfPanel * halfPanel
		for i := lo; i < hi; i += rows {
			m := min(rows, hi-i)
			for f, w := range [2]*weight[F]{g, u} {
				out := buf[f*rows*ld:]
				mulHalfBlock(&e.k.half, out, ld, m, full, left.from(i), w.half.from(j), pairs, pairs, false)
				if b := biases[f]; b != nil {
					for r := range m {
						e.k.axpy(out[r*ld:][:n], b.data[j:][:n], 1)
					}
				}
			}
			for r := range m {
				gr, ur := buf[r*ld:][:n], buf[(rows+r)*ld:][:n]
				e.k.swiglu(gr, gr, ur)
				if d.half != nil {
					e.k.narrow(d.halfRow(i + r)[j:][:n], gr)
				} else {
					copy(d.row(i + r)[j:], gr)
				}
			}
		}
	})
}

// gatedWhole holds the factors of some rows at a time.
func (e *engine[F]) gatedWhole(d *matrix[F], x compute.Tensor, gate, up compute.Weight, gateBias, upBias compute.Tensor) {
	const rows = 256
	for lo := 0; lo < d.rows; lo += rows {
		hi := min(d.rows, lo+rows)
		g := dense(hi-lo, d.cols, e.buf.get((hi-lo)*d.cols))
		u := dense(hi-lo, d.cols, e.buf.get((hi-lo)*d.cols))
		e.Linear(g, x.Slice(lo, hi), gate, gateBias, false)
		e.Linear(u, x.Slice(lo, hi), up, upBias, false)
		e.SwiGLU(d.Slice(lo, hi), g, u)
		e.buf.put(g.data)
		e.buf.put(u.data)
	}
}
