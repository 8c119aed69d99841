package cpu

import "eaft/compute"

// headGradTile is how many columns of the vocabulary have their gradient at once.
const headGradTile = 1024

// HeadBackward: with dlogits[i] = coef[i] (softmax(x_i w^T) - onehot(target_i)),
// dx = dlogits w and dw += dlogits^T x, tile by tile of the vocabulary in order.
// What r adds to dlogits is made of the same tiles.
func (e *engine[F]) HeadBackward(dx, dw, x compute.Tensor, set bool, cw compute.Weight, targets []int32, lse, coef []F, r *compute.HeadRegularisers) compute.HeadTerms {
	if r == nil {
		e.headBackward(dx, dw, x, set, cw, targets, lse, coef, nil)
		return compute.HeadTerms{}
	}
	reg := newHeadReg[F](r)
	e.headBackward(dx, dw, x, set, cw, targets, lse, coef, reg)
	return reg.terms()
}

func (e *engine[F]) headBackward(dx, dw, x compute.Tensor, set bool, cw compute.Weight, targets []int32, lse, coef []F, r *headReg[F]) {
	gx, gw, a, w := mat[F](dx), mat[F](dw), mat[F](x), weightOf[F](cw)
	n, d := a.rows, w.k
	a.shapeAny("HeadBackward", "x", len(targets), d)
	checkOperand("HeadBackward", a, w)
	gx.shape("HeadBackward", "dx", n, d)
	if gw != nil {
		gw.shape("HeadBackward", "dw", w.n, d)
	}
	if len(lse) != n || len(coef) != n {
		panic("cpu: HeadBackward: lse and coef need one entry for each target")
	}
	clear(gx.data)
	if n == 0 {
		return
	}
	h := &headGrad[F]{e: e, w: w, set: set, targets: targets, lse: lse, coef: coef, reg: r}
	if r != nil {
		r.begin(h)
	}
	if w.half != nil && e.k.half.micro != nil {
		h.runHalf(gx, gw, a)
	} else {
		h.run(gx, gw, a)
	}
}

type headGrad[F real] struct {
	e         *engine[F]
	w         *weight[F]
	targets   []int32
	lse, coef []F
	set       bool        // the weight's gradient is not added to what is there
	reg       *headReg[F] // nil: none
}

// gradient turns row i of the logits from column lo on into those of dL/dlogits.
// base are the base model's, which it writes over; nil without one.
func (h *headGrad[F]) gradient(row, base []F, i, lo int) {
	if h.reg != nil {
		h.reg.gradient(h, row, base, i, lo)
		return
	}
	h.e.k.expSum(row, h.lse[i])
	h.e.k.scale(row, row, h.coef[i])
	if y := int(h.targets[i]) - lo; y >= 0 && y < len(row) {
		row[y] -= h.coef[i]
	}
}

func (h *headGrad[F]) run(gx, gw, x *matrix[F]) {
	e, w, n, d := h.e, h.w, x.rows, h.w.k
	data, done := e.operand(x, w.dtype)
	defer done()
	nr := e.k.nr
	packed := e.buf.get((d + nr - 1) / nr * nr * n) // x as a right operand, used by every tile
	defer e.buf.put(packed)
	e.packAll(packed, right[F]{f: data, ld: d}, 0, d, n)
	dl := e.buf.get(n * headGradTile)
	defer e.buf.put(dl)
	part := e.buf.get(n * d) // of a tile: one sum over the whole vocabulary would lose digits
	defer e.buf.put(part)
	var baseX, base []F
	if h.reg.hasBase() {
		var done func()
		baseX, done = e.operand(h.reg.x, w.dtype)
		defer done()
		base = e.buf.get(n * headGradTile)
		defer e.buf.put(base)
	}
	for lo := 0; lo < w.n; lo += headGradTile {
		cols := min(headGradTile, w.n-lo)
		e.mul(dl, headGradTile, n, cols, left[F]{data, d, 1}, rightOf(w, lo, true), d, false)
		if base != nil {
			b := h.reg.w
			e.mul(base, headGradTile, n, cols, left[F]{baseX, b.k, 1}, rightOf(b, lo, true), b.k, false)
		}
		e.rowsOf(n, cols, func(i int) {
			row := dl[i*headGradTile:][:cols]
			var other []F
			if base != nil {
				other = base[i*headGradTile:][:cols]
			}
			h.gradient(row, other, i, lo)
			if w.dtype == compute.BF16 {
				e.k.round(row, row)
			}
		})
		e.mul(part, d, n, d, left[F]{dl, headGradTile, 1}, rightOf(w, lo, false), cols, false)
		e.spans(n*d, func(lo, hi int) { e.k.axpy(gx.data[lo:hi], part[lo:hi], 1) })
		if gw != nil {
			e.mulPacked(gw.data[lo*d:], d, cols, d, left[F]{dl, 1, headGradTile}, packed, n, !h.set)
		}
	}
}

func (h *headGrad[F]) runHalf(gx, gw, x *matrix[F]) {
	e, w, n, d := h.e, h.w, x.rows, h.w.k
	a, done := e.halfOperand(x)
	defer done()
	packed := e.halves.get(packedSize(n, d)) // x as a right operand, used by every tile
	defer e.halves.put(packed)
	e.packColsAll(packed, a, d, n)
	ld := halfStride(headGradTile)
	dl := e.halves.get(n * ld)
	defer e.halves.put(dl)
	rows, pairs := e.k.half.rows, w.half.pairs
	size := rows * apart(headGradTile)
	buf := size // of a task
	var baseX leftHalf
	if h.reg.hasBase() {
		var done func()
		baseX, done = e.halfOperand(h.reg.x)
		defer done()
		buf += size
	}
	for lo := 0; lo < w.n; lo += headGradTile {
		cols := min(headGradTile, w.n-lo)
		full := (cols + halfPanel - 1) / halfPanel * halfPanel
		e.chunks(n, rows, func(i, to int) {
			logits := e.buf.get(buf)
			mulHalfBlock(&e.k.half, logits, apart(headGradTile), to-i, full, a.from(i), w.half.from(lo), pairs, pairs, false)
			if buf > size {
				b := h.reg.w.half
				mulHalfBlock(&e.k.half, logits[size:], apart(headGradTile), to-i, full, baseX.from(i), b.from(lo), b.pairs, b.pairs, false)
			}
			for r := i; r < to; r++ {
				row := logits[(r-i)*apart(headGradTile):][:cols]
				var other []F
				if buf > size {
					other = logits[size+(r-i)*apart(headGradTile):][:cols]
				}
				h.gradient(row, other, r, lo)
				clear(dl[r*ld+cols : (r+1)*ld])
				e.k.narrow(dl[r*ld:][:cols], row)
			}
			e.buf.put(logits)
		})
		ws := e.repack(w, lo, lo+cols)
		e.mulHalf(gx.data, d, n, d, leftHalf{dl, ld}, ws, cols, true)
		e.halves.put(ws)
		if gw != nil {
			e.mulTurned(gw.data[lo*d:], d, cols, d, leftHalf{dl, ld}, packed, n, !h.set)
		}
	}
}
