package cpu

import (
	"fmt"

	"eaft/compute"
)

// rotation is RoPE's table at the positions of some rows.
type rotation[F real] struct {
	cos, sin *matrix[F]
	pos      []int32
	sign     F // -1 rotates back
}

func newRotation[F real](op string, x *matrix[F], cos, sin compute.Tensor, pos []int32) rotation[F] {
	r := rotation[F]{mat[F](cos), mat[F](sin), pos, 1}
	r.sin.shape(op, "sin", r.cos.rows, r.cos.cols)
	if half := r.cos.cols; len(pos) != x.rows || half == 0 || x.cols%(2*half) != 0 {
		panic(fmt.Sprintf("cpu: %s: x [%d, %d], %d positions, cos of %d columns", op, x.rows, x.cols, len(pos), half))
	}
	return r
}

// turn rotates the whole heads of a part of row i.
func (r *rotation[F]) turn(e *engine[F], i int, row []F) {
	half := r.cos.cols
	cos, sin := r.cos.row(int(r.pos[i])), r.sin.row(int(r.pos[i]))
	for h := 0; h < len(row); h += 2 * half {
		e.k.rope(row[h:][:half], row[h+half:][:half], cos, sin, r.sign)
	}
}

// RoPE (Su et al. 2021) in the half-split layout of Hugging Face:
// (x1, x2) -> (x1 c - x2 s, x2 c + x1 s); inverse negates s.
func (e *engine[F]) RoPE(dst, x, cos, sin compute.Tensor, pos []int32, inverse bool) {
	d, a := mat[F](dst), mat[F](x)
	a.shape("RoPE", "x", a.rows, a.cols)
	d.shapeAny("RoPE", "dst", a.rows, a.cols)
	r := newRotation("RoPE", a, cos, sin, pos)
	if inverse {
		r.sign = -1
	}
	e.rowsOf(a.rows, a.cols, func(i int) {
		if d.half == nil {
			copy(d.row(i), a.row(i))
			r.turn(e, i, d.row(i))
			return
		}
		row := e.buf.get(a.cols)
		copy(row, a.row(i))
		r.turn(e, i, row)
		e.k.narrow(d.halfRow(i), row)
		e.buf.put(row)
	})
}

// LinearRoPE rotates the tiles of the product where they have whole heads.
func (e *engine[F]) LinearRoPE(dst, x compute.Tensor, w compute.Weight, bias, cos, sin compute.Tensor, pos []int32) {
	d, a, b, bs := mat[F](dst), mat[F](x), weightOf[F](w), mat[F](bias)
	r := newRotation("LinearRoPE", d, cos, sin, pos)
	head := 2 * r.cos.cols
	unit := head / gcd(head, halfPanel) // panels that hold whole heads
	if b.half == nil || e.k.half.micro == nil || unit > halfTaskPanels {
		product := dense(d.rows, d.cols, e.buf.get(d.rows*d.cols))
		e.Linear(product, x, w, bias, nil)
		e.RoPE(dst, product, cos, sin, pos, false)
		e.buf.put(product.data)
		return
	}
	a.shapeAny("LinearRoPE", "x", d.rows, b.k)
	d.shapeAny("LinearRoPE", "dst", a.rows, b.n)
	checkOperand("LinearRoPE", a, b)
	checkOperand("LinearRoPE", d, b)
	left, done := e.halfOperand(a)
	defer done()
	panels := (e.k.half.tilePanels(d.cols, b.k) + unit - 1) / unit * unit
	e.mulTiles(d.rows, d.cols, panels, left, b.half.data, b.k, func(lo, hi, j int, t tileOf[F]) {
		for i := lo; i < hi; i++ {
			row := t.row(i - lo)
			if bs != nil {
				e.k.axpy(row, bs.data[j:], 1)
			}
			if d.half != nil {
				at := int(pos[i])
				e.k.ropeHalf(d.halfRow(i)[j:][:t.n], row, r.cos.row(at), r.sin.row(at))
				continue
			}
			r.turn(e, i, row)
			copy(d.row(i)[j:], row)
		}
	})
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
