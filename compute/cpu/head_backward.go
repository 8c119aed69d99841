package cpu

import "eaft/compute"

// headGradTile is how many columns of the vocabulary have their gradient at once.
const headGradTile = 512

// HeadBackward: with dlogits[i] = coef[i] (softmax(x_i w^T) - onehot(target_i)),
// dx = dlogits w and dw += dlogits^T x, tile by tile of the vocabulary in order.
func (e *engine[F]) HeadBackward(dx, dw, x compute.Tensor, cw compute.Weight, targets []int32, lse, coef []F) {
	gx, gw, a, w := mat[F](dx), mat[F](dw), mat[F](x), weightOf[F](cw)
	n, d := a.rows, w.k
	a.shape("HeadBackward", "x", len(targets), d)
	gx.shape("HeadBackward", "dx", n, d)
	gw.shape("HeadBackward", "dw", w.n, d)
	if len(lse) != n || len(coef) != n {
		panic("cpu: HeadBackward: lse and coef need one entry for each target")
	}
	clear(gx.data)
	if n == 0 {
		return
	}
	data, done := e.operand(a, w.dtype)
	defer done()
	nr := e.k.nr
	packed := e.buf.get((d + nr - 1) / nr * nr * n) // x as a right operand, used by every tile
	defer e.buf.put(packed)
	e.packAll(packed, right[F]{f: data, ld: d}, 0, d, n)
	dl := e.buf.get(n * headGradTile)
	defer e.buf.put(dl)
	for lo := 0; lo < w.n; lo += headGradTile {
		cols := min(headGradTile, w.n-lo)
		e.mul(dl, headGradTile, n, cols, left[F]{data, d, 1}, rightOf(w, lo, true), d, false)
		e.rowsOf(n, cols, func(i int) {
			row := dl[i*headGradTile:][:cols]
			e.k.expSum(row, lse[i])
			for j := range row {
				row[j] *= coef[i]
			}
			if y := int(targets[i]) - lo; y >= 0 && y < cols {
				row[y] -= coef[i]
			}
			if w.dtype == compute.BF16 {
				e.k.round(row, row)
			}
		})
		e.mul(gx.data, d, n, d, left[F]{dl, headGradTile, 1}, rightOf(w, lo, false), cols, true)
		e.mulPacked(gw.data[lo*d:], d, cols, d, left[F]{dl, 1, headGradTile}, packed, n, true)
	}
}
