package model_test

import (
	"math/rand/v2"
	"os"
	"runtime/debug"
	"sync/atomic"
	"testing"
	"time"

	"eaft/compute"
	"eaft/model"
)

// Garbage collection and preemption must not touch a result: the kernels hold
// pointers that the runtime does not see, and tiles that no signal handler saves.
// EAFT_STRESS is how long to try on each instruction set (make stress).
func TestScoresUnderGarbageCollection(t *testing.T) {
	spend := 300 * time.Millisecond
	if s := os.Getenv("EAFT_STRESS"); s != "" {
		var err error
		if spend, err = time.ParseDuration(s); err != nil {
			t.Fatalf("EAFT_STRESS: %v", err)
		}
	}
	eachISA(t, func(t *testing.T, dev compute.Device) {
		m := load(t, dev, "demo", model.Options{DType: compute.BF16, Train: true})
		r := rand.New(rand.NewPCG(1, 2))
		b := model.Batch{CuSeqlens: []int32{0}}
		var targets []int32
		for _, n := range []int{70, 1, 33, 150} {
			for i := range n {
				if i > 0 {
					targets = append(targets, int32(len(b.IDs)))
				}
				b.IDs = append(b.IDs, int32(r.IntN(m.Spec().Vocab)))
			}
			b.CuSeqlens = append(b.CuSeqlens, int32(len(b.IDs)))
		}
		pass := func() (*compute.HeadStats, float64) {
			m.BeginStep()
			if _, err := m.Accumulate(b, targets, topK, eaftWeights(topK)); err != nil {
				t.Fatal(err)
			}
			var sum float64
			for _, p := range m.Params() {
				sum += dev.SumSquares(p.Grad)
			}
			s, err := m.Score(b, targets, topK)
			if err != nil {
				t.Fatal(err)
			}
			return s, sum
		}
		want, wantSum := pass()

		defer debug.SetGCPercent(debug.SetGCPercent(1))
		var stop atomic.Bool
		done := make(chan struct{})
		go func() {
			defer close(done)
			var keep [64][]byte
			for i := 0; !stop.Load(); i++ {
				keep[i%len(keep)] = make([]byte, 1<<uint(i%17))
			}
		}()
		n := 0
		for began := time.Now(); n == 0 || time.Since(began) < spend; n++ {
			got, sum := pass()
			sameBits(t, "pass", want, got, 0, len(targets))
			if sum != wantSum {
				t.Errorf("pass %d: the gradient's squares sum to %v, want %v", n, sum, wantSum)
			}
			if t.Failed() {
				break
			}
		}
		stop.Store(true)
		<-done
		t.Logf("%d passes", n)
	})
}
