package cpu

import (
	"math/rand/v2"
	"testing"

	"eaft/compute"
)

func BenchmarkHead(b *testing.B) {
	for _, ker := range available() {
		b.Run(ker.isa, func(b *testing.B) {
			const n, d, v = 256, 576, 8192
			r := rand.New(rand.NewPCG(1, 1))
			e := newEngine(ker, 2)
			x, op := newMat[float32](r, n, d), e.WeightOf(newMat[float32](r, v, d), compute.F32)
			for b.Loop() {
				e.HeadStats(x, op, make([]int32, n), 20)
			}
			b.ReportMetric(2*n*d*v*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
		})
	}
}

func BenchmarkAttention(b *testing.B) {
	for _, ker := range available() {
		b.Run(ker.isa, func(b *testing.B) {
			const n, h, d = 1024, 9, 64
			r := rand.New(rand.NewPCG(1, 1))
			e := newEngine(ker, 2)
			q, k, o := newMat[float32](r, n, h*d), newMat[float32](r, n, 3*d), zeros[float32](n, h*d)
			a := compute.Attention{Heads: h, KVHeads: 3, HeadDim: d, CuSeqlens: []int32{0, n}, Scale: 0.125}
			for b.Loop() {
				e.Attention(o, nil, q, k, k, a)
			}
			b.ReportMetric(2*n*n*h*d*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s") // the causal half
		})
	}
}
