package train

import (
	"math"
	"path/filepath"
	"testing"

	"eaft/compute"
	"eaft/model"
	"eaft/model/weights"
)

// After a step the model computes with the changed weights: it scores as the
// same weights do when they are read back from disk. In bf16 the operands are
// copies of the masters, so this is where a forgotten Refresh shows.
func TestStepIsSeenByTheModel(t *testing.T) {
	g := readGolden(t)
	dev := device(t, 2)
	for _, dtype := range []compute.DType{compute.F32, compute.BF16} {
		tr := startTrainer(t, dev, "qwen3", dtype, g.options(LossEAFT))
		s := g.plan()[0]
		if _, err := tr.step(t.Context(), s, 1, 1e-2); err != nil {
			t.Fatal(err)
		}
		c, err := weights.Open(filepath.Join("..", "model", "testdata", "qwen3"))
		must(t, err)
		defer c.Close()
		dir := t.TempDir()
		must(t, tr.m.Save(dir, c))
		saved, err := weights.Open(dir)
		must(t, err)
		defer saved.Close()
		again, err := model.Load(dev, saved, model.Options{DType: dtype})
		must(t, err)
		r := s.rows[0]
		b := model.Batch{IDs: r.ids, CuSeqlens: []int32{0, int32(len(r.ids))}}
		got, err := tr.m.Score(b, r.pos, g.Options.K)
		must(t, err)
		want, err := again.Score(b, r.pos, g.Options.K)
		must(t, err)
		for i := range want.LogProb {
			if math.Float32bits(got.LogProb[i]) != math.Float32bits(want.LogProb[i]) {
				t.Errorf("%v: target %d has logprob %v, after loading %v", dtype, r.pos[i], got.LogProb[i], want.LogProb[i])
			}
		}
	}
}

// A gradient below the clipping norm is used as it is, never scaled up.
func TestSmallGradientsAreNotScaled(t *testing.T) {
	g := readGolden(t)
	dev := device(t, 1)
	after := func(norm float64) []float32 {
		o := g.options(LossEAFT)
		o.MaxGradNorm = norm
		tr := startTrainer(t, dev, "llama", compute.F32, o)
		if _, err := tr.step(t.Context(), g.plan()[0], 1, 1e-2); err != nil {
			t.Fatal(err)
		}
		return values(dev, tr.params[0])
	}
	off, loose := after(0), after(1e9)
	for i := range off {
		if math.Float32bits(off[i]) != math.Float32bits(loose[i]) {
			t.Fatalf("value %d is %v with --max-grad-norm 1e9 and %v without clipping", i, loose[i], off[i])
		}
	}
}
