package cpu

import (
	"slices"
	"unsafe"

	"eaft/compute"
)

const (
	halfTaskRows   = 512 // of a task, at most: they stay in the second cache while panels pass
	halfTaskPanels = 8   // of a task, at most
)

// leftHalf is a left-hand bfloat16 operand: rows ld apart, zero behind the
// columns up to a whole cache line.
type leftHalf struct {
	data []uint16
	ld   int
}

func (a leftHalf) from(i int) leftHalf { return leftHalf{a.data[i*a.ld:], a.ld} }

// block is the i-th of the blocks that m rows are cut into.
func (h *halfKernels) block(i, blocks, m int) (lo, hi int) {
	if h.even {
		return i * m / blocks, (i + 1) * m / blocks
	}
	return i * h.rows, min(m, (i+1)*h.rows)
}

// mulHalfBlock computes c[m][n] (+)= a b on one thread with the micro-kernel, b
// being panels of packed pairs, of which the first pairs are summed. The order
// of an element's sum depends on pairs alone.
func mulHalfBlock[F real](h *halfKernels, c []F, ldc, m, n int, a leftHalf, b []uint16, packed, pairs int, acc bool) {
	size := packed * 2 * halfPanel
	t := halfTile{rs: 2 * a.ld, bs: 2 * size}
	full := n / halfPanel
	var edge []F
	if n%halfPanel != 0 {
		edge = make([]F, h.rows*halfPanel)
	}
	if m == 1 && h.row != nil && !acc { // a token alone: bound by memory, and by latency if its sums went one by one
		t.a, t.pairs = unsafe.Pointer(&a.data[0]), pairs
		for ; full >= 4; full -= 4 {
			t.b, t.c = unsafe.Pointer(&b[0]), unsafe.Pointer(&c[0])
			h.row(t)
			if n -= 4 * halfPanel; n == 0 {
				return
			}
			b, c = b[4*size:], c[4*halfPanel:]
		}
	}
	blocks := (m + h.rows - 1) / h.rows
	t.next = uintptr(unsafe.Pointer(unsafe.SliceData(b))) + uintptr(full*2*size) // the panels of the next task
	for i := range blocks {
		lo, hi := h.block(i, blocks, m)
		t.rows = hi - lo
		for k := 0; k < pairs; k += h.step {
			t.a, t.ldc, t.pairs, t.acc = unsafe.Pointer(&a.data[lo*a.ld+2*k]), 4*ldc, min(h.step, pairs-k), 0
			if acc || k > 0 {
				t.acc = 1
			}
			for p := 0; p < full; p += h.panels {
				t.panels = min(h.panels, full-p)
				t.b, t.c = unsafe.Pointer(&b[p*size+k*2*halfPanel]), unsafe.Pointer(&c[lo*ldc+p*halfPanel])
				if h.even {
					if t.next = uintptr(t.b); p == 0 && hi < m {
						t.next = uintptr(unsafe.Pointer(&a.data[hi*a.ld+2*k]))
					}
				}
				h.micro(t)
				t.next += uintptr(t.panels * t.pairs / 16 * 2 * lineBytes)
			}
		}
		if edge != nil {
			j := full * halfPanel
			for r := range t.rows {
				copy(edge[r*halfPanel:][:n-j], c[(lo+r)*ldc+j:])
			}
			t.panels, t.ldc = 1, 4*halfPanel
			for k := 0; k < pairs; k += h.step {
				t.a, t.pairs, t.acc = unsafe.Pointer(&a.data[lo*a.ld+2*k]), min(h.step, pairs-k), 0
				if acc || k > 0 {
					t.acc = 1
				}
				t.b, t.c = unsafe.Pointer(&b[full*size+k*2*halfPanel]), unsafe.Pointer(&edge[0])
				h.micro(t)
			}
			for r := range t.rows {
				copy(c[(lo+r)*ldc+j:][:n-j], edge[r*halfPanel:])
			}
		}
	}
}

// tasks cuts a product of m rows and n columns into blocks of columns j, j+wide
// (whole panels) and many rows. Panels come from afar and serve many rows, so a
// task has as many rows as there are for each thread, and the same thread meets
// them again in the next operation.
func (e *engine[F]) tasks(m, n, wide int, f func(lo, hi, j, n int)) {
	tile := e.k.half.rows
	tiles := (m + tile - 1) / tile
	down := min(tiles, max(e.pool.threads, (m+halfTaskRows-1)/halfTaskRows))
	across := (n + wide - 1) / wide
	for down*across < 8*e.pool.threads && down < tiles && m/down > 64 {
		down++
	}
	e.pool.run(across*down, func(task int) {
		i, p := task/across, task%across
		f(i*tiles/down*tile, min(m, (i+1)*tiles/down*tile), p*wide, min(wide, n-p*wide))
	})
}

// taskPanels is how many panels a task of a product of m rows and n columns has:
// at least 8 tasks for each thread, but not so few panels that the rows of A are
// read again for little.
func (e *engine[F]) taskPanels(m, n int) int {
	panels := (n + halfPanel - 1) / halfPanel
	return max(min(4, panels), min(halfTaskPanels, panels*((m+halfTaskRows-1)/halfTaskRows)/(8*e.pool.threads)))
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
	e.tasks(m, n, e.taskPanels(m, n)*halfPanel, func(lo, hi, j, n int) {
		mulHalfBlock(&e.k.half, c[lo*ldc+j:], ldc, hi-lo, n, a.from(lo), b[j*2*pairs:], pairs, pairs, false)
	})
}

// linearHalf computes d = a b + bias + res, either nil for none.
func (e *engine[F]) linearHalf(d *matrix[F], a leftHalf, b []uint16, k int, bias, res *matrix[F]) {
	if d.half == nil && res == nil && bias == nil {
		e.mulHalf(d.data, d.cols, d.rows, d.cols, a, b, k, false)
		return
	}
	panels := e.k.half.tilePanels(d.cols, k)
	if d.half != nil {
		panels = e.taskPanels(d.rows, d.cols)
	}
	e.mulTiles(d.rows, d.cols, panels, a, b, k, func(lo, hi, j int, t tileOf[F]) {
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
	pairs, rows := halfPairs(k), e.k.half.rows
	ld := apart(panels * halfPanel)
	e.tasks(m, n, panels*halfPanel, func(lo, hi, j, n int) {
		buf := e.buf.get(rows * ld)
		defer e.buf.put(buf)
		full := (n + halfPanel - 1) / halfPanel * halfPanel
		for i := lo; i < hi; i += rows {
			m := min(rows, hi-i)
			mulHalfBlock(&e.k.half, buf, ld, m, full, a.from(i), b[j*2*pairs:], pairs, pairs, false)
			f(i, i+m, j, tileOf[F]{buf, n, ld})
		}
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
