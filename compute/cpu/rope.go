package cpu

import (
	"fmt"

	"eaft/compute"
)

// RoPE (Su et al. 2021) in the half-split layout of Hugging Face:
// (x1, x2) -> (x1 c - x2 s, x2 c + x1 s); inverse negates s.
func (e *engine[F]) RoPE(x, cos, sin compute.Tensor, pos []int32, inverse bool) {
	a, c, s := mat[F](x), mat[F](cos), mat[F](sin)
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
		row := a.row(i)
		for h := 0; h < a.cols; h += 2 * half {
			e.k.rope(row[h:][:half], row[h+half:][:half], cr, sr, sign)
		}
	})
}
