package cpu

import (
	"fmt"
	"math"

	"eaft/compute"
)

const (
	keyBlock   = 128           // keys of one tile of scores
	scoreRow   = keyBlock + 16 // distance of a tile's rows, see apart
	probRow    = keyBlock + 32 // in bfloat16, see halfStride
	queryTiles = 4             // float32 tiles of queries in a block
	queryChunk = 256           // queries of a task
)

// attn is one call's sizes. Blocks of keys start at the row's start, so that a
// row's results depend neither on its neighbours nor on what it shares with them.
type attn[F real] struct {
	e *engine[F]
	compute.Attention
	half bool // with bfloat16 kernels
	base []int
}

// newAttn checks the description and finds where each segment's row begins.
func (e *engine[F]) newAttn(op string, a compute.Attention) *attn[F] {
	if a.KVHeads <= 0 || a.Heads%a.KVHeads != 0 || len(a.CuSeqlens) == 0 {
		panic(fmt.Sprintf("cpu: %s: %d heads, %d KV heads, %d offsets", op, a.Heads, a.KVHeads, len(a.CuSeqlens)))
	}
	n := len(a.CuSeqlens) - 1
	if a.Parent != nil && len(a.Parent) != n {
		panic(fmt.Sprintf("cpu: %s: %d parents for %d segments", op, len(a.Parent), n))
	}
	t := &attn[F]{e: e, Attention: a, half: a.DType == compute.BF16 && e.k.half.micro != nil, base: make([]int, n)}
	for s := range n {
		if p := t.parent(s); p >= s {
			panic(fmt.Sprintf("cpu: %s: segment %d has parent %d", op, s, p))
		} else if p >= 0 {
			t.base[s] = t.base[p] + t.own(p)
		}
	}
	return t
}

func (t *attn[F]) parent(s int) int {
	if t.Parent == nil {
		return -1
	}
	return int(t.Parent[s])
}

// own is the number of tokens of the segment itself.
func (t *attn[F]) own(s int) int { return int(t.CuSeqlens[s+1] - t.CuSeqlens[s]) }

// tokens is the number of all tokens; asking is that of those that ask.
func (t *attn[F]) tokens() int { return int(t.CuSeqlens[len(t.CuSeqlens)-1]) }

func (t *attn[F]) asking() int {
	if t.Queries == nil {
		return t.tokens()
	}
	return len(t.Queries)
}

func (t *attn[F]) shapes(op string, q, k, v *matrix[F]) {
	q.shapeAny(op, "q", t.asking(), t.Heads*t.HeadDim)
	k.shapeAny(op, "k", t.tokens(), t.KVHeads*t.HeadDim)
	v.shapeAny(op, "v", t.tokens(), t.KVHeads*t.HeadDim)
}

// queries are rows [lo, hi) of q: tokens of one segment, for all query heads of
// one KV head.
type queries struct{ seg, kv, lo, hi int }

// tasks cuts the queries of every segment and KV head into chunks.
func (t *attn[F]) tasks(chunk int) []queries {
	var tasks []queries
	at := 0
	for s := range t.base {
		lo := at
		if at = int(t.CuSeqlens[s+1]); t.Queries != nil {
			for at = lo; at < len(t.Queries) && t.Queries[at] < t.CuSeqlens[s+1]; at++ {
			}
		}
		for g := range t.KVHeads {
			for i := lo; i < at; i += chunk {
				tasks = append(tasks, queries{s, g, i, min(i+chunk, at)})
			}
		}
	}
	return tasks
}

// position of row i of q, a token of segment s, in its row.
func (t *attn[F]) position(s, i int) int {
	if t.Queries != nil {
		i = int(t.Queries[i])
	}
	return t.base[s] + i - int(t.CuSeqlens[s])
}

// visit calls f for each run of tokens of the row that segment s ends, up to
// position end: tokens [lo, hi), which stand at position pos.
func (t *attn[F]) visit(s, end int, f func(pos, lo, hi int)) {
	if p := t.parent(s); p >= 0 {
		t.visit(p, min(end, t.base[s]), f)
	}
	lo := int(t.CuSeqlens[s])
	if n := min(t.own(s), end-t.base[s]); n > 0 {
		f(t.base[s], lo, lo+n)
	}
}

// first is the first key block that position i sees.
func (t *attn[F]) first(i int) int {
	if t.Window <= 0 || i < t.Window {
		return 0
	}
	return (i - t.Window + 1) / keyBlock * keyBlock
}

// seen is which of the keys [j, j+n) position i sees, counted from j; lo <= hi.
func (t *attn[F]) seen(i, j, n int) (lo, hi int32) {
	hi = int32(max(0, min(n, i+1-j)))
	if t.Window > 0 {
		lo = min(hi, int32(max(0, i-t.Window+1-j)))
	}
	return lo, hi
}

// Attention streams over blocks of keys with an online softmax (Milakov and
// Gimelshein 2018; Dao et al. 2022). lse may be nil.
func (e *engine[F]) Attention(dst, lse, q, k, v compute.Tensor, a compute.Attention) {
	t := e.newAttn("Attention", a)
	f := &attnForward[F]{attn: t, out: mat[F](dst), lse: mat[F](lse)}
	qm, km, vm := mat[F](q), mat[F](k), mat[F](v)
	t.shapes("Attention", qm, km, vm)
	f.out.shapeAny("Attention", "dst", qm.rows, qm.cols)
	if f.lse != nil {
		f.lse.shape("Attention", "lse", qm.rows, a.Heads)
	}
	var done [3]func()
	f.q, done[0] = t.operand(qm)
	f.k, done[1] = t.operand(km)
	f.v, done[2] = t.operand(vm)
	tasks := t.tasks(queryChunk)
	e.pool.run(len(tasks), func(i int) { f.chunk(tasks[i]) })
	for _, d := range done {
		d()
	}
}

// heads is q, k or v in the precision of the products.
type heads[F real] struct {
	*matrix[F]
	h leftHalf
}

// operand rounds to bfloat16 if that is asked for.
func (t *attn[F]) operand(x *matrix[F]) (heads[F], func()) {
	switch {
	case t.half:
		h, done := t.e.halfOperand(x)
		return heads[F]{x, h}, done
	case t.DType == compute.BF16:
		data, done := t.e.operand(x, compute.BF16)
		return heads[F]{dense(x.rows, x.cols, data), leftHalf{}}, done
	}
	x.shape("Attention", "an operand in f32", x.rows, x.cols)
	return heads[F]{x, leftHalf{}}, func() {}
}

type attnForward[F real] struct {
	*attn[F]
	q, k, v heads[F]
	out     *matrix[F]
	lse     *matrix[F]
}

// chunk packs the keys and values that its queries see, and runs their heads.
func (f *attnForward[F]) chunk(c queries) {
	share := f.Heads / f.KVHeads
	p := f.pack(&f.k, &f.v, c, false)
	step := f.step()
	t := f.tile(step)
	for h := c.kv * share; h < (c.kv+1)*share; h++ {
		for lo := c.lo; lo < c.hi; lo += step {
			f.block(c.seg, h, lo, min(lo+step, c.hi), p, t)
		}
	}
	f.e.buf.put(t.x)
	f.e.buf.put(t.o)
	if f.half {
		f.e.halves.put(t.half)
	}
	p.free()
}

// step is the number of queries of a block: a tile of the product, so that few
// scores are computed that no query of the block sees.
func (t *attn[F]) step() int {
	if t.half {
		return t.e.k.half.rows
	}
	return t.e.k.mr * queryTiles
}

// tile is room for a block of n queries.
func (f *attnForward[F]) tile(n int) *softTile[F] {
	e, depth := f.e, (f.HeadDim+halfPanel-1)/halfPanel*halfPanel
	bounds, sums := make([]int32, 2*n), make([]F, 2*n)
	t := &softTile[F]{
		x: e.buf.get(n * scoreRow), ldx: scoreRow,
		o: e.buf.get(n * apart(depth)), ldo: apart(depth), depth: depth,
		top: sums[:n], sum: sums[n:], lo: bounds[:n], hi: bounds[n:], scale: F(f.Scale),
	}
	if f.half {
		t.half, t.ldh = e.halves.get(n*probRow), probRow
	}
	return t
}

// block computes rows [lo, hi) of q for head h.
func (f *attnForward[F]) block(seg, h, lo, hi int, p *packedHeads[F], t *softTile[F]) {
	e, d, n := f.e, f.HeadDim, hi-lo
	t.rows = n
	clear(t.sum)
	for i := range t.top {
		t.top[i] = lowest[F]()
	}
	q, done := f.rowsOf(&f.q, lo, n, h)
	defer done()
	start, end := f.first(f.position(seg, lo)), f.position(seg, hi-1)+1
	for j := start; j < end; j += keyBlock {
		use := min(keyBlock, end-j) // later keys are seen by none
		t.width = (use + halfPanel - 1) / halfPanel * halfPanel
		t.first = j == start
		for i := range n {
			t.lo[i], t.hi[i] = f.seen(f.position(seg, lo+i), j, use)
		}
		p.scores(t.x, n, q, j, use)
		e.k.softmax(e.k, t)
		if f.DType == compute.BF16 && !f.half {
			e.k.round(t.x[:n*scoreRow], t.x)
		}
		p.values(t, j, use)
	}
	at := lo*f.out.cols + h*d
	if f.out.half != nil {
		e.k.attend(e.k, t, nil, f.out.half[lo*f.out.ld+h*d:], f.out.ld, d)
	} else {
		e.k.attend(e.k, t, f.out.data[at:], nil, f.out.cols, d)
	}
	if f.lse != nil {
		for i := range n {
			f.lse.row(lo + i)[h] = t.top[i]*t.scale + F(math.Log(float64(t.sum[i])))
		}
	}
}
