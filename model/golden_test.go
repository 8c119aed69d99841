package model_test

import (
	"math"
	"slices"
	"testing"

	"eaft/compute"
	"eaft/model"
)

const topK = 20

// Float32 sums of these models have at most 97 terms of size below 10. Errors
// average, so that a product is off by about sqrt(97) * 2^-24 * 10 = 6e-6; two
// blocks add up a few such steps, mostly smaller ones, and transformers' own
// float32 results carry the same error. Seen are 8e-6.
const statTol = 2e-5

func TestScoreEqualsTransformers(t *testing.T) {
	eachISA(t, func(t *testing.T, dev compute.Device) {
		for _, v := range variants {
			e := readExpected(t, v)
			m := load(t, dev, "testdata/"+v, model.Options{})
			stats, err := m.Score(e.batch, e.targets, topK)
			if err != nil {
				t.Fatal(err)
			}
			compareStats(t, v, stats, e)
		}
	})
}

func compareStats(t *testing.T, variant string, stats *compute.HeadStats, e expected) {
	t.Helper()
	for name, got := range floats(stats) {
		want := e.f[name]
		if len(got) != len(want) {
			t.Fatalf("%s: %d values of %s, want %d", variant, len(got), name, len(want))
		}
		worst := 0.0
		for i := range got {
			worst = max(worst, math.Abs(float64(got[i])-float64(want[i])))
		}
		if !(worst <= statTol) {
			t.Errorf("%s: %s is off by up to %g", variant, name, worst)
		}
	}
	for name, got := range ints(stats) {
		if !slices.Equal(got, e.i[name]) {
			t.Errorf("%s: %s is %v, want %v", variant, name, got, e.i[name])
		}
	}
}

func TestGGUFEqualsTransformers(t *testing.T) {
	dev := newDevice(t, 2)
	for _, v := range []string{"llama3", "qwen3"} {
		e := readExpected(t, v)
		m := load(t, dev, "testdata/"+v+"/model.gguf", model.Options{})
		stats, err := m.Score(e.batch, e.targets, topK)
		if err != nil {
			t.Fatal(err)
		}
		compareStats(t, v, stats, e)
	}
}

// A gradient is a sum over tokens of products of activations, each with the
// relative error of statTol's derivation, so it is compared relative to the
// largest entry of its tensor; entries that cancel have no relative accuracy.
const gradTol = 2e-5

func TestGradientsEqualTransformers(t *testing.T) {
	eachISA(t, func(t *testing.T, dev compute.Device) {
		for _, v := range variants {
			e := readExpected(t, v)
			m := load(t, dev, "testdata/"+v, model.Options{Train: true})
			stats, err := m.Accumulate(e.batch, e.targets, topK, eaftWeights(topK))
			if err != nil {
				t.Fatal(err)
			}
			compareStats(t, v, stats, e)
			compareGradients(t, v, m, e, 1)

			// A second call adds the same again.
			if _, err := m.Accumulate(e.batch, e.targets, topK, eaftWeights(topK)); err != nil {
				t.Fatal(err)
			}
			compareGradients(t, v, m, e, 2)
			m.BeginStep()

			// A step that BeginStep begins knows nothing of the one before, and without
			// a target it has no gradient.
			grads := func() (all [][]float32) {
				for _, p := range m.Params() {
					all = append(all, read(dev, p.Grad))
				}
				return all
			}
			var first [][]float32
			for range 2 {
				if _, err := m.Accumulate(e.batch, e.targets, topK, eaftWeights(topK)); err != nil {
					t.Fatal(err)
				}
				if all := grads(); first == nil {
					first = all
				} else if !slices.EqualFunc(first, all, slices.Equal) {
					t.Errorf("%s: the gradients of a second step are others", v)
				}
				m.BeginStep()
			}
			if _, err := m.Accumulate(e.batch, nil, topK, eaftWeights(topK)); err != nil {
				t.Fatal(err)
			}
			compareGradients(t, v, m, e, 0)
		}
	})
}

// compareGradients compares every gradient with times the expected one.
func compareGradients(t *testing.T, variant string, m *model.Model, e expected, times float64) {
	t.Helper()
	seen := 0
	for _, p := range m.Params() {
		want, ok := e.f["grad."+p.Name]
		if !ok {
			t.Errorf("%s: %s is no parameter of transformers' model", variant, p.Name)
			continue
		}
		seen++
		got := read(newDevice(t, 1), p.Grad)
		if len(got) != len(want) {
			t.Fatalf("%s: the gradient of %s has %d entries, want %d", variant, p.Name, len(got), len(want))
		}
		largest, worst := 0.0, 0.0
		for i := range got {
			largest = max(largest, math.Abs(float64(want[i])))
			worst = max(worst, math.Abs(float64(got[i])-times*float64(want[i])))
		}
		if !(worst <= gradTol*largest) {
			t.Errorf("%s: the gradient of %s times %g is off by %g of its largest entry, %g", variant, p.Name, times, worst/largest, largest)
		}
	}
	for name := range e.f {
		if len(name) > 5 && name[:5] == "grad." {
			seen--
		}
	}
	if seen != 0 {
		t.Errorf("%s: %d of transformers' parameters have no gradient here", variant, -seen)
	}
}

func read(dev compute.Device, x compute.Tensor) []float32 {
	out := make([]float32, x.Rows()*x.Cols())
	dev.Read(out, x)
	return out
}

// The gradient along a direction must be the slope of the loss. Float32 losses
// of size 3 are good to 1e-6, and a step of 1e-3 along a unit-size direction
// changes them by 2e-3 times the slope, so 1% of the slope is what can be asked.
func TestGradientIsTheSlopeOfTheLoss(t *testing.T) {
	dev := newDevice(t, 2)
	for _, v := range variants {
		e := readExpected(t, v)
		m := load(t, dev, "testdata/"+v, model.Options{Train: true})
		plain := func(s *compute.HeadStats) []float32 {
			w := make([]float32, len(s.LogProb))
			for i := range w {
				w[i] = 1
			}
			return w
		}
		if _, err := m.Accumulate(e.batch, e.targets, topK, plain); err != nil {
			t.Fatal(err)
		}
		square := 0.0
		for _, p := range m.Params() {
			square += dev.SumSquares(p.Grad)
		}
		norm := math.Sqrt(square)
		loss := func(step float64) float64 {
			for _, p := range m.Params() {
				w, g := read(dev, p.Value), read(dev, p.Grad)
				for i := range w {
					w[i] += float32(step * float64(g[i]) / norm)
				}
				dev.Write(p.Value, w)
			}
			m.Refresh()
			s, err := m.Score(e.batch, e.targets, topK)
			if err != nil {
				t.Fatal(err)
			}
			sum := 0.0
			for _, lp := range s.LogProb {
				sum -= float64(lp)
			}
			return sum
		}
		const h = 1e-3
		up := loss(h)
		down := loss(-2 * h)
		if slope := (up - down) / (2 * h); math.Abs(slope-norm) > 0.01*norm {
			t.Errorf("%s: the loss rises by %g per unit along a gradient of norm %g", v, slope, norm)
		}
	}
}
