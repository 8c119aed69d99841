package cpu

import (
	"math"
	"math/rand/v2"
	"testing"

	"eaft/compute"
)

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
