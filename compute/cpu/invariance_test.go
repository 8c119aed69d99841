package cpu

import (
	"math"
	"math/rand/v2"
	"testing"

	"eaft/compute"
)

// A second packed row, alone or after another one, on 1, 2 or 3 threads, has the
// same bits; and they are near the definition (|v| ~ 1, 200 terms: 1e-5 is 80 u).
func TestAttentionInvariance(t *testing.T) {
	eachISA(t, func(t *testing.T, ker *kernels[float32]) {
		for _, window := range []int{0, 37} {
			r := rand.New(rand.NewPCG(9, 1))
			const cut, n = 61, 261
			a := compute.Attention{Heads: 4, KVHeads: 2, HeadDim: 24, CuSeqlens: []int32{0, cut, n}, Window: window, Scale: 0.2}
			q, k, v, do := newMat[float32](r, n, 96), newMat[float32](r, n, 48), newMat[float32](r, n, 48), newMat[float32](r, n, 96)
			run := func(threads, lo int, a compute.Attention) [4]*matrix[float32] {
				e := newEngine(ker, threads)
				m := n - lo
				o, lse := zeros[float32](m, 96), zeros[float32](m, 4)
				dq, dk, dv := zeros[float32](m, 96), zeros[float32](m, 48), zeros[float32](m, 48)
				e.Attention(o, lse, q.Slice(lo, n), k.Slice(lo, n), v.Slice(lo, n), a)
				e.AttentionBackward(dq, dk, dv, do.Slice(lo, n), o, lse, q.Slice(lo, n), k.Slice(lo, n), v.Slice(lo, n), a)
				return [4]*matrix[float32]{o, dq, dk, dv}
			}
			all := run(1, 0, a)
			for i, want := range naiveAttention(q, k, v, a) {
				if math.Abs(float64(all[0].data[i])-want) > 1e-5 {
					t.Fatalf("out[%d] = %g, want %g", i, all[0].data[i], want)
				}
			}
			alone := a
			alone.CuSeqlens = []int32{0, n - cut}
			for threads := 1; threads <= 3; threads++ {
				whole, part := run(threads, 0, a), run(threads, cut, alone)
				for i := range all {
					if !same(whole[i].data, all[i].data) || !same(part[i].data, all[i].data[cut*all[i].cols:]) {
						t.Fatalf("window %d, %d threads: bits of result %d differ", window, threads, i)
					}
				}
			}
		}
	})
}

// Three steps against the formula written out, Loshchilov and Hutter 2019.
func TestAdamW(t *testing.T) {
	e := f64()
	r := rand.New(rand.NewPCG(10, 1))
	p, m, v := newMat[float64](r, 3, 7), zeros[float64](3, 7), zeros[float64](3, 7)
	wp, wm, wv := append([]float64(nil), p.data...), make([]float64, 21), make([]float64, 21)
	for step := 1; step <= 3; step++ {
		g := newMat[float64](r, 3, 7)
		s := compute.AdamW{LR: 0.01, Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, WeightDecay: 0.1, GradScale: 0.5, Step: step}
		e.AdamW(p, g, m, v, s)
		for i := range wp {
			x := g.data[i] * 0.5
			wm[i] = 0.9*wm[i] + 0.1*x
			wv[i] = 0.95*wv[i] + 0.05*x*x
			mh, vh := wm[i]/(1-math.Pow(0.9, float64(step))), wv[i]/(1-math.Pow(0.95, float64(step)))
			wp[i] = wp[i] - 0.01*0.1*wp[i] - 0.01*mh/(math.Sqrt(vh)+1e-8)
			if math.Abs(p.data[i]-wp[i]) > 1e-12 {
				t.Fatalf("step %d: p[%d] = %g, want %g", step, i, p.data[i], wp[i])
			}
		}
	}
}
