package eaft

import (
	"math"
	"math/rand/v2"
	"testing"
)

// Against all values, sorted: the sketch within its error of the order
// statistic, the second look exactly what Quantile says.
func TestSketch(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	for name, draw := range map[string]func() float32{
		"uniform":   rng.Float32,
		"log":       func() float32 { return float32(math.Exp(-30 * rng.Float64())) },
		"few":       func() float32 { return []float32{0, 0.25, 1}[rng.IntN(3)] },
		"one bin":   func() float32 { return 0.5 + rng.Float32()/1000 },
		"denormals": func() float32 { return math.Float32frombits(rng.Uint32N(1 << 20)) },
	} {
		for _, n := range []int{1, 2, 3, 1000, 20000} {
			values := make([]float32, n)
			var all, half Sketch
			for i := range values {
				values[i] = draw()
				if i%2 == 0 {
					all.Add(values[i])
				} else {
					half.Add(values[i])
				}
			}
			all.Merge(&half)
			for _, q := range []float64{0, 0.001, 0.15, 0.5, 0.999, 1} {
				e := all.Exact(q)
				part := e.Fresh()
				for i, v := range values {
					if i%3 == 0 {
						e.Add(v)
					} else {
						part.Add(v)
					}
				}
				e.Merge(part)
				sorted := append([]float32(nil), values...)
				want := Quantile(sorted, q)
				if got := e.Value(); got != want {
					t.Errorf("%s, %d values: exact quantile %v is %v, want %v", name, n, q, got, want)
				}
				stat := float64(sorted[int(q*float64(n-1))])
				// Below float32's normal range bins have a fixed width.
				if got := all.Quantile(q); math.Abs(got-stat) > SketchError*stat && stat > 2e-38 {
					t.Errorf("%s, %d values: quantile %v is %v, want %v within %v", name, n, q, got, stat, SketchError)
				}
			}
		}
	}
	var s Sketch
	if !math.IsNaN(s.Quantile(0.5)) || !math.IsNaN(s.Exact(0.5).Value()) {
		t.Error("nothing has a quantile")
	}
	s.Add(1)
	s.Add(float32(math.NaN()))
	if !math.IsNaN(s.Quantile(0.5)) || !math.IsNaN(s.Exact(0.5).Value()) {
		t.Error("a NaN is lost")
	}
}

func TestGates(t *testing.T) {
	for _, c := range []struct {
		g       Gate
		h, want float64
	}{{Power{1}, 0.3, 0.3}, {Power{2}, 0.5, 0.25}, {Power{3}, 0.5, 0.125}, {Power{0.5}, 0.25, 0.5},
		{Sigmoid{10, 0.5}, 0.5, 0.5}, {Sigmoid{10, 0.5}, 1, 1 / (1 + math.Exp(-5))}, {Sigmoid{20, 0.2}, 0, 1 / (1 + math.Exp(4))}} {
		if got := c.g.Weight(c.h); !near(got, c.want, 1e-12) {
			t.Errorf("%#v at %v: %v, want %v", c.g, c.h, got, c.want)
		}
	}
}
