package cpu

import (
	"fmt"

	"eaft/compute"
)

// RoPE (Su et al. 2021) in the half-split layout of Hugging Face:
// (x1, x2) -> (x1 c - x2 s, x2 c + x1 s); inverse negates s.
func (e *engine[F]) RoPE(dst, x, cos, sin compute.Tensor, pos []int32, inverse bool) {
	d, a, c, s := mat[F](dst), mat[F](x), mat[F](cos), mat[F](sin)
	a.shape("RoPE", "x", a.rows, a.cols)
	d.shapeAny("RoPE", "dst", a.rows, a.cols)
	half := c.cols
	s.shape("RoPE", "sin", c.rows, c.cols)
	if len(pos) != a.rows || half == 0 || a.cols%(2*half) != 0 {
		panic(fmt.Sprintf("cpu: RoPE: x [%d, %d], %d positions, cos of %d columns", a.rows, a.cols, len(pos), half))
	}
	sign := F(1)
	if inverse {
		sign = -1
	}
	e.rowsOf(a.rows, a.cols, func(i int) {
		cr, sr := c.row(int(pos[i])), s.row(int(pos[i]))
		var row []F
		if d.half != nil {
			row = e.buf.get(a.cols)
			defer e.buf.put(row)
		} else {
			row = d.row(i)
		}
		copy(row, a.row(i))
		for h := 0; h < a.cols; h += 2 * half {
			e.k.rope(row[h:][:half], row[h+half:][:half], cr, sr, sign)
		}
		if d.half != nil {
			e.k.narrow(d.halfRow(i), row)
		}
	})
}
