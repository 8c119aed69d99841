package cpu

import (
	"fmt"
	"math"

	"eaft/compute"
)

const (
	keyBlock   = 64 // keys of one tile of scores
	queryTiles = 4  // micro-kernel tiles of queries in a block
)

// span is where a packed row's keys and values lie: tokens [lo, hi), packed
// panels from key and val on, for each KV head one after another.
type span struct{ lo, hi, key, val int }

// attn is one call's sizes. Blocks of queries and of keys start at the row's
// start, so that a row's results do not depend on its neighbours.
type attn[F real] struct {
	e *engine[F]
	compute.Attention
	pad  int // HeadDim up to full panels
	rows []span
	keys []F // K^T of every row and KV head, in panels
	vals []F // V likewise, in blocks of keyBlock keys
}

func (e *engine[F]) attn(a compute.Attention) *attn[F] {
	nr := e.k.nr
	if a.KVHeads <= 0 || a.Heads%a.KVHeads != 0 || len(a.CuSeqlens) == 0 {
		panic(fmt.Sprintf("cpu: Attention: %d heads, %d KV heads, %d offsets", a.Heads, a.KVHeads, len(a.CuSeqlens)))
	}
	t := &attn[F]{e: e, Attention: a, pad: (a.HeadDim + nr - 1) / nr * nr}
	var key, val int
	for r := range len(a.CuSeqlens) - 1 {
		s := span{int(a.CuSeqlens[r]), int(a.CuSeqlens[r+1]), key, val}
		t.rows = append(t.rows, s)
		key += t.keySize(s) * a.KVHeads
		val += t.valSize(s) * a.KVHeads
	}
	return t
}

func (t *attn[F]) keySize(s span) int {
	nr := t.e.k.nr
	return (s.hi - s.lo + nr - 1) / nr * nr * t.HeadDim
}

func (t *attn[F]) valSize(s span) int { return (s.hi - s.lo) * t.pad }

// packT writes the transpose of the row's x [.., KVHeads*HeadDim], head g, in panels.
func (t *attn[F]) packT(dst []F, x *matrix[F], s span, g int) {
	nr, d := t.e.k.nr, t.HeadDim
	for j := s.lo; j < s.hi; j += nr {
		t.e.k.packT(dst[(j-s.lo)*d:], x.data[j*x.cols+g*d:], x.cols, min(nr, s.hi-j), d, nr)
	}
}

// packBlock writes tokens [lo, hi) of x, head g, as a right operand over tokens.
func (t *attn[F]) packBlock(dst, x []F, ld, n, g int) {
	nr, d := t.e.k.nr, t.HeadDim
	for c := 0; c < d; c += nr {
		packN(dst[c*n:], x[g*d+c:], ld, min(nr, d-c), n, nr)
	}
}

func (t *attn[F]) packBlocks(dst []F, x *matrix[F], s span, g int) {
	for j := s.lo; j < s.hi; j += keyBlock {
		t.packBlock(dst[(j-s.lo)*t.pad:], x.data[j*x.cols:], x.cols, min(keyBlock, s.hi-j), g)
	}
}

// first is the first key block that query i of a row sees.
func (t *attn[F]) first(i int) int {
	if t.Window <= 0 || i < t.Window {
		return 0
	}
	return (i - t.Window + 1) / keyBlock * keyBlock
}

// seen is which of the keys [j, j+n) query i sees, counted from j; lo <= hi.
func (t *attn[F]) seen(i, j, n int) (lo, hi int) {
	hi = max(0, min(n, i+1-j))
	if t.Window > 0 {
		lo = min(hi, max(0, i-t.Window+1-j))
	}
	return lo, hi
}

// scaled copies head h of n rows of q, times Scale.
func (t *attn[F]) scaled(dst []F, q *matrix[F], lo, n, h int) {
	d := t.HeadDim
	for i := range n {
		src, out := q.row(lo + i)[h*d:][:d], dst[i*d:][:d]
		for c, v := range src {
			out[c] = v * F(t.Scale)
		}
	}
}

func (t *attn[F]) shapes(op string, q, k, v *matrix[F]) {
	n := int(t.CuSeqlens[len(t.CuSeqlens)-1])
	q.shape(op, "q", n, t.Heads*t.HeadDim)
	k.shape(op, "k", n, t.KVHeads*t.HeadDim)
	v.shape(op, "v", n, t.KVHeads*t.HeadDim)
}

// queries is a block of queries of one row and head.
type queries struct {
	row    span
	lo, hi int // in the row
	head   int
}

// Attention streams over blocks of keys with an online softmax (Milakov and
// Gimelshein 2018; Dao et al. 2022). lse may be nil.
func (e *engine[F]) Attention(dst, lse, q, k, v compute.Tensor, a compute.Attention) {
	t := e.attn(a)
	o, l, qm, km, vm := mat[F](dst), mat[F](lse), mat[F](q), mat[F](k), mat[F](v)
	t.shapes("Attention", qm, km, vm)
	o.shape("Attention", "dst", qm.rows, qm.cols)
	if l != nil {
		l.shape("Attention", "lse", qm.rows, a.Heads)
	}
	if len(t.rows) == 0 {
		return
	}
	end := t.rows[len(t.rows)-1]
	t.keys = e.buf.get(end.key + a.KVHeads*t.keySize(end))
	t.vals = e.buf.get(end.val + a.KVHeads*t.valSize(end))
	defer e.buf.put(t.keys)
	defer e.buf.put(t.vals)
	e.pool.run(len(t.rows)*a.KVHeads, func(i int) {
		s, g := t.rows[i/a.KVHeads], i%a.KVHeads
		t.packT(t.keys[s.key+g*t.keySize(s):], km, s, g)
		t.packBlocks(t.vals[s.val+g*t.valSize(s):], vm, s, g)
	})
	var tasks []queries
	step := e.k.mr * queryTiles
	for _, s := range t.rows {
		for h := range a.Heads {
			for i := 0; i < s.hi-s.lo; i += step {
				tasks = append(tasks, queries{s, i, min(i+step, s.hi-s.lo), h})
			}
		}
	}
	e.pool.run(len(tasks), func(i int) { t.forward(o, l, qm, tasks[i]) })
}

func (t *attn[F]) forward(out, lse, q *matrix[F], b queries) {
	ker, d, s := t.e.k, t.HeadDim, b.row
	g := b.head / (t.Heads / t.KVHeads)
	n := b.hi - b.lo
	buf := t.e.buf.get(n*d + n*keyBlock + 2*n)
	defer t.e.buf.put(buf)
	qs, sc, top, sum := buf[:n*d], buf[n*d:][:n*keyBlock], buf[n*(d+keyBlock):][:n], buf[n*(d+keyBlock+1):][:n]
	t.scaled(qs, q, s.lo+b.lo, n, b.head)
	for i := range n {
		top[i], sum[i] = lowest[F](), 0
		clear(out.row(s.lo + b.lo + i)[b.head*d:][:d])
	}
	at := (s.lo+b.lo)*out.cols + b.head*d
	keys, vals := t.keys[s.key+g*t.keySize(s):], t.vals[s.val+g*t.valSize(s):]
	for j := t.first(b.lo); j < b.hi; j += keyBlock {
		w := min(keyBlock, s.hi-s.lo-j)
		use := min(w, b.hi-j) // later keys are seen by none
		mulBlock(ker, sc, keyBlock, n, use, left[F]{qs, d, 1}, keys[j*d:], d, false)
		for i := range n {
			row := sc[i*keyBlock:][:use]
			lo, hi := t.seen(b.lo+i, j, use)
			clear(row[:lo])
			clear(row[hi:])
			if lo == hi {
				continue
			}
			if m := ker.max(row[lo:hi]); m > top[i] {
				fade := expOf(top[i] - m)
				top[i] = m
				sum[i] *= fade
				for c, v := range out.data[at+i*out.cols:][:d] {
					out.data[at+i*out.cols+c] = v * fade
				}
			}
			sum[i] += ker.expSum(row[lo:hi], top[i])
		}
		t.times(out.data[at:], out.cols, n, sc, keyBlock, 1, vals[j*t.pad:], w, use)
	}
	for i := range n {
		inv := 1 / sum[i]
		row := out.data[at+i*out.cols:][:d]
		for c := range row {
			row[c] *= inv
		}
		if lse != nil {
			lse.row(s.lo + b.lo + i)[b.head] = top[i] + F(math.Log(float64(sum[i])))
		}
	}
}

// times: c[m][HeadDim] += a[m][k] b, b being packed for n >= k tokens.
func (t *attn[F]) times(c []F, ldc, m int, a []F, rs, ks int, b []F, n, k int) {
	nr := t.e.k.nr
	for j := 0; j < t.HeadDim; j += nr {
		mulBlock(t.e.k, c[j:], ldc, m, min(nr, t.HeadDim-j), left[F]{a, rs, ks}, b[j*n:], k, true)
	}
}
