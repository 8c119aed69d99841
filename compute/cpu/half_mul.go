package cpu

import (
	"unsafe"

	"eaft/compute"
)

const (
	halfTaskRows  = 8       // tiles of rows in a task
	halfTaskBytes = 3 << 18 // of packed panels in a task: they stay in the second cache
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
	blocks := (m + h.rows - 1) / h.rows
	for k := 0; k < pairs; k += h.step {
		t.pairs, t.acc = min(h.step, pairs-k), 0
		if acc || k > 0 {
			t.acc = 1
		}
		for i := range blocks {
			lo, hi := h.block(i, blocks, m)
			t.rows, t.a, t.ldc = hi-lo, unsafe.Pointer(&a.data[lo*a.ld+2*k]), 4*ldc
			for p := 0; p < full; p += h.panels {
				t.panels = min(h.panels, full-p)
				t.b, t.c = unsafe.Pointer(&b[p*size+k*2*halfPanel]), unsafe.Pointer(&c[lo*ldc+p*halfPanel])
				if t.next = t.b; p == 0 && hi < m {
					t.next = unsafe.Pointer(&a.data[hi*a.ld+2*k])
				}
				h.micro(&t)
			}
			if edge != nil {
				j := full * halfPanel
				for r := range t.rows {
					copy(edge[r*halfPanel:][:n-j], c[(lo+r)*ldc+j:])
				}
				t.panels, t.ldc = 1, 4*halfPanel
				t.b, t.c = unsafe.Pointer(&b[full*size+k*2*halfPanel]), unsafe.Pointer(&edge[0])
				t.next = t.b
				h.micro(&t)
				for r := range t.rows {
					copy(c[(lo+r)*ldc+j:][:n-j], edge[r*halfPanel:])
				}
			}
		}
	}
}

// mulHalf computes c[m][n] (+)= a b for packed panels b of k rows on all threads.
func (e *engine[F]) mulHalf(c []F, ldc, m, n int, a leftHalf, b []uint16, k int, acc bool) {
	h, pairs := &e.k.half, halfPairs(k)
	size := pairs * 2 * halfPanel
	panels := (n + halfPanel - 1) / halfPanel
	per := max(1, min(panels, halfTaskBytes/(2*size)))
	rows := h.rows * halfTaskRows
	// Small products: at least 8 tasks for each thread.
	for (m+rows-1)/rows*((panels+per-1)/per) < 8*e.pool.threads && (rows > 2*h.rows || per > 4) {
		if rows > 2*h.rows {
			rows /= 2
		} else {
			per = (per + 1) / 2
		}
	}
	across, down := (panels+per-1)/per, (m+rows-1)/rows
	e.pool.run(across*down, func(task int) {
		i, p := task/across, task%across
		lo, hi := i*rows, min(m, (i+1)*rows)
		j := p * per * halfPanel
		mulHalfBlock(h, c[lo*ldc+j:], ldc, hi-lo, min(n-j, per*halfPanel), a.from(lo), b[p*per*size:], pairs, pairs, acc)
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
	h, T := &e.k.half, x.rows
	a, done := e.halfOperand(x)
	defer done()
	xs := e.halves.get(packedSize(T, x.cols))
	defer e.halves.put(xs)
	e.packColsAll(xs, a, x.cols, T)
	for i, p := range ps {
		g, w, dw := mat[F](p.DY), weightOf[F](p.W), mat[F](p.DW)
		dy, done := e.halfOperand(g)
		// dx += dy w, w packed anew for the sum over its rows.
		const wide = halfPanel
		ws := e.halves.get(packedSize(w.n, w.k))
		e.chunks(w.k, wide, func(lo, hi int) { h.repack(ws[lo*2*halfPairs(w.n):], w.half, lo, hi-lo) })
		e.mulHalf(d.data, d.cols, T, w.k, dy, ws, w.n, add || i > 0)
		e.halves.put(ws)
		// dw += dy^T x
		pairs := halfPairs(T)
		ld := halfStride(T)
		gs := e.halves.get(packedSize(T, w.n))
		gt := e.halves.get(w.n * ld)
		e.packColsAll(gs, dy, w.n, T)
		e.chunks(w.n, halfPanel, func(lo, hi int) { h.unpackRows(gt[lo*ld:], gs[lo*2*pairs:], ld, hi-lo, pairs) })
		e.mulHalf(dw.data, dw.cols, w.n, w.k, leftHalf{gt, ld}, xs, T, true)
		e.halves.put(gs)
		e.halves.put(gt)
		done()
	}
}

func (e *engine[F]) packColsAll(dst []uint16, a leftHalf, n, k int) {
	e.chunks(n, halfPanel, func(lo, hi int) {
		e.k.half.packCols(dst[lo*2*halfPairs(k):], a.data[lo:], a.ld, hi-lo, k)
	})
}
