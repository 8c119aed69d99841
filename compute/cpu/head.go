package cpu

import (
	"fmt"
	"math"
	"unsafe"

	"eaft/compute"
)

const (
	headTile  = 256 // logits of a row looked at at once
	headTiles = 8   // tiles packed at a time, in float32
	headRows  = 512 // rows in a task, at most: with a tile's panels they fit the second cache
	headParts = 8   // of the vocabulary, each with sums of its own: what few rows are shared out by
)

// headState is one target's running softmax over a part of the vocabulary: each
// lane is its own, merged in float64 at the end. Assembly reads it by offset.
type headState[F real] struct {
	max, sum, wsum [lanes]F     // of exp(x - max) and (x - max) exp(x - max)
	rank           [lanes]int32 // logits above target
	target, least  F            // least: of the largest logits seen
}

// headRowGo folds logits, of ids from first on, into the state, lane i%lanes.
// Those above s.least go to val and id, which have room for all; it returns how many.
func headRowGo[F real](s *headState[F], x []F, first int, val []F, id []int32) int {
	old := s.max
	n := 0
	for i, v := range x {
		l := i % lanes
		if v > s.max[l] {
			s.max[l] = v
		}
		if v > s.target {
			s.rank[l]++
		}
		if v > s.least {
			val[n], id[n] = v, int32(first+i)
			n++
		}
	}
	for l := range lanes {
		d := max(old[l]-s.max[l], expLow)
		f := expOf(d)
		s.wsum[l] = F((s.wsum[l] + F(d*s.sum[l])) * f)
		s.sum[l] *= f
	}
	for i, v := range x {
		l := i % lanes
		d := v - s.max[l]
		if d < expLow { // -Inf pads a row; NaN passes
			d = expLow
		}
		p := expOf(d)
		s.sum[l] += p
		s.wsum[l] += F(p * d)
	}
	return n
}

// topList holds the k largest logits, descending; ties: smaller id first.
type topList[F real] struct {
	val []F
	id  []int32
}

// insert keeps the list sorted and returns the smallest value that is in.
func (t *topList[F]) insert(v F, id int32) F {
	j := len(t.val) - 1
	for ; j > 0 && t.val[j-1] < v; j-- {
		t.val[j], t.id[j] = t.val[j-1], t.id[j-1]
	}
	t.val[j], t.id[j] = v, id
	return t.val[len(t.val)-1]
}

// headStats has one entry for each target, in float64.
type headStats struct {
	logProb, entropy, topEntropy, topMass, top1, lse []float64
	rank, top1ID                                     []int32

	topIDs      []int32   // [n, k]
	topLogProbs []float32 // [n, k]
}

// headPass is one call: rows [n, D] against the vocabulary.
type headPass[F real] struct {
	e      *engine[F]
	w      *weight[F]
	n      int
	x      []F            // rows in float32, or
	half   leftHalf       // in bfloat16, for its kernels
	state  []headState[F] // [headParts, n]
	top    []topList[F]   // [n], or a list for each part: [headParts, n]
	packed []F            // float32: tiles of the weight
	first  int            // the column that packed starts with
}

func (e *engine[F]) headStats(x compute.Tensor, cw compute.Weight, targets []int32, k int) *headStats {
	a, w := mat[F](x), weightOf[F](cw)
	n := a.rows
	a.shapeAny("HeadStats", "x", len(targets), w.k)
	checkOperand("HeadStats", a, w)
	for _, y := range targets {
		if y < 0 || int(y) >= w.n {
			panic(fmt.Sprintf("cpu: HeadStats: target %d is not in a vocabulary of %d", y, w.n))
		}
	}
	k = max(1, min(k, w.n))
	h := &headPass[F]{e: e, w: w, n: n, state: make([]headState[F], headParts*n)}
	ids := h.lists(k)
	var done func()
	if w.half != nil && e.k.half.micro != nil {
		h.half, done = e.halfOperand(a)
		h.runHalf(targets, k)
	} else {
		h.x, done = e.operand(a, w.dtype)
		h.run(targets)
	}
	done()
	s := &headStats{
		logProb: make([]float64, n), entropy: make([]float64, n), topEntropy: make([]float64, n),
		topMass: make([]float64, n), top1: make([]float64, n), lse: make([]float64, n),
		rank: make([]int32, n), top1ID: make([]int32, n), topIDs: ids, topLogProbs: make([]float32, n*k),
	}
	e.rowsOf(n, headParts*lanes*16, func(i int) { h.finish(s, i) }) // an exponential takes as long as 16 elements
	return s
}

// lists makes the rows' lists of the k largest; it returns their ids, [n, k].
func (h *headPass[F]) lists(k int) []int32 {
	vals, ids := make([]F, h.n*k), make([]int32, h.n*k)
	for i := range h.n {
		h.top = append(h.top, topList[F]{vals[i*k:][:k:k], ids[i*k:][:k:k]})
	}
	for i := range vals {
		vals[i] = F(math.Inf(-1))
	}
	return ids
}

// columns are those of part p: whole tiles, so that neither threads nor rows
// decide which sum a logit is in.
func (h *headPass[F]) columns(p int) (first, last int) {
	tiles := (h.w.n + headTile - 1) / headTile
	return min(h.w.n, p*tiles/headParts*headTile), min(h.w.n, (p+1)*tiles/headParts*headTile)
}

// run packs the weight a few tiles at a time for all rows.
func (h *headPass[F]) run(targets []int32) {
	e, d, v := h.e, h.w.k, h.w.n
	nr := e.k.nr
	e.rowsOf(len(targets), d*nr, func(i int) {
		buf := e.buf.get(d * nr)
		defer e.buf.put(buf)
		y := int(targets[i])
		e.pack(buf, rightOf(h.w, 0, true), y/nr*nr, min(nr, v-y/nr*nr), d)
		out := make([]F, nr)
		mulBlock(e.k, out, nr, 1, nr, left[F]{h.x[i*d:], d, 1}, buf, d, false)
		h.begin(i, out[y%nr])
	})
	const wide = headTile * headTiles
	h.packed = e.buf.get((min(wide, v) + nr - 1) / nr * nr * d)
	defer e.buf.put(h.packed)
	for p := range headParts {
		first, last := h.columns(p)
		for h.first = first; h.first < last; h.first += wide {
			cols := min(wide, last-h.first)
			e.packAll(h.packed, rightOf(h.w, 0, true), h.first, cols, d)
			h.groups(e.k.mr, 1, func(lo, hi int) { h.rows(p, h.top, lo, hi, h.first, h.first+cols, e.k.mr, 1) })
		}
	}
}

// runHalf reads the panels where they are. Where there are fewer tiles of rows
// than threads, as for one token, these share the parts: each keeps lists of its
// own, and in the order of the parts they become one.
func (h *headPass[F]) runHalf(targets []int32, k int) {
	e := h.e
	pairs := h.w.half.pairs
	e.rowsOf(len(targets), h.w.k*halfPanel, func(i int) {
		var out [halfPanel]F
		y := int(targets[i])
		mulHalfBlock(&e.k.half, out[:], halfPanel, 1, halfPanel, h.half.from(i), h.w.half.from(y/halfPanel*halfPanel), pairs, pairs, false)
		h.begin(i, out[y%halfPanel])
	})
	tile, unit := e.k.half.rows, e.k.half.unit()
	part := func(p int, top []topList[F], lo, hi int) {
		first, last := h.columns(p)
		h.rows(p, top, lo, hi, first, last, tile, unit)
	}
	tiles := (h.n + tile - 1) / tile
	if tiles >= e.pool.threads {
		h.groups(tile, unit, func(lo, hi int) {
			for p := range headParts {
				part(p, h.top, lo, hi)
			}
		})
		return
	}
	for range headParts - 1 {
		h.lists(k)
	}
	e.pool.run(tiles*headParts, func(i int) {
		p, i := i/tiles, i%tiles
		part(p, h.top[p*h.n:], cut(i, tiles, h.n, unit), cut(i+1, tiles, h.n, unit))
	})
	for i, t := range h.top[h.n:] {
		first := &h.top[i%h.n]
		for j, v := range t.val {
			if v > first.val[len(first.val)-1] {
				first.insert(v, t.id[j])
			}
		}
	}
}

// begin sets the logit of target i, which the same kernel made: the same bits.
func (h *headPass[F]) begin(i int, target F) {
	for p := range headParts {
		s := &h.state[p*h.n+i]
		s.target = target
		for l := range lanes {
			s.max[l] = lowest[F]()
		}
	}
}

// groups hands out the rows in tasks of whole units, as many to each thread.
func (h *headPass[F]) groups(tile, unit int, f func(lo, hi int)) {
	tiles := (h.n + tile - 1) / tile
	threads := h.e.pool.threads
	per := max(1, headRows/tile)
	tasks := min(tiles, (tiles+per*threads-1)/(per*threads)*threads)
	h.e.pool.run(tasks, func(i int) { f(cut(i, tasks, h.n, unit), cut(i+1, tasks, h.n, unit)) })
}

// rows folds the columns [first, last) of part p into rows [lo, hi) and their
// lists, tile by tile.
func (h *headPass[F]) rows(p int, top []topList[F], lo, hi, first, last, tile, unit int) {
	e, d := h.e, h.w.k
	ld := apart(headTile)
	logits := e.buf.get(tile * ld)
	defer e.buf.put(logits)
	var val [headTile + lanes]F // a register more: candidates are stored by whole ones
	var id [headTile + lanes]int32
	state := h.state[p*h.n:][:h.n]
	for i := lo; i < hi; i++ {
		state[i].least = top[i].val[len(top[i].val)-1]
	}
	for j := first; j < last; j += headTile {
		n := min(headTile, last-j)
		full := (n + lanes - 1) / lanes * lanes
		var soon ahead
		if h.x == nil {
			soon = following(h.w.half.data, j, n, h.w.half.pairs)
		}
		rowBlocks(lo, hi, tile, unit, func(i, to int) {
			m := to - i
			if w := h.w.half; h.x == nil {
				e.k.half.rowsBlock(unsafe.Pointer(&logits[0]), ld, m, (n+halfPanel-1)/halfPanel, h.half.from(i), to < hi, w.from(j), w.pairs, w.pairs, false, &soon)
			} else {
				mulBlock(e.k, logits, ld, m, n, left[F]{h.x[i*d:], d, 1}, h.packed[(j-h.first)*d:], d, false)
			}
			for r := range m {
				row := logits[r*ld:][:full]
				for c := n; c < full; c++ {
					row[c] = F(math.Inf(-1))
				}
				s, t := &state[i+r], &top[i+r]
				found := e.k.headRow(s, row, j, val[:], id[:])
				for c, v := range val[:found] {
					if v > s.least {
						s.least = t.insert(v, id[c])
					}
				}
			}
		})
	}
}

// finish merges the parts and lanes of target i.
func (h *headPass[F]) finish(out *headStats, i int) {
	t, target := &h.top[i], float64(h.state[i].target)
	top := float64(t.val[0])
	var sum, wsum float64
	for p := range headParts {
		s := &h.state[p*h.n+i]
		for l := range lanes {
			d := float64(s.max[l]) - top
			e := math.Exp(d)
			sum += e * float64(s.sum[l])
			wsum += e * (float64(s.wsum[l]) + d*float64(s.sum[l]))
			out.rank[i] += s.rank[l]
		}
	}
	lse := top + math.Log(sum)
	out.lse[i] = lse
	out.logProb[i] = target - lse
	out.entropy[i] = max(0, math.Log(sum)-wsum/sum)
	out.top1[i] = top - lse
	out.top1ID[i] = t.id[0]
	var mass, weighted float64 // of exp(x - top)
	k := len(t.val)
	logProbs := out.topLogProbs[i*k:][:k]
	for j, v := range t.val {
		logProbs[j] = float32(float64(v) - lse)
		d := float64(v) - top
		if e := math.Exp(d); e != 0 { // not 0 * -Inf
			mass += e
			weighted += e * d
		}
	}
	out.topMass[i] = min(1, mass/sum)
	out.topEntropy[i] = max(0, math.Log(mass)-weighted/mass)
	if lse != lse || math.IsInf(lse, 0) || target != target {
		nan := math.NaN()
		out.lse[i], out.logProb[i], out.entropy[i], out.top1[i], out.topMass[i], out.topEntropy[i] = nan, nan, nan, nan, nan, nan
		for j := range logProbs {
			logProbs[j] = float32(nan)
		}
	}
}

// HeadStats: statistics of softmax(x w^T) at each row of x, streaming over the
// vocabulary. A row of x that is not finite has NaN statistics.
func (e *engine[F]) HeadStats(x compute.Tensor, w compute.Weight, targets []int32, k int) *compute.HeadStats {
	s := e.headStats(x, w, targets, k)
	return &compute.HeadStats{
		LogProb: to32(s.logProb), Entropy: to32(s.entropy), TopKEntropy: to32(s.topEntropy), TopKMass: to32(s.topMass),
		Top1LogProb: to32(s.top1), Rank: s.rank, Top1ID: s.top1ID, LogSumExp: to32(s.lse),
		TopIDs: s.topIDs, TopLogProbs: s.topLogProbs,
	}
}

func to32(x []float64) []float32 {
	y := make([]float32, len(x))
	for i, v := range x {
		y[i] = float32(v)
	}
	return y
}
