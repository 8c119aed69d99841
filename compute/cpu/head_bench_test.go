package cpu

import (
	"math/rand/v2"
	"testing"

	"eaft/compute"
)

// The gradient of the head, alone and with its regularisers: the base model's
// logits are a fourth product of the same size.
func BenchmarkHeadBackward(b *testing.B) {
	for _, ker := range available() {
		for _, name := range []string{"plain", "smoothing", "kl"} {
			b.Run(ker.isa+"/"+name, func(b *testing.B) {
				const n, d, v = 256, 576, 16384
				r := rand.New(rand.NewPCG(1, 1))
				e := newEngine(ker, 2)
				x, dx, dw := newMat[float32](r, n, d), zeros[float32](n, d), zeros[float32](v, d)
				w, targets, coef := e.WeightOf(newMat[float32](r, v, d), compute.BF16), make([]int32, n), random[float32](r, n)
				lse := e.HeadStats(x, w, targets, 1).LogSumExp
				reg := map[string]*compute.HeadRegularisers{"smoothing": {Smoothing: 0.1},
					"kl": {KL: 0.1, BaseX: x, BaseW: w, BaseLogSumExp: lse}}[name]
				for b.Loop() {
					e.HeadBackward(dx, dw, x, false, w, targets, lse, coef, reg)
				}
				b.ReportMetric(6*n*d*v*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			})
		}
	}
}
