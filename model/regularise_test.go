package model_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"eaft/compute"
	"eaft/model"
)

// regularisers are all of them for a variant; the base has the same weights, and sees no noise.
func regularisers(t *testing.T, dev compute.Device, e expected, variant string, dtype compute.DType) *model.Regularisers {
	t.Helper()
	base := load(t, dev, "testdata/"+variant, model.Options{DType: dtype})
	r := rand.New(rand.NewPCG(21, 1))
	noise := make([]float32, len(e.batch.IDs)*base.Spec().Hidden)
	for i := range noise {
		noise[i] = float32(0.1 * r.NormFloat64())
	}
	return &model.Regularisers{Smoothing: 0.2, KL: 0.1, Base: base, Noise: noise}
}

// Noise is part of what the blocks compute again.
func TestRegularisedGradientsDoNotDependOnMemory(t *testing.T) {
	for _, dtype := range []compute.DType{compute.F32, compute.BF16} {
		const v = "qwen3"
		e, dev := readExpected(t, v), newDevice(t, 2)
		reg := regularisers(t, dev, e, v, dtype)
		grads := func(prepare func(m *model.Model)) (out [][]float32) {
			m := load(t, dev, "testdata/"+v, model.Options{Train: true, DType: dtype})
			prepare(m)
			_, terms, err := m.AccumulateWith(e.batch, e.targets, topK, reg, eaftWeights(topK))
			if err != nil {
				t.Fatal(err)
			}
			if len(terms.KL) != len(e.targets) || len(terms.SmoothLoss) != len(e.targets) {
				t.Fatalf("%d KLs, %d smoothed losses for %d targets", len(terms.KL), len(terms.SmoothLoss), len(e.targets))
			}
			for _, p := range m.Params() {
				out = append(out, read(dev, p.Grad))
			}
			return out
		}
		all := grads(func(*model.Model) {})
		least := grads(func(m *model.Model) {
			tokens := len(e.batch.IDs) * 1000
			for limit := int64(280 << 20); m.FitMemory(limit, tokens) != nil; limit += 1 << 20 {
			}
		})
		for i := range all {
			if !slices.Equal(all[i], least[i]) {
				t.Errorf("%v: gradient %d depends on the memory allowed", dtype, i)
			}
		}
	}
}

// Added is what the terms add to the loss whose gradient is accumulated.
func TestRegularisedLoss(t *testing.T) {
	e, dev := readExpected(t, "llama"), newDevice(t, 1)
	reg := regularisers(t, dev, e, "llama", compute.F32)
	m := load(t, dev, "testdata/llama", model.Options{Train: true})
	var coef []float32
	stats, terms, err := m.AccumulateWith(e.batch, e.targets, topK, reg, func(s *compute.HeadStats) []float32 {
		coef = eaftWeights(topK)(s)
		return coef
	})
	if err != nil {
		t.Fatal(err)
	}
	var want float64
	for i, lp := range stats.LogProb {
		want += float64(coef[i])*(float64(terms.SmoothLoss[i])+float64(lp)) + reg.KL*float64(terms.KL[i])
	}
	if math.Abs(terms.Added-want) > 1e-12*math.Abs(want) || want == 0 {
		t.Errorf("%v is added, want %v", terms.Added, want)
	}
}

func TestRegularisersThatDoNotFit(t *testing.T) {
	e, dev := readExpected(t, "llama"), newDevice(t, 1)
	m := load(t, dev, "testdata/llama", model.Options{Train: true})
	for what, r := range map[string]*model.Regularisers{
		"a base model of its own": {KL: 1, Base: m},
		"KL needs the same":       {KL: 1, Base: load(t, dev, "testdata/llama", model.Options{DType: compute.BF16})},
		"noise has 3 values":      {Noise: make([]float32, 3)},
	} {
		if _, _, err := m.AccumulateWith(e.batch, e.targets, topK, r, eaftWeights(topK)); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%q: %v", what, err)
		}
	}
}
