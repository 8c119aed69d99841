package model_test

import (
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"eaft/compute"
	"eaft/model"
)

// rowOf is row r alone, with its targets and where they stand among all.
func rowOf(e expected, r int) (b model.Batch, targets []int32, lo, hi int) {
	from, to := e.batch.CuSeqlens[r], e.batch.CuSeqlens[r+1]
	b = model.Batch{IDs: e.batch.IDs[from:to], CuSeqlens: []int32{0, to - from}}
	for i, t := range e.targets {
		if t >= to {
			break
		}
		if t >= from {
			targets = append(targets, t-from)
		} else {
			lo = i + 1
		}
	}
	return b, targets, lo, lo + len(targets)
}

// A row's numbers must be the same bits whatever stands beside it, however many
// threads run, and whichever of its targets are asked for.
func TestScoresDoNotDependOnTheBatch(t *testing.T) {
	eachISA(t, func(t *testing.T, dev compute.Device) {
		for _, dtype := range []compute.DType{compute.F32, compute.BF16} {
			for _, v := range variants {
				e := readExpected(t, v)
				m := load(t, dev, "testdata/"+v, model.Options{DType: dtype})
				packed, err := m.Score(e.batch, e.targets, topK)
				if err != nil {
					t.Fatal(err)
				}
				one := load(t, newDevice(t, 1), "testdata/"+v, model.Options{DType: dtype})
				for r := range len(e.batch.CuSeqlens) - 1 {
					b, targets, lo, hi := rowOf(e, r)
					alone, err := one.Score(b, targets, topK)
					if err != nil {
						t.Fatal(err)
					}
					sameBits(t, v, packed, alone, lo, hi)
					for i := range targets {
						single, err := m.Score(b, targets[i:i+1], topK)
						if err != nil {
							t.Fatal(err)
						}
						sameBits(t, v, packed, single, lo+i, lo+i+1)
					}
				}
			}
		}
	})
}

// sameBits compares the entries [lo, hi) of all with part.
func sameBits(t *testing.T, what string, all, part *compute.HeadStats, lo, hi int) {
	t.Helper()
	other := floats(part)
	for name, x := range floats(all) {
		if y := other[name]; !slices.EqualFunc(x[lo:hi], y, func(a, b float32) bool {
			return math.Float32bits(a) == math.Float32bits(b)
		}) {
			t.Errorf("%s: %s is %v in one batch and %v in another", what, name, x[lo:hi], y)
		}
	}
	others := ints(part)
	for name, x := range ints(all) {
		if !slices.Equal(x[lo:hi], others[name]) {
			t.Errorf("%s: %s is %v in one batch and %v in another", what, name, x[lo:hi], others[name])
		}
	}
}

// Gradients must be the same bits for any number of threads.
func TestGradientsDoNotDependOnThreads(t *testing.T) {
	for _, v := range variants {
		e := readExpected(t, v)
		var first []model.Param
		for _, threads := range []int{1, 3} {
			m := load(t, newDevice(t, threads), "testdata/"+v, model.Options{Train: true, DType: compute.BF16})
			if _, err := m.Accumulate(e.batch, e.targets, topK, eaftWeights(topK)); err != nil {
				t.Fatal(err)
			}
			if first == nil {
				first = m.Params()
				continue
			}
			dev := newDevice(t, 1)
			for i, p := range m.Params() {
				if !slices.Equal(read(dev, p.Grad), read(dev, first[i].Grad)) {
					t.Errorf("%s: the gradient of %s depends on the number of threads", v, p.Name)
				}
			}
		}
	}
}

// What is computed again instead of kept has the same bits.
func TestGradientsDoNotDependOnMemory(t *testing.T) {
	for _, v := range variants {
		for _, dtype := range []compute.DType{compute.F32, compute.BF16} {
			e := readExpected(t, v)
			dev := newDevice(t, 2)
			var first []model.Param
			// From more than enough down to what is refused, as if a batch were larger.
			for limit := int64(512 << 20); ; limit = limit * 6 / 7 {
				m := load(t, dev, "testdata/"+v, model.Options{Train: true, DType: dtype})
				if err := m.FitMemory(limit, len(e.batch.IDs)*1000); err != nil {
					if first == nil || !strings.Contains(err.Error(), "MiB were allowed") {
						t.Errorf("%d bytes: %v", limit, err)
					}
					break
				}
				if _, err := m.Accumulate(e.batch, e.targets, topK, eaftWeights(topK)); err != nil {
					t.Fatal(err)
				}
				if first == nil {
					first = m.Params()
				}
				for i, p := range m.Params() {
					if !slices.Equal(read(dev, p.Grad), read(dev, first[i].Grad)) {
						t.Errorf("%s, %v: the gradient of %s depends on the memory allowed", v, dtype, p.Name)
					}
				}
			}
		}
	}
}

// A model loaded for training scores like one loaded for scoring.
func TestTrainingModelScoresAlike(t *testing.T) {
	dev := newDevice(t, 2)
	for _, dtype := range []compute.DType{compute.F32, compute.BF16} {
		for _, v := range variants {
			e := readExpected(t, v)
			a, err := load(t, dev, "testdata/"+v, model.Options{DType: dtype}).Score(e.batch, e.targets, topK)
			if err != nil {
				t.Fatal(err)
			}
			b, err := load(t, dev, "testdata/"+v, model.Options{DType: dtype, Train: true}).Accumulate(e.batch, e.targets, topK, eaftWeights(topK))
			if err != nil {
				t.Fatal(err)
			}
			sameBits(t, v, a, b, 0, len(e.targets))
		}
	}
}

// Buffers are kept: once the largest batch has been seen, calls cost a few small
// slices, not activations (the smallest of which is 28 tokens x 24 x 4 bytes).
func TestMemoryDoesNotGrow(t *testing.T) {
	e := readExpected(t, "qwen3")
	m := load(t, newDevice(t, 1), "testdata/qwen3", model.Options{Train: true})
	call := func() {
		if _, err := m.Accumulate(e.batch, e.targets, topK, eaftWeights(topK)); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Score(e.batch, e.targets, topK); err != nil {
			t.Fatal(err)
		}
	}
	call()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range 50 {
		call()
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 64<<10 {
		t.Errorf("50 calls left %d bytes behind", grown)
	}
}
