package cpu

import (
	"slices"
	"unsafe"

	"eaft/compute"
)

const (
	halfTaskRows   = 512 // that pass one panel after another, at most: they stay in the second cache
	halfTaskTiles  = 4   // tiles of rows in a task, about
	halfTaskPanels = 8   // of a task, at most
)

// leftHalf is a left-hand bfloat16 operand: rows ld apart, zero behind the
// columns up to a whole cache line.
type leftHalf struct {
	data []uint16
	ld   int
}

func (a leftHalf) from(i int) leftHalf { return leftHalf{a.data[i*a.ld:], a.ld} }

// cut is where the i-th of n parts of m begins, in whole units.
func cut(i, n, m, unit int) int { return min(m, i*((m+unit-1)/unit)/n*unit) }

// unit is what blocks of rows are cut to: full tiles and a rest where that is
// fastest, otherwise to equal height.
func (h *halfKernels) unit() int {
	if h.even {
		return 1
	}
	return h.rows
}

// rowBlocks cuts the rows [lo, hi) into blocks of at most tile rows.
func rowBlocks(lo, hi, tile, unit int, f func(lo, hi int)) {
	m := hi - lo
	n := (m + tile - 1) / tile
	for i := range n {
		f(lo+cut(i, n, m, unit), lo+cut(i+1, n, m, unit))
	}
}

// ahead is memory that is read soon. While a micro-kernel multiplies it brings
// some of it to the second cache: panels come from memory, and a core that waits
// for them spends an eighth of a product so.
type ahead struct{ at, end uintptr }

func aheadOf(b []uint16) ahead {
	at := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	return ahead{at, at + uintptr(2*len(b))}
}

// take is where the next lines start, or here, which is in the caches, if none is left.
func (s *ahead) take(lines int, here unsafe.Pointer) uintptr {
	at := s.at
	if at >= s.end {
		return uintptr(here)
	}
	s.at += uintptr(lines * lineBytes)
	return at
}

// following are the panels behind columns [j, j+n) of b, as many; behind the last
// column a thread meets the first again, with other rows.
func following(b []uint16, j, n, packed int) ahead {
	size := func(n int) int { return (n + halfPanel - 1) / halfPanel * packed * 2 * halfPanel }
	at := size(j + n)
	if at >= len(b) {
		at = 0
	}
	return aheadOf(b[at:min(at+size(n), len(b))])
}

// mulHalfBlock computes c[m][n] (+)= a b on one thread with the micro-kernel, b
// being panels of packed pairs, of which the first pairs are summed. The order
// of an element's sum depends on pairs alone. The panels behind are read ahead.
func mulHalfBlock[F real](h *halfKernels, c []F, ldc, m, n int, a leftHalf, b []uint16, packed, pairs int, acc bool) {
	soon := following(b, 0, n, packed)
	mulHalfAhead(h, c, ldc, m, n, a, b, packed, pairs, acc, &soon)
}

// mulHalfAhead is mulHalfBlock that reads soon ahead.
func mulHalfAhead[F real](h *halfKernels, c []F, ldc, m, n int, a leftHalf, b []uint16, packed, pairs int, acc bool, soon *ahead) {
	size := packed * 2 * halfPanel
	full := n / halfPanel
	var edge []F
	if n%halfPanel != 0 {
		edge = make([]F, h.rows*halfPanel)
	}
	rowBlocks(0, m, h.rows, h.unit(), func(lo, hi int) {
		h.rowsBlock(unsafe.Pointer(unsafe.SliceData(c[lo*ldc:])), ldc, hi-lo, full, a.from(lo), hi < m, b, packed, pairs, acc, soon)
		if edge != nil {
			j := full * halfPanel
			for r := range hi - lo {
				copy(edge[r*halfPanel:][:n-j], c[(lo+r)*ldc+j:])
			}
			h.rowsBlock(unsafe.Pointer(&edge[0]), halfPanel, hi-lo, 1, a.from(lo), false, b[full*size:], packed, pairs, acc, soon)
			for r := range hi - lo {
				copy(c[(lo+r)*ldc+j:][:n-j], edge[r*halfPanel:])
			}
		}
	})
}

// rowsBlock is mulHalfBlock for one block of rows and whole panels, c being
// float32 rows of ldc; more: rows of a follow, which are read next.
func (h *halfKernels) rowsBlock(c unsafe.Pointer, ldc, rows, panels int, a leftHalf, more bool, b []uint16, packed, pairs int, acc bool, soon *ahead) {
	size := packed * 2 * halfPanel
	t := halfTile{rs: 2 * a.ld, bs: 2 * size, ldc: 4 * ldc, rows: rows}
	if rows == 1 && h.row != nil && !acc { // a token alone: bound by memory, and by latency if its sums went one by one
		t.a, t.pairs = unsafe.Pointer(&a.data[0]), pairs
		for ; panels >= 4; panels -= 4 {
			t.b, t.c = unsafe.Pointer(&b[0]), c
			h.row(t)
			if panels == 4 {
				return
			}
			b, c = b[4*size:], unsafe.Add(c, 4*halfPanel*4)
		}
	}
	for k := 0; k < pairs; k += h.step {
		t.a, t.pairs, t.acc = unsafe.Pointer(&a.data[2*k]), min(h.step, pairs-k), 0
		if acc || k > 0 {
			t.acc = 1
		}
		for p := 0; p < panels; p += t.panels {
			t.b, t.c = unsafe.Pointer(&b[p*size+k*2*halfPanel]), unsafe.Add(c, p*halfPanel*4)
			if h.nextRows && p == 0 && more {
				t.panels, t.next = 1, uintptr(unsafe.Pointer(&a.data[rows*a.ld+2*k]))
			} else {
				t.panels = min(h.panels, panels-p)
				t.next = soon.take(t.panels*t.pairs/16*h.ahead, t.b)
			}
			h.micro(t)
		}
	}
}

// task is a block of a product: rows [lo, hi) and columns [j, j+n), whole panels.
type task struct {
	lo, hi, j, n int
	part, parts  int // of the rows that pass the same panels on the same thread
}

// following are the panels of b, pairs of rows high, that the task's thread meets
// next, behind the last the first, and of them as much as its rows are of all
// that pass these.
func (t task) following(b []uint16, pairs int) ahead {
	s := following(b, t.j, t.n, pairs)
	lines := int(s.end-s.at) / lineBytes
	return ahead{s.at + uintptr(t.part*lines/t.parts*lineBytes), s.at + uintptr((t.part+1)*lines/t.parts*lineBytes)}
}

// tasks cuts a product of m rows and n columns into blocks of columns j, j+wide
// (whole panels) and some rows. Panels come from afar and serve many rows, so a
// thread takes all its rows past the same panels, in parts that are short: at the
// end one thread waits for the other's last. The same thread meets the rows again
// in the next operation.
func (e *engine[F]) tasks(m, n, wide int, f func(t task)) {
	tile, unit := e.k.half.rows, e.k.half.unit()
	tiles := (m + tile - 1) / tile
	down := min(tiles, max(e.pool.threads, (m+halfTaskRows-1)/halfTaskRows))
	across := (n + wide - 1) / wide
	parts := max(1, tiles/(down*halfTaskTiles))
	e.pool.run(down*across*parts, func(i int) {
		i, part := i/parts, i%parts
		i, p := i/across*parts+part, i%across
		f(task{cut(i, down*parts, m, unit), cut(i+1, down*parts, m, unit), p * wide, min(wide, n-p*wide), part, parts})
	})
}

// taskPanels is how many panels a task of a product of m rows and n columns has:
// at least 8 tasks for each thread, but not so few panels that the rows of A are
// read again for little.
func (e *engine[F]) taskPanels(m, n int) int {
	panels := (n + halfPanel - 1) / halfPanel
	return max(min(e.k.half.least, panels), min(halfTaskPanels, panels*((m+halfTaskRows-1)/halfTaskRows)/(8*e.pool.threads)))
}

// tilePanels is how many panels of k rows a tile has whose rows are joined with
// rows of a matrix far away: these are read in pieces that are long enough for
// the hardware to read ahead, while the panels stay in the second cache. The n
// columns make tiles of nearly equal width.
func (h *halfKernels) tilePanels(n, k int) int {
	panels := (n + halfPanel - 1) / halfPanel
	most := max(4, h.tile/(halfPairs(k)*4*halfPanel))
	across := (panels + most - 1) / most
	return (panels + across - 1) / across
}

// mulHalf computes c[m][n] (+)= a b for packed panels b of k rows on all threads.
func (e *engine[F]) mulHalf(c []F, ldc, m, n int, a leftHalf, b []uint16, k int, acc bool) {
	if acc {
		ahead := ldc * e.k.half.rows // the rows of the next tile, while this one's are added and the next one's made
		e.mulTiles(m, n, e.k.half.tilePanels(n, k), a, b, k, func(lo, hi, j int, t tileOf[F]) {
			for i := lo; i < hi; i++ {
				e.k.addAhead(c[i*ldc+j:][:t.n], t.row(i-lo), ahead)
			}
		})
		return
	}
	pairs := halfPairs(k)
	e.tasks(m, n, e.taskPanels(m, n)*halfPanel, func(t task) {
		soon := t.following(b, pairs)
		mulHalfAhead(&e.k.half, c[t.lo*ldc+t.j:], ldc, t.hi-t.lo, t.n, a.from(t.lo), b[t.j*2*pairs:], pairs, pairs, false, &soon)
	})
}

// linearHalf computes d = a b + bias + res, either nil for none.
func (e *engine[F]) linearHalf(d *matrix[F], a leftHalf, b []uint16, k int, bias, res *matrix[F]) {
	if d.half == nil && res == nil && bias == nil {
		e.mulHalf(d.data, d.cols, d.rows, d.cols, a, b, k, false)
		return
	}
	e.mulTiles(d.rows, d.cols, e.k.half.tilePanels(d.cols, k), a, b, k, func(lo, hi, j int, t tileOf[F]) {
		for i := lo; i < hi; i++ {
			row := t.row(i - lo)
			if bias != nil {
				e.k.axpy(row, bias.data[j:], 1)
			}
			switch {
			case res == nil:
				e.writeRow(d, i, j, row)
			case res == d:
				e.k.axpy(d.row(i)[j:][:t.n], row, 1)
			default: // the rows are no older than the last use of the memory: far away
				e.k.sumStream(d.row(i)[j:][:t.n], res.row(i)[j:], row)
			}
		}
	})
}

// tileOf is a tile of a product: n columns of rows that are ld apart.
type tileOf[F real] struct {
	data  []F
	n, ld int
}

func (t tileOf[F]) row(i int) []F { return t.data[i*t.ld:][:t.n] }

// mulTiles computes a b [m][n] and hands it out while it is in the first caches:
// f gets rows [lo, hi) from column j on.
func (e *engine[F]) mulTiles(m, n, panels int, a leftHalf, b []uint16, k int, f func(lo, hi, j int, t tileOf[F])) {
	pairs, ld := halfPairs(k), apart(panels*halfPanel)
	e.tasks(m, n, panels*halfPanel, func(t task) {
		h := &e.k.half
		buf := e.buf.get(h.rows * ld)
		defer e.buf.put(buf)
		soon := t.following(b, pairs)
		rowBlocks(t.lo, t.hi, h.rows, h.unit(), func(i, to int) {
			h.rowsBlock(unsafe.Pointer(&buf[0]), ld, to-i, (t.n+halfPanel-1)/halfPanel, a.from(i), to < t.hi, b[t.j*2*pairs:], pairs, pairs, false, &soon)
			f(i, to, t.j, tileOf[F]{buf, t.n, ld})
		})
	})
}

// halfOperand is x as rows of bfloat16; done gives back what it took.
func (e *engine[F]) halfOperand(x *matrix[F]) (a leftHalf, done func()) {
	if x.half != nil {
		return leftHalf{x.half, x.ld}, func() {}
	}
	ld := halfStride(x.cols)
	buf := e.halves.get(x.rows * ld)
	e.rowsOf(x.rows, x.cols, func(i int) {
		e.k.narrow(buf[i*ld:][:x.cols], x.row(i))
		clear(buf[i*ld+x.cols:][:ld-x.cols])
	})
	return leftHalf{buf, ld}, func() { e.halves.put(buf) }
}

// linearBackwardHalf is LinearBackward with bfloat16 kernels. x is packed once
// for all projections.
func (e *engine[F]) linearBackwardHalf(d, x *matrix[F], add bool, ps []compute.Projection) {
	T := x.rows
	var xs []uint16
	if slices.ContainsFunc(ps, func(p compute.Projection) bool { return p.DW != nil }) {
		a, done := e.halfOperand(x)
		defer done()
		xs = e.halves.get(packedSize(T, x.cols))
		defer e.halves.put(xs)
		e.packColsAll(xs, a, x.cols, T)
	}
	for i, p := range ps {
		g, w, dw := mat[F](p.DY), weightOf[F](p.W), mat[F](p.DW)
		dy, done := e.halfOperand(g)
		ws := e.repack(w, 0, w.n)
		if d.half != nil {
			e.linearHalf(d, dy, ws, w.n, nil, nil)
		} else {
			e.mulHalf(d.data, d.cols, T, d.cols, dy, ws, w.n, add || i > 0)
		}
		e.halves.put(ws)
		if dw != nil {
			e.mulTurned(dw.data, dw.cols, w.n, w.k, dy, xs, T, !p.Set)
		}
		done()
	}
}

// repack packs the rows [lo, hi) of w anew, for the sum over them. lo is a multiple
// of 32 and hi too, or the last row.
func (e *engine[F]) repack(w *weight[F], lo, hi int) []uint16 {
	ws := e.halves.get(packedSize(hi-lo, w.k))
	e.chunks(w.k, halfPanel, func(j, _ int) {
		e.k.half.repack(ws[j*2*halfPairs(hi-lo):], w.half.from(lo)[j*halfPanel:], w.half.pairs*2*halfPanel, halfPairs(hi-lo)*2/halfPanel)
	})
	return ws
}

// mulTurned computes c[m][n] (+)= a^T b, where a has k rows of m columns and b, of k
// rows too, is packed. c is far away.
func (e *engine[F]) mulTurned(c []F, ldc, m, n int, a leftHalf, b []uint16, k int, acc bool) {
	pairs, ld := halfPairs(k), halfStride(k)
	turned := e.halves.get(m * ld)
	e.chunks(m, halfPanel, func(lo, hi int) {
		panel := e.halves.get(2 * halfPanel * pairs)
		e.k.half.packCols(panel, a.data[lo:], a.ld, hi-lo, k)
		e.k.half.unpackRows(turned[lo*ld:], panel, ld, hi-lo, pairs)
		e.halves.put(panel)
	})
	if t := (leftHalf{turned, ld}); acc {
		e.mulHalf(c, ldc, m, n, t, b, k, true)
	} else {
		e.mulTiles(m, n, e.k.half.tilePanels(n, k), t, b, k, func(lo, hi, j int, t tileOf[F]) {
			for i := lo; i < hi; i++ {
				e.k.stream(c[i*ldc+j:][:t.n], t.row(i-lo))
			}
		})
	}
	e.halves.put(turned)
}

func (e *engine[F]) packColsAll(dst []uint16, a leftHalf, n, k int) {
	e.chunks(n, halfPanel, func(lo, hi int) {
		e.k.half.packCols(dst[lo*2*halfPairs(k):], a.data[lo:], a.ld, hi-lo, k)
	})
}
