package cpu

import (
	"fmt"
	"math"

	"eaft/compute"
)

// RMSNorm (Zhang and Sennrich 2019): dst = x * rstd * w in groups of w's columns,
// rstd[T,G] = 1/sqrt(mean(x^2)+eps). rstd may be nil.
func (e *engine[F]) RMSNorm(dst, rstd, x, w compute.Tensor, eps float32) {
	d, r, a, g := mat[F](dst), mat[F](rstd), mat[F](x), mat[F](w)
	groups := normGroups(a, g)
	d.shapeAny("RMSNorm", "dst", a.rows, a.cols)
	if r != nil {
		r.shape("RMSNorm", "rstd", a.rows, groups)
	}
	c := g.cols
	e.chunks(a.rows, max(1, spanChunk/max(1, a.cols)), func(lo, hi int) {
		var wide []F
		if d.half != nil {
			wide = e.buf.get(d.cols)
			defer e.buf.put(wide)
		}
		for i := lo; i < hi; i++ {
			row := wide
			if d.half == nil {
				row = d.row(i)
			}
			for h := range groups {
				in, out := a.row(i)[h*c:][:c], row[h*c:][:c]
				s := F(1 / math.Sqrt(float64(e.k.dot(in, in)/F(c)+F(eps))))
				if r != nil {
					r.row(i)[h] = s
				}
				e.k.norm(out, in, g.data, s)
			}
			if d.half != nil {
				e.k.narrow(d.halfRow(i), row)
			}
		}
	})
}

func normGroups[F real](x, w *matrix[F]) int {
	if w.rows != 1 || w.cols == 0 || x.cols%w.cols != 0 {
		panic(fmt.Sprintf("cpu: RMSNorm: w is [%d, %d] for x [%d, %d]", w.rows, w.cols, x.rows, x.cols))
	}
	return x.cols / w.cols
}

// normChunk is how many rows have their part of dw summed by one task: the parts
// are then added in order, so that dw does not depend on threads.
const normChunk = 64

// RMSNormBackward: with n = x rstd and g = dy w, dx = rstd (g - n mean(g n)) and
// dw += sum of dy n. dx may be dy when add is false.
func (e *engine[F]) RMSNormBackward(dx, dw, dy, x, rstd, w compute.Tensor, add bool) {
	d, dg, gy, a, r, g := mat[F](dx), mat[F](dw), mat[F](dy), mat[F](x), mat[F](rstd), mat[F](w)
	groups := normGroups(a, g)
	d.shape("RMSNormBackward", "dx", a.rows, a.cols)
	gy.shape("RMSNormBackward", "dy", a.rows, a.cols)
	r.shape("RMSNormBackward", "rstd", a.rows, groups)
	if dg != nil {
		dg.shape("RMSNormBackward", "dw", 1, g.cols)
	}
	c := g.cols
	parts := e.buf.get((a.rows + normChunk - 1) / normChunk * c)
	defer e.buf.put(parts)
	e.chunks(a.rows, normChunk, func(lo, hi int) {
		sum := parts[lo/normChunk*c:][:c]
		clear(sum)
		tmp := e.buf.get(c)
		defer e.buf.put(tmp)
		for i := lo; i < hi; i++ {
			for h := range groups {
				s := r.row(i)[h]
				v, out, y := a.row(i)[h*c:][:c], d.row(i)[h*c:][:c], gy.row(i)[h*c:][:c]
				e.k.mulAdd(sum, v, y, s) // before dx, which may overwrite dy
				mean := F(e.k.dot3(y, g.data, v)*s) / F(c)
				if add {
					e.k.normBack(out, y, v, g.data, s, s*mean)
					continue
				}
				clear(tmp)
				e.k.normBack(tmp, y, v, g.data, s, s*mean)
				copy(out, tmp)
			}
		}
	})
	for lo := 0; dg != nil && lo < len(parts); lo += c {
		e.k.axpy(dg.data, parts[lo:][:c], 1)
	}
}
