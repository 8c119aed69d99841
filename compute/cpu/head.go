package cpu

import (
	"fmt"
	"math"

	"eaft/compute"
)

const (
	headTile  = 256 // logits of a row looked at at once
	headTiles = 8   // tiles packed at a time
	headRows  = 8   // micro-kernel tiles of rows in a task, at most
)

// headState is one target's running softmax: each lane is its own, merged in
// float64 at the end. Assembly reads it by offset.
type headState[F real] struct {
	max, sum, wsum [lanes]F     // of exp(x - max) and (x - max) exp(x - max)
	rank           [lanes]int32 // logits above target
	target         F
}

// headRowGo folds logits into the state, lane i%lanes, and returns their maximum.
func headRowGo[F real](s *headState[F], x []F) F {
	old := s.max
	for i, v := range x {
		l := i % lanes
		if v > s.max[l] {
			s.max[l] = v
		}
		if v > s.target {
			s.rank[l]++
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
	return maxGo(s.max[:])
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
}

// headPass is one call: rows [n, D] against the vocabulary.
type headPass[F real] struct {
	e      *engine[F]
	x      []F
	d, v   int
	state  []headState[F]
	top    []topList[F]
	packed []F
}

func (e *engine[F]) headStats(x compute.Tensor, cw compute.Weight, targets []int32, k int) *headStats {
	a, w := mat[F](x), weightOf[F](cw)
	n := a.rows
	a.shape("HeadStats", "x", len(targets), w.k)
	k = max(1, min(k, w.n))
	data, done := e.operand(a.data, w.dtype)
	defer done()
	h := &headPass[F]{e: e, x: data, d: w.k, v: w.n, state: make([]headState[F], n), top: make([]topList[F], n)}
	vals, ids := make([]F, n*k), make([]int32, n*k)
	b := right[F]{w.f, w.h, w.k, true}
	e.rowsOf(n, w.k*e.k.nr, func(i int) {
		if y := int(targets[i]); y < 0 || y >= w.n {
			panic(fmt.Sprintf("cpu: HeadStats: target %d is not in a vocabulary of %d", y, w.n))
		}
		h.top[i] = topList[F]{vals[i*k:][:k:k], ids[i*k:][:k:k]}
		h.begin(i, b, int(targets[i]))
	})
	const wide = headTile * headTiles
	h.packed = e.buf.get((min(wide, w.n) + e.k.nr - 1) / e.k.nr * e.k.nr * w.k)
	defer e.buf.put(h.packed)
	per := e.k.mr * headRows
	tasks := min(n, (n+per*e.pool.threads-1)/(per*e.pool.threads)*e.pool.threads)
	for lo := 0; lo < w.n; lo += wide {
		cols := min(wide, w.n-lo)
		e.packAll(h.packed, b, lo, cols, w.k)
		e.pool.run(tasks, func(i int) { h.rows(i*n/tasks, (i+1)*n/tasks, lo, cols) })
	}
	s := &headStats{
		logProb: make([]float64, n), entropy: make([]float64, n), topEntropy: make([]float64, n),
		topMass: make([]float64, n), top1: make([]float64, n), lse: make([]float64, n),
		rank: make([]int32, n), top1ID: make([]int32, n),
	}
	for i := range n {
		h.finish(s, i)
	}
	return s
}

// begin computes the target's logit with the same kernel: the same bits.
func (h *headPass[F]) begin(i int, b right[F], y int) {
	e := h.e
	buf := e.buf.get(h.d * e.k.nr)
	defer e.buf.put(buf)
	e.pack(buf, b, y, 1, h.d)
	s := &h.state[i]
	out := [1]F{}
	mulBlock(e.k, out[:], 1, 1, 1, left[F]{h.x[i*h.d:], h.d, 1}, buf, h.d, false)
	s.target = out[0]
	for l := range lanes {
		s.max[l] = lowest[F]()
	}
	for j := range h.top[i].val {
		h.top[i].val[j] = F(math.Inf(-1))
	}
}

// rows folds the packed columns [first, first+cols) into rows [lo, hi).
func (h *headPass[F]) rows(lo, hi, first, cols int) {
	ker, d := h.e.k, h.d
	const ld = headTile
	logits := h.e.buf.get(ker.mr * ld)
	defer h.e.buf.put(logits)
	for i := lo; i < hi; i += ker.mr {
		m := min(ker.mr, hi-i)
		for j := 0; j < cols; j += headTile {
			n := min(headTile, cols-j)
			mulBlock(ker, logits, ld, m, n, left[F]{h.x[i*d:], d, 1}, h.packed[j*d:], d, false)
			for r := range m {
				row := logits[r*ld:][:ld]
				full := (n + lanes - 1) / lanes * lanes
				for c := n; c < full; c++ {
					row[c] = F(math.Inf(-1))
				}
				s, t := &h.state[i+r], &h.top[i+r]
				if thr := t.val[len(t.val)-1]; ker.headRow(s, row[:full]) > thr {
					for c, v := range row[:n] {
						if v > thr {
							thr = t.insert(v, int32(first+j+c))
						}
					}
				}
			}
		}
	}
}

// finish merges the lanes of target i.
func (h *headPass[F]) finish(out *headStats, i int) {
	s, t := &h.state[i], &h.top[i]
	top := float64(t.val[0])
	var sum, wsum float64
	for l := range lanes {
		d := float64(s.max[l]) - top
		e := math.Exp(d)
		sum += e * float64(s.sum[l])
		wsum += e * (float64(s.wsum[l]) + d*float64(s.sum[l]))
		out.rank[i] += s.rank[l]
	}
	lse := top + math.Log(sum)
	out.lse[i] = lse
	out.logProb[i] = float64(s.target) - lse
	out.entropy[i] = max(0, math.Log(sum)-wsum/sum)
	out.top1[i] = top - lse
	out.top1ID[i] = t.id[0]
	var mass, weighted float64 // of exp(x - top)
	for _, v := range t.val {
		d := float64(v) - top
		if e := math.Exp(d); e != 0 { // not 0 * -Inf
			mass += e
			weighted += e * d
		}
	}
	out.topMass[i] = min(1, mass/sum)
	out.topEntropy[i] = max(0, math.Log(mass)-weighted/mass)
	if lse != lse || math.IsInf(lse, 0) || float64(s.target) != float64(s.target) {
		nan := math.NaN()
		out.lse[i], out.logProb[i], out.entropy[i], out.top1[i], out.topMass[i], out.topEntropy[i] = nan, nan, nan, nan, nan, nan
	}
}

// HeadStats: statistics of softmax(x w^T) at each row of x, streaming over the
// vocabulary. A row of x that is not finite has NaN statistics.
func (e *engine[F]) HeadStats(x compute.Tensor, w compute.Weight, targets []int32, k int) *compute.HeadStats {
	s := e.headStats(x, w, targets, k)
	return &compute.HeadStats{
		LogProb: to32(s.logProb), Entropy: to32(s.entropy), TopKEntropy: to32(s.topEntropy), TopKMass: to32(s.topMass),
		Top1LogProb: to32(s.top1), Rank: s.rank, Top1ID: s.top1ID, LogSumExp: to32(s.lse),
	}
}

func to32(x []float64) []float32 {
	y := make([]float32, len(x))
	for i, v := range x {
		y[i] = float32(v)
	}
	return y
}
