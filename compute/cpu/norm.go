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
	e.rowsOf(a.rows, a.cols, func(i int) {
		var row []F
		if d.half != nil {
			row = e.buf.get(d.cols)
			defer e.buf.put(row)
		} else {
			row = d.row(i)
		}
		for h := range groups {
			in, out := a.row(i)[h*c:][:c], row[h*c:][:c]
			s := F(1 / math.Sqrt(float64(e.k.dot(in, in)/F(c)+F(eps))))
			if r != nil {
				r.row(i)[h] = s
			}
			wt := g.data[:len(out)]
			in = in[:len(out)]
			for j := range out {
				out[j] = F(in[j]*s) * wt[j]
			}
		}
		if d.half != nil {
			e.k.narrow(d.halfRow(i), row)
		}
	})
}

func normGroups[F real](x, w *matrix[F]) int {
	if w.rows != 1 || w.cols == 0 || x.cols%w.cols != 0 {
		panic(fmt.Sprintf("cpu: RMSNorm: w is [%d, %d] for x [%d, %d]", w.rows, w.cols, x.rows, x.cols))
	}
	return x.cols / w.cols
}

// RMSNormBackward: with n = x rstd and g = dy w, dx = rstd (g - n mean(g n)) and
// dw += sum of dy n, rows ascending. dx may be dy when add is false.
func (e *engine[F]) RMSNormBackward(dx, dw, dy, x, rstd, w compute.Tensor, add bool) {
	d, dg, gy, a, r, g := mat[F](dx), mat[F](dw), mat[F](dy), mat[F](x), mat[F](rstd), mat[F](w)
	groups := normGroups(a, g)
	d.shape("RMSNormBackward", "dx", a.rows, a.cols)
	gy.shape("RMSNormBackward", "dy", a.rows, a.cols)
	r.shape("RMSNormBackward", "rstd", a.rows, groups)
	dg.shape("RMSNormBackward", "dw", 1, g.cols)
	c := g.cols
	e.chunks(c, columnChunk, func(lo, hi int) { // before dx, which may overwrite dy
		sum := dg.data[lo:hi]
		for i := range a.rows {
			for h := range groups {
				s := r.row(i)[h]
				y, v := gy.row(i)[h*c+lo:][:len(sum)], a.row(i)[h*c+lo:][:len(sum)]
				for j := range sum {
					sum[j] += F(y[j] * F(v[j]*s))
				}
			}
		}
	})
	e.rowsOf(a.rows, a.cols, func(i int) {
		tmp := e.buf.get(c)
		for h := range groups {
			s := r.row(i)[h]
			v, out := a.row(i)[h*c:][:c], d.row(i)[h*c:][:c]
			y := gy.row(i)[h*c:][:c]
			for j := range tmp {
				tmp[j] = y[j] * g.data[j]
			}
			mean := F(e.k.dot(tmp, v)*s) / F(c)
			for j := range out {
				t := s * (tmp[j] - F(F(v[j]*s)*mean))
				if add {
					t += out[j]
				}
				out[j] = t
			}
		}
		e.buf.put(tmp)
	})
}
