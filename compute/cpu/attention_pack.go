package cpu

// packedHeads are one KV head's keys and values of the row that a segment ends,
// by position in the row: right-hand operands of a block's products.
type packedHeads[F real] struct {
	*attn[F]
	n int // positions
	// float32
	keys, vals []F // K^T in panels; V in blocks of keyBlock positions
	// bfloat16, likewise
	keysHalf, valsHalf []uint16
}

// blockSize is the size of a block of w positions as an operand over positions.
func (p *packedHeads[F]) blockSize(w int) int {
	if p.half {
		return packedSize(w, p.HeadDim)
	}
	nr := p.e.k.nr
	return w * ((p.HeadDim + nr - 1) / nr * nr)
}

// pack makes the operands for the queries c. With swap the roles change: the
// values transposed, and the keys over positions, as the backward pass wants them.
func (t *attn[F]) pack(k, v *heads[F], c queries, swap bool) *packedHeads[F] {
	d := t.HeadDim
	p := &packedHeads[F]{attn: t, n: t.position(c.seg, c.hi-1) + 1}
	if swap {
		k, v = v, k
	}
	blocks := (p.n + keyBlock - 1) / keyBlock * p.blockSize(keyBlock)
	if t.half {
		p.keysHalf, p.valsHalf = t.e.halves.get(packedSize(d, p.n)), t.e.halves.get(blocks)
		rows, done := t.gatherHalf(k, c, p.n)
		t.e.k.half.packRows(p.keysHalf, rows.data, rows.ld, p.n, d)
		done()
		rows, done = t.gatherHalf(v, c, p.n)
		for j := 0; j < p.n; j += keyBlock {
			t.e.k.half.packCols(p.valsHalf[j/keyBlock*p.blockSize(keyBlock):], rows.data[j*rows.ld:], rows.ld, d, min(keyBlock, p.n-j))
		}
		done()
		return p
	}
	nr := t.e.k.nr
	p.keys, p.vals = t.e.buf.get((p.n+nr-1)/nr*nr*d), t.e.buf.get(blocks)
	rows, ld, done := t.gather(k, c, p.n)
	for j := 0; j < p.n; j += nr {
		t.e.k.packT(p.keys[j*d:], rows[j*ld:], ld, min(nr, p.n-j), d, nr)
	}
	done()
	rows, ld, done = t.gather(v, c, p.n)
	for j := 0; j < p.n; j += keyBlock {
		w := min(keyBlock, p.n-j)
		for q := 0; q < d; q += nr {
			packN(p.vals[j/keyBlock*p.blockSize(keyBlock)+q*w:], rows[j*ld+q:], ld, min(nr, d-q), w, nr)
		}
	}
	done()
	return p
}

func (p *packedHeads[F]) free() {
	if p.half {
		p.e.halves.put(p.keysHalf)
		p.e.halves.put(p.valsHalf)
		return
	}
	p.e.buf.put(p.keys)
	p.e.buf.put(p.vals)
}

// gather is the KV head's rows by position, ld apart, in place if they lie so.
func (t *attn[F]) gather(x *heads[F], c queries, n int) (rows []F, ld int, done func()) {
	d := t.HeadDim
	if t.base[c.seg] == 0 {
		return x.data[int(t.CuSeqlens[c.seg])*x.cols+c.kv*d:], x.cols, func() {}
	}
	rows = t.e.buf.get(n * d)
	t.visit(c.seg, n, func(pos, lo, hi int) {
		for i := lo; i < hi; i++ {
			copy(rows[(pos+i-lo)*d:][:d], x.row(i)[c.kv*d:])
		}
	})
	return rows, d, func() { t.e.buf.put(rows) }
}

// gatherHalf is gather in bfloat16, zero behind a row's end as a left-hand
// operand's rows are.
func (t *attn[F]) gatherHalf(x *heads[F], c queries, n int) (rows leftHalf, done func()) {
	d := t.HeadDim
	if t.base[c.seg] == 0 && d%lineHalf == 0 {
		return leftHalf{x.h.data[int(t.CuSeqlens[c.seg])*x.h.ld+c.kv*d:], x.h.ld}, func() {}
	}
	ld := halfStride(d)
	buf := t.e.halves.get(n * ld)
	t.visit(c.seg, n, func(pos, lo, hi int) {
		for i := lo; i < hi; i++ {
			row := buf[(pos+i-lo)*ld:][:ld]
			clear(row[copy(row, x.h.data[i*x.h.ld+c.kv*d:][:d]):])
		}
	})
	return leftHalf{buf, ld}, func() { t.e.halves.put(buf) }
}

// leftRows is n rows of one head as a left-hand operand of either precision.
type leftRows[F real] struct {
	f left[F]
	h leftHalf
}

// rowsOf is head h of the rows from lo on.
func (t *attn[F]) rowsOf(x *heads[F], lo, n, h int) (leftRows[F], func()) {
	d := t.HeadDim
	if !t.half {
		return leftRows[F]{f: left[F]{x.data[lo*x.cols+h*d:], x.cols, 1}}, func() {}
	}
	if d%lineHalf == 0 {
		return leftRows[F]{h: leftHalf{x.h.data[lo*x.h.ld+h*d:], x.h.ld}}, func() {}
	}
	ld := halfStride(d)
	buf := t.e.halves.get(n * ld)
	for i := range n {
		row := buf[i*ld:][:ld]
		clear(row[copy(row, x.h.data[(lo+i)*x.h.ld+h*d:][:d]):])
	}
	return leftRows[F]{h: leftHalf{buf, ld}}, func() { t.e.halves.put(buf) }
}

// scores: x[n][use] = q keys for the positions [j, j+use); rows of x are scoreRow apart.
func (p *packedHeads[F]) scores(x []F, n int, q leftRows[F], j, use int) {
	d := p.HeadDim
	if p.half {
		pairs := halfPairs(d)
		use = (use + halfPanel - 1) / halfPanel * halfPanel
		mulHalfBlock(&p.e.k.half, x, scoreRow, n, use, q.h, p.keysHalf[j*2*pairs:], pairs, pairs, false)
		return
	}
	mulBlock(p.e.k, x, scoreRow, n, use, q.f, p.keys[j*d:], d, false)
}

// values: the outputs of a tile (+)= its probabilities times the values of the
// positions [j, j+use), which the first sets.
func (p *packedHeads[F]) values(t *softTile[F], j, use int) {
	w := min(keyBlock, p.n-j)
	block := j / keyBlock * p.blockSize(keyBlock)
	if p.half {
		mulHalfBlock(&p.e.k.half, t.o, t.ldo, t.rows, t.depth, leftHalf{t.half, t.ldh}, p.valsHalf[block:], halfPairs(w), halfPairs(use), !t.first)
		return
	}
	p.times(t.o, t.ldo, t.rows, left[F]{t.x, t.ldx, 1}, p.vals[block:], w, use, !t.first)
}

// times: c[m][HeadDim] (+)= a[m][k] b, b being packed for n >= k positions.
func (t *attn[F]) times(c []F, ldc, m int, a left[F], b []F, n, k int, acc bool) {
	nr := t.e.k.nr
	for j := 0; j < t.HeadDim; j += nr {
		mulBlock(t.e.k, c[j:], ldc, m, min(nr, t.HeadDim-j), a, b[j*n:], k, acc)
	}
}
