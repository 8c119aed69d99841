package cpu

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"eaft/compute"
)

// Logits of size s = sqrt(d) carry at most d 2^-23 s^2 of error, which is 5e-4 for d =
// 64, if all roundings go one way; they do not: 3e-6 is seen on all instruction sets.
func TestHeadStats(t *testing.T) {
	const n, d, v, k = 19, 64, 2100, 20
	r := rand.New(rand.NewPCG(8, 1))
	x, w := newMat[float32](r, n, d), newMat[float32](r, v, d)
	for i := range x.data {
		x.data[i] *= 0.3
	}
	copy(w.row(1700), w.row(3)) // a tie, of the likeliest in row 7
	for c, v := range w.row(3) {
		x.row(7)[c] = 0.3 * v
	}
	targets := make([]int32, n)
	for i := range targets {
		targets[i] = int32(r.IntN(v))
	}
	eachISA(t, func(t *testing.T, ker *kernels[float32]) {
		e := newEngine(ker, 1)
		op := e.WeightOf(w, compute.F32)
		got := e.HeadStats(x, op, targets, k)
		for i := range n {
			logits := make([]float64, v)
			var sum, h float64
			for j := range v {
				for c := range d {
					logits[j] += float64(x.row(i)[c]) * float64(w.row(j)[c])
				}
				sum += math.Exp(logits[j])
			}
			for _, l := range logits {
				h -= math.Exp(l) / sum * (l - math.Log(sum))
			}
			sorted := slices.Sorted(slices.Values(logits))
			slices.Reverse(sorted)
			for j, l := range sorted[:k] {
				id, lp := int(got.TopIDs[i*k+j]), float64(got.TopLogProbs[i*k+j])
				if math.Abs(lp-(l-math.Log(sum))) > 2e-5 || math.Abs(logits[id]-l) > 1e-3 {
					t.Errorf("row %d, entry %d: token %d with %g, whose logit gives %g; want %g", i, j, id, lp, logits[id]-math.Log(sum), l-math.Log(sum))
				}
				if j > 0 && lp > float64(got.TopLogProbs[i*k+j-1]) {
					t.Errorf("row %d: token %d with %g follows %g", i, id, lp, got.TopLogProbs[i*k+j-1])
				}
			}
			if got.TopIDs[i*k] != got.Top1ID[i] || got.TopLogProbs[i*k] != got.Top1LogProb[i] {
				t.Errorf("row %d: the first is %d with %g, top 1 %d with %g", i, got.TopIDs[i*k], got.TopLogProbs[i*k], got.Top1ID[i], got.Top1LogProb[i])
			}
			if ids := slices.Sorted(slices.Values(got.TopIDs[i*k:][:k])); len(slices.Compact(ids)) != k {
				t.Errorf("row %d: a token twice in %v", i, got.TopIDs[i*k:][:k])
			}
			var mass, th float64
			for _, l := range sorted[:k] {
				mass += math.Exp(l) / sum
			}
			for _, l := range sorted[:k] {
				p := math.Exp(l) / sum / mass
				th -= p * math.Log(p)
			}
			for name, pair := range map[string][2]float64{
				"logprob": {float64(got.LogProb[i]), logits[targets[i]] - math.Log(sum)},
				"entropy": {float64(got.Entropy[i]), h}, "mass": {float64(got.TopKMass[i]), mass},
				"top-k entropy": {float64(got.TopKEntropy[i]), th}, "top1": {float64(got.Top1LogProb[i]), sorted[0] - math.Log(sum)},
				"top1 id": {float64(got.Top1ID[i]), float64(slices.Index(logits, sorted[0]))},
			} {
				if math.Abs(pair[0]-pair[1]) > 2e-5 {
					t.Errorf("row %d: %s %g, want %g", i, name, pair[0], pair[1])
				}
			}
		}
		if top := got.TopIDs[7*k:]; top[0] != 3 || top[1] != 1700 || got.TopLogProbs[7*k] != got.TopLogProbs[7*k+1] {
			t.Errorf("the tie is %v with %v", top[:2], got.TopLogProbs[7*k:][:2])
		}
		for threads := 2; threads <= 3; threads++ {
			sub := newEngine(ker, threads).HeadStats(x.Slice(5, n), op, targets[5:], k)
			if !same(sub.LogProb, got.LogProb[5:]) || !same(sub.Entropy, got.Entropy[5:]) || !same(sub.TopKMass, got.TopKMass[5:]) ||
				!same(sub.TopLogProbs, got.TopLogProbs[5*k:]) || !slices.Equal(sub.TopIDs, got.TopIDs[5*k:]) {
				t.Fatal("bits depend on threads or on the rows beside")
			}
		}
		bad := newMat[float32](r, 2, d)
		bad.data[3], bad.data[d] = float32(math.NaN()), float32(math.Inf(1))
		s := e.HeadStats(bad, op, targets[:2], v+5)
		for i := range 2 {
			if s.LogProb[i] == s.LogProb[i] || s.Entropy[i] == s.Entropy[i] || s.TopKEntropy[i] == s.TopKEntropy[i] || s.TopLogProbs[i*v] == s.TopLogProbs[i*v] {
				t.Errorf("row %d that is not finite: logprob %g, entropy %g, likeliest %g", i, s.LogProb[i], s.Entropy[i], s.TopLogProbs[i*v])
			}
		}
	})
}

// No target, no statistics.
func TestHeadStatsNoRows(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 1))
	x, w := newMat[float32](r, 0, 64), newMat[float32](r, 100, 64)
	eachISA(t, func(t *testing.T, ker *kernels[float32]) {
		for _, dtype := range []compute.DType{compute.F32, compute.BF16} {
			e := newEngine(ker, 2)
			if s := e.HeadStats(x, e.WeightOf(w, dtype), nil, 20); len(s.LogProb) != 0 || len(s.TopIDs) != 0 {
				t.Errorf("%v: %+v", dtype, s)
			}
		}
	})
}

// Rows that are fewer than the threads are shared out by parts of the vocabulary:
// the same bits, also of a tie between parts and of a vocabulary of fewer tiles.
func TestHeadStatsFewRows(t *testing.T) {
	const n, d, k = 40, 64, 20
	for _, v := range []int{100, 2100, 5000} {
		r := rand.New(rand.NewPCG(8, uint64(v)))
		x, w := newMat[float32](r, n, d), newMat[float32](r, v, d)
		copy(w.row(v-1), w.row(3))
		copy(x.row(7), w.row(3))
		targets := make([]int32, n)
		for i := range targets {
			targets[i] = int32(r.IntN(v))
		}
		eachISA(t, func(t *testing.T, ker *kernels[float32]) {
			op := newEngine(ker, 1).WeightOf(w, compute.BF16)
			want := newEngine(ker, 1).HeadStats(x, op, targets, k)
			if top := want.TopIDs[7*k:]; top[0] != 3 || int(top[1]) != v-1 {
				t.Errorf("vocabulary of %d: the tie is %v", v, top[:2])
			}
			for _, rows := range []int{1, 2, 15} {
				for _, threads := range []int{2, 3, 7} {
					for lo := 0; lo+rows <= n; lo += rows {
						got := newEngine(ker, threads).HeadStats(x.Slice(lo, lo+rows), op, targets[lo:][:rows], k)
						for i := range rows {
							one := func(x []float32) []float32 { return x[lo+i:][:1] }
							if !same(got.LogProb[i:][:1], one(want.LogProb)) || !same(got.Entropy[i:][:1], one(want.Entropy)) ||
								!same(got.TopKEntropy[i:][:1], one(want.TopKEntropy)) || !same(got.TopKMass[i:][:1], one(want.TopKMass)) ||
								!same(got.LogSumExp[i:][:1], one(want.LogSumExp)) || got.Rank[i] != want.Rank[lo+i] ||
								!same(got.TopLogProbs[i*k:][:k], want.TopLogProbs[(lo+i)*k:][:k]) ||
								!slices.Equal(got.TopIDs[i*k:][:k], want.TopIDs[(lo+i)*k:][:k]) {
								t.Fatalf("vocabulary of %d, row %d: other bits among %d rows on %d threads", v, lo+i, rows, threads)
							}
						}
					}
				}
			}
		})
	}
}

// The gradient of the head's input is a sum over the whole vocabulary. Made of its
// tiles' sums it is off by 2e-6 here; one float32 sum over all is by 8e-6.
func TestHeadBackwardLargeVocabulary(t *testing.T) {
	const n, d, v = 8, 64, 49152
	r := rand.New(rand.NewPCG(1, 1))
	x, w, targets, coef := newMat[float32](r, n, d), newMat[float32](r, v, d), make([]int32, n), make([]float32, n)
	for i := range x.data {
		x.data[i] *= 0.3
	}
	for i := range w.data {
		w.data[i] = 0.1 + w.data[i]/20
	}
	x64, w64, coef64 := zeros[float64](n, d), zeros[float64](v, d), make([]float64, n)
	for i := range coef {
		coef[i], coef64[i] = 1, 1
	}
	for i, y := range x.data {
		x64.data[i] = float64(y)
	}
	for i, y := range w.data {
		w64.data[i] = float64(y)
	}
	ref, want := newEngine(portable[float64](), 2), zeros[float64](n, d)
	op := ref.WeightOf(w64, compute.F32)
	ref.HeadBackward(want, nil, x64, false, op, targets, ref.headStats(x64, op, targets, 1).lse, coef64, nil)
	var size float64
	for _, y := range want.data {
		size += y * y
	}
	for _, ker := range available() {
		e, dx := newEngine(ker, 2), zeros[float32](n, d)
		op := e.WeightOf(w, compute.F32)
		e.HeadBackward(dx, nil, x, false, op, targets, e.HeadStats(x, op, targets, 1).LogSumExp, coef, nil)
		var off float64
		for i, y := range dx.data {
			off += (float64(y) - want.data[i]) * (float64(y) - want.data[i])
		}
		if got := math.Sqrt(off / size); got > 4e-6 {
			t.Errorf("%s: the gradient is off by %.2g of its size", ker.isa, got)
		}
	}
}
