package cpu

import "eaft/compute"

// AttentionBackward recomputes the probabilities from lse block by block. A
// task owns one segment's KV head and sums over its query heads in order.
func (e *engine[F]) AttentionBackward(dq, dk, dv, do, out, lse, q, k, v compute.Tensor, a compute.Attention) {
	const op = "AttentionBackward"
	if a.Parent != nil {
		panic("cpu: AttentionBackward: rows that share a prefix have no gradient")
	}
	t := e.newAttn(op, a)
	b := &attnBack[F]{attn: t, dq: mat[F](dq), dk: mat[F](dk), dv: mat[F](dv), out: mat[F](out), lse: mat[F](lse)}
	qm, km, vm, dom := mat[F](q), mat[F](k), mat[F](v), mat[F](do)
	t.shapes(op, qm, km, vm)
	t.shapes(op, b.dq, b.dk, b.dv)
	dom.shapeAny(op, "do", qm.rows, qm.cols)
	for _, m := range []*matrix[F]{b.dq, b.dk, b.dv} {
		m.shape(op, "a gradient", m.rows, m.cols)
	}
	b.out.shapeAny(op, "out", qm.rows, qm.cols)
	b.lse.shape(op, "lse", qm.rows, a.Heads)
	var done [4]func()
	b.q, done[0] = t.operand(qm)
	b.k, done[1] = t.operand(km)
	b.v, done[2] = t.operand(vm)
	b.do, done[3] = t.operand(dom)
	b.delta = dense(qm.rows, a.Heads, e.buf.get(qm.rows*a.Heads))
	e.rowsOf(qm.rows, qm.cols, func(i int) {
		if e.k.dotsHalf != nil && dom.half != nil && b.out.half != nil && a.HeadDim%lanes == 0 {
			e.k.dotsHalf(b.delta.row(i), dom.halfRow(i), b.out.halfRow(i), a.HeadDim)
			return
		}
		buf := e.buf.get(2 * qm.cols)
		defer e.buf.put(buf)
		do, out := e.wideRow(dom, i, buf[:qm.cols]), e.wideRow(b.out, i, buf[qm.cols:])
		for h := range a.Heads {
			b.delta.row(i)[h] = e.k.dot(do[h*a.HeadDim:][:a.HeadDim], out[h*a.HeadDim:][:a.HeadDim])
		}
	})
	e.Zero(dq)
	e.Zero(dk)
	e.Zero(dv)
	tasks := t.tasks(max(1, t.asking()))
	e.pool.run(len(tasks), func(i int) { b.run(tasks[i]) })
	e.buf.put(b.delta.data)
	for _, d := range done {
		d()
	}
}

type attnBack[F real] struct {
	*attn[F]
	dq, dk, dv  *matrix[F]
	out, lse    *matrix[F]
	delta       *matrix[F] // [n, Heads] sum of do*out
	q, k, v, do heads[F]
}

// backBlock is how many queries of a head are taken at a time.
const backBlock = 64

// run does one KV head of a segment: with P = softmax and
// dS = scale P (do v^T - delta): dq = dS k, dk = dS^T q, dv = P^T do.
func (b *attnBack[F]) run(c queries) {
	kv := b.pack(&b.k, &b.v, c, false) // K transposed for the scores
	vk := b.pack(&b.k, &b.v, c, true)  // V transposed for dP; K over positions for dq
	t := &backTile[F]{}
	share := b.Heads / b.KVHeads
	for h := c.kv * share; h < (c.kv+1)*share; h++ {
		for lo := c.lo; lo < c.hi; lo += backBlock {
			b.block(t, c, h, lo, min(lo+backBlock, c.hi), kv, vk)
		}
	}
	kv.free()
	vk.free()
}

// backTile is a block's tile of the softmax and what it points to, which a task
// uses again: a kernel called by a function value sends its argument to the heap.
type backTile[F real] struct {
	softBackTile[F]
	bounds [2 * backBlock]int32
	values [2 * backBlock]F
}

func (b *attnBack[F]) block(t *backTile[F], c queries, h, lo, hi int, kv, vk *packedHeads[F]) {
	e, d, n := b.e, b.HeadDim, hi-lo
	buf := e.buf.get(2 * n * scoreRow)
	defer e.buf.put(buf)
	t.softBackTile = softBackTile[F]{
		x: buf[:n*scoreRow], y: buf[n*scoreRow:], ldx: scoreRow,
		lo: t.bounds[:n], hi: t.bounds[backBlock:][:n], lse: t.values[:n], delta: t.values[backBlock:][:n],
		rows: n, scale: F(b.Scale),
	}
	for i := range n {
		t.lse[i], t.delta[i] = b.lse.row(lo + i)[h], b.delta.row(lo + i)[h]
	}
	q, done := b.rowsOf(&b.q, lo, n, h)
	defer done()
	do, done2 := b.rowsOf(&b.do, lo, n, h)
	defer done2()
	over := b.overQueries(q, do, n)
	defer over.free()
	if b.half {
		pair := e.halves.get(2 * n * probRow)
		defer e.halves.put(pair)
		t.p, t.ds, t.ldh = pair[:n*probRow], pair[n*probRow:], probRow
	}
	end := b.position(c.seg, hi-1) + 1
	start := int(b.CuSeqlens[c.seg])
	for j := b.first(b.position(c.seg, lo)); j < end; j += keyBlock {
		use := min(keyBlock, end-j)
		t.width = (use + halfPanel - 1) / halfPanel * halfPanel
		for i := range n {
			t.lo[i], t.hi[i] = b.seen(b.position(c.seg, lo+i), j, use)
		}
		kv.scores(t.x, n, q, j, use)
		vk.scores(t.y, n, do, j, use)
		e.k.softmaxBack(e.k, &t.softBackTile)
		if b.DType == compute.BF16 && !b.half {
			e.k.round(buf, buf)
		}
		at := (start+j)*b.dk.cols + c.kv*d
		over.add(b.dv.data[at:], b.dk.data[at:], b.dk.cols, &t.softBackTile, use)
		dq, w := b.dq.data[lo*b.dq.cols+h*d:], min(keyBlock, vk.n-j)
		block := j / keyBlock * vk.blockSize(keyBlock)
		if b.half {
			mulHalfBlock(&e.k.half, dq, b.dq.cols, n, d, leftHalf{t.ds, t.ldh}, vk.valsHalf[block:], halfPairs(w), halfPairs(use), true)
		} else {
			b.times(dq, b.dq.cols, n, left[F]{t.y, t.ldx, 1}, vk.vals[block:], w, use, true)
		}
	}
}

// overQueries are a block's q and do as right-hand operands over its n queries.
type overQueries[F real] struct {
	*attn[F]
	n             int
	q, do         []F
	qHalf, doHalf []uint16
}

func (t *attn[F]) overQueries(q, do leftRows[F], n int) *overQueries[F] {
	e, d := t.e, t.HeadDim
	o := &overQueries[F]{attn: t, n: n}
	if t.half {
		o.qHalf, o.doHalf = e.halves.get(packedSize(n, d)), e.halves.get(packedSize(n, d))
		e.k.half.packCols(o.qHalf, q.h.data, q.h.ld, d, n)
		e.k.half.packCols(o.doHalf, do.h.data, do.h.ld, d, n)
		return o
	}
	nr := e.k.nr
	size := (d + nr - 1) / nr * nr * n
	o.q, o.do = e.buf.get(size), e.buf.get(size)
	for j := 0; j < d; j += nr {
		packN(o.q[j*n:], q.f.data[j:], q.f.rs, min(nr, d-j), n, nr)
		packN(o.do[j*n:], do.f.data[j:], do.f.rs, min(nr, d-j), n, nr)
	}
	return o
}

func (o *overQueries[F]) free() {
	if o.half {
		o.e.halves.put(o.qHalf)
		o.e.halves.put(o.doHalf)
		return
	}
	o.e.buf.put(o.q)
	o.e.buf.put(o.do)
}

// add: dv[use] += P^T do and dk[use] += dS^T q, rows ld apart.
func (o *overQueries[F]) add(dv, dk []F, ld int, t *softBackTile[F], use int) {
	if !o.half {
		o.times(dv, ld, use, left[F]{t.x, 1, t.ldx}, o.do, o.n, o.n, true)
		o.times(dk, ld, use, left[F]{t.y, 1, t.ldx}, o.q, o.n, o.n, true)
		return
	}
	e, pairs := o.e, halfPairs(o.n)
	h := &e.k.half
	panels := e.halves.get(packedSize(o.n, keyBlock))
	turned := e.halves.get(keyBlock * 2 * pairs)
	for _, g := range [2]struct {
		dst     []F
		a, over []uint16
	}{{dv, t.p, o.doHalf}, {dk, t.ds, o.qHalf}} {
		h.packCols(panels, g.a, t.ldh, use, o.n)
		h.unpackRows(turned, panels, 2*pairs, use, pairs)
		mulHalfBlock(h, g.dst, ld, use, o.HeadDim, leftHalf{turned, 2 * pairs}, g.over, pairs, pairs, true)
	}
	e.halves.put(panels)
	e.halves.put(turned)
}
