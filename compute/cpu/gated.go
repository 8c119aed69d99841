package cpu

import (
	"unsafe"

	"eaft/compute"
)

// GatedLinear: act = silu(g) * u with g = x gate^T and u = x up^T, tile by tile;
// see compute.Device.
func (e *engine[F]) GatedLinear(act, g, u, x compute.Tensor, gate, up compute.Weight, gateBias, upBias compute.Tensor) {
	const op = "GatedLinear"
	d, a := mat[F](act), mat[F](x)
	ws, factors := [2]*weight[F]{weightOf[F](gate), weightOf[F](up)}, [2]*matrix[F]{mat[F](g), mat[F](u)}
	biases := [2]*matrix[F]{mat[F](gateBias), mat[F](upBias)}
	a.shapeAny(op, "x", d.rows, ws[0].k)
	d.shapeAny(op, "act", a.rows, ws[0].n)
	checkOperand(op, a, ws[0])
	if ws[1].n != ws[0].n || ws[1].k != ws[0].k || (ws[1].half == nil) != (ws[0].half == nil) || (g == nil) != (u == nil) {
		panic("cpu: GatedLinear: gate and up differ in shape or dtype")
	}
	for i := range 2 {
		if b := biases[i]; b != nil {
			b.shape(op, "bias", 1, d.cols)
		}
		if f := factors[i]; f != nil {
			f.shapeAny(op, "a factor", d.rows, d.cols)
		}
	}
	if ws[0].half == nil || e.k.half.micro == nil {
		e.gatedWhole(d, factors, x, gate, up, gateBias, upBias)
		return
	}
	left, done := e.halfOperand(a)
	defer done()
	h, pairs := &e.k.half, ws[0].half.pairs
	wide := h.least * halfPanel // of each weight, before the factors are joined: they stay in the first caches
	ld := apart(wide)
	e.tasks(d.rows, d.cols, wide, func(t task) {
		j, n := t.j, t.n
		buf := e.buf.get(2 * h.rows * ld)
		defer e.buf.put(buf)
		var soon [2]ahead
		for f, w := range ws {
			soon[f] = t.following(w.half.data, pairs)
		}
		rowBlocks(t.lo, t.hi, h.rows, h.unit(), func(i, to int) {
			for f, w := range ws {
				out := buf[f*h.rows*ld:]
				h.rowsBlock(unsafe.Pointer(&out[0]), ld, to-i, (n+halfPanel-1)/halfPanel, left.from(i), f == 1 && to < t.hi, w.half.from(j), pairs, pairs, false, &soon[f])
				if b := biases[f]; b != nil {
					for r := range to - i {
						e.k.axpy(out[r*ld:][:n], b.data[j:][:n], 1)
					}
				}
			}
			e.gate(d, factors, i, to, j, n, buf, buf[h.rows*ld:], ld)
		})
	})
}

// gate writes what comes of a tile of the factors g and u, rows [lo, hi) of n from
// column j on, which lie ld apart; it may write over g.
func (e *engine[F]) gate(act *matrix[F], factors [2]*matrix[F], lo, hi, j, n int, g, u []F, ld int) {
	for f, tile := range [2][]F{g, u} {
		for i := lo; i < hi && factors[f] != nil; i++ {
			e.streamRow(factors[f], i, j, tile[(i-lo)*ld:][:n])
		}
	}
	if act.half != nil {
		e.k.swigluHalf(act.half[lo*act.ld+j:], g, u, hi-lo, n, act.ld, ld)
		return
	}
	for i := lo; i < hi; i++ {
		e.k.swiglu(act.row(i)[j:][:n], g[(i-lo)*ld:][:n], u[(i-lo)*ld:][:n])
	}
}

// writeRow writes to row i from column j on.
func (e *engine[F]) writeRow(d *matrix[F], i, j int, row []F) {
	if d.half != nil {
		e.k.narrow(d.halfRow(i)[j:][:len(row)], row)
	} else {
		copy(d.row(i)[j:], row)
	}
}

// readRow reads from row i from column j on.
func (e *engine[F]) readRow(row []F, s *matrix[F], i, j int) {
	if s.half != nil {
		e.k.widen(row, s.halfRow(i)[j:][:len(row)])
	} else {
		copy(row, s.row(i)[j:])
	}
}

// streamRow is writeRow for what is not read soon.
func (e *engine[F]) streamRow(d *matrix[F], i, j int, row []F) {
	if d.half != nil {
		e.k.narrowStream(d.halfRow(i)[j:][:len(row)], row)
	} else {
		copy(d.row(i)[j:], row)
	}
}

// gatedRows is how many rows have their factors held at once without bfloat16 kernels.
const gatedRows = 256

// gatedWhole holds the factors of some rows at a time.
func (e *engine[F]) gatedWhole(d *matrix[F], factors [2]*matrix[F], x compute.Tensor, gate, up compute.Weight, gateBias, upBias compute.Tensor) {
	for lo := 0; lo < d.rows; lo += gatedRows {
		hi := min(d.rows, lo+gatedRows)
		g := dense(hi-lo, d.cols, e.buf.get((hi-lo)*d.cols))
		u := dense(hi-lo, d.cols, e.buf.get((hi-lo)*d.cols))
		e.Linear(g, x.Slice(lo, hi), gate, gateBias, nil)
		e.Linear(u, x.Slice(lo, hi), up, upBias, nil)
		e.rowsOf(hi-lo, d.cols, func(i int) { e.gate(d, factors, lo+i, lo+i+1, 0, d.cols, g.row(i), u.row(i), d.cols) })
		e.buf.put(g.data)
		e.buf.put(u.data)
	}
}

// GatedBackward: dg, du and down's gradients; the gradient of silu(g) * u and
// that product itself exist tile by tile, the product in the operand's precision.
func (e *engine[F]) GatedBackward(dg, du, g, u compute.Tensor, down compute.Projection) {
	const op = "GatedBackward"
	b := &gatedBack[F]{e: e, dg: mat[F](dg), du: mat[F](du), g: mat[F](g), u: mat[F](u)}
	dy, w, dw, db := mat[F](down.DY), weightOf[F](down.W), mat[F](down.DW), mat[F](down.DBias)
	T := dy.rows
	dy.shapeAny(op, "dy", T, w.n)
	if dw != nil {
		dw.shape(op, "dw", w.n, w.k)
	}
	for _, m := range []*matrix[F]{b.dg, b.du, b.g, b.u} {
		m.shapeAny(op, "a factor or its gradient", T, w.k)
		checkOperand(op, m, w)
	}
	if db != nil {
		db.shape(op, "dbias", 1, w.n)
		e.addRows(db.data, dy)
	}
	if w.half == nil || e.k.half.micro == nil {
		b.whole(dy, w, dw, down.Set)
		return
	}
	left, done := e.halfOperand(dy)
	defer done()
	ld := halfStride(w.k)
	act := &matrix[F]{rows: T, cols: w.k, half: e.halves.get(T * ld), ld: ld}
	ws := e.repack(w, 0, w.n)
	e.mulTiles(T, w.k, e.k.half.tilePanels(w.k, w.n), left, ws, w.n, func(lo, hi, j int, t tileOf[F]) { b.tile(act, lo, hi, j, t) })
	e.halves.put(ws)
	if dw != nil {
		packed := e.halves.get(packedSize(T, w.k))
		e.packColsAll(packed, leftHalf{act.half, ld}, w.k, T)
		e.mulTurned(dw.data, dw.cols, w.n, w.k, left, packed, T, !down.Set)
		e.halves.put(packed)
	}
	e.halves.put(act.half)
}

type gatedBack[F real] struct {
	e            *engine[F]
	dg, du, g, u *matrix[F]
}

// tile turns a tile of dact, rows [lo, hi) from column j on, into the factors'
// gradients, and writes the product of the factors to act.
func (b *gatedBack[F]) tile(act *matrix[F], lo, hi, j int, t tileOf[F]) {
	e, n := b.e, t.n
	if e.k.swigluBackHalf != nil && b.dg.half != nil && b.du.half != nil && act.half != nil && b.g.half != nil && b.u.half != nil {
		ahead := b.g.ld * e.k.half.rows
		for i := lo; i < hi; i++ {
			part := func(m *matrix[F]) []uint16 { return m.halfRow(i)[j:][:n] }
			e.k.swigluBackHalf(part(b.dg), part(b.du), part(act), t.row(i-lo), part(b.g), part(b.u), ahead)
		}
		return
	}
	buf := e.buf.get(4 * n)
	defer e.buf.put(buf)
	dg, du, g, u := buf[:n], buf[n:][:n], buf[2*n:][:n], buf[3*n:]
	for i := lo; i < hi; i++ {
		e.readRow(g, b.g, i, j)
		e.readRow(u, b.u, i, j)
		dact := t.row(i - lo)
		e.k.swigluBack(dg, du, dact, g, u)
		e.writeRow(b.dg, i, j, dg)
		e.writeRow(b.du, i, j, du)
		e.writeRow(act, i, j, dact)
	}
}

// whole holds the gradient of the product whole.
func (b *gatedBack[F]) whole(dy *matrix[F], w *weight[F], dw *matrix[F], set bool) {
	e := b.e
	gd, done := e.operand(dy, w.dtype)
	defer done()
	act := dense(dy.rows, w.k, e.buf.get(dy.rows*w.k))
	e.mul(act.data, w.k, dy.rows, w.k, left[F]{gd, w.n, 1}, rightOf(w, 0, false), w.n, false)
	e.chunks(dy.rows, max(1, spanChunk/w.k), func(lo, hi int) {
		b.tile(act, lo, hi, 0, tileOf[F]{act.data[lo*w.k:], w.k, w.k})
	})
	if dw != nil {
		ad, done2 := e.operand(act, w.dtype)
		e.mul(dw.data, dw.cols, dw.rows, dw.cols, left[F]{gd, 1, w.n}, right[F]{f: ad, ld: w.k}, dy.rows, !set)
		done2()
	}
	e.buf.put(act.data)
}
