package train

import (
	"slices"
	"strings"
	"testing"

	"eaft/compute"
)

// Every optimizer trains to the same bits on any number of threads, and goes on
// from a copy of its state as from its own.
func TestOptimizers(t *testing.T) {
	g := readGolden(t)
	for _, name := range []string{OptimizerAdamW, OptimizerAdamW8, OptimizerAdafactor} {
		train := func(threads, resume int) ([]float64, [][]float32) {
			dev := device(t, threads)
			o := g.options(LossSFT)
			o.Optimizer = name
			tr := startTrainer(t, dev, "qwen3", compute.BF16, o)
			begin := func() {
				tr.opt = newOptimizer(dev, tr.params, o)
				if name == OptimizerAdamW8 { // the fixture's weights are small
					tr.opt = newAdamW8(dev, tr.params, o, compute.BlockSize)
				}
			}
			begin()
			var losses []float64
			for i, s := range g.plan()[:6] {
				if i == resume {
					was := tr.opt.state()
					begin()
					for j, s := range tr.opt.state() {
						if s.Name != was[j].Name || s.Rows != was[j].Rows || s.Cols != was[j].Cols {
							t.Fatalf("%s: state %d is %v, then %v", name, j, was[j], s)
						}
						if s.Value == nil {
							copy(s.Bytes, was[j].Bytes)
							continue
						}
						x := make([]float32, s.Rows*s.Cols)
						dev.Read(x, was[j].Value)
						dev.Write(s.Value, x)
					}
				}
				mt, err := tr.step(t.Context(), s, i+1, 1e-2)
				must(t, err)
				losses = append(losses, mt.Loss)
			}
			var ps [][]float32
			for _, p := range tr.params {
				ps = append(ps, values(dev, p))
			}
			return losses, ps
		}
		l1, p1 := train(1, -1)
		for _, c := range [][2]int{{2, -1}, {2, 3}} {
			if l, p := train(c[0], c[1]); !slices.Equal(l, l1) || !slices.EqualFunc(p, p1, slices.Equal) {
				t.Errorf("%s: with %d threads, taken up at step %d: not the same bits", name, c[0], c[1])
			}
		}
	}
}

// What FitMemory is told is what the state takes.
func TestOptimizerState(t *testing.T) {
	g := readGolden(t)
	for _, name := range []string{OptimizerAdamW, OptimizerAdamW8, OptimizerAdafactor} {
		o := g.options(LossSFT)
		o.Optimizer = name
		tr := startTrainer(t, device(t, 1), "llama", compute.F32, o)
		var have, want int64
		for _, s := range tr.opt.state() {
			if s.Value == nil {
				have += int64(len(s.Bytes))
			} else {
				have += 4 * int64(s.Rows) * int64(s.Cols)
			}
		}
		for _, p := range tr.params {
			want += o.momentBytes(p.Value.Rows(), p.Value.Cols())
		}
		if have != want {
			t.Errorf("%s: %d bytes of state, %d were announced", name, have, want)
		}
	}
}

func TestOptimizerOptions(t *testing.T) {
	ok := Options{Optimizer: OptimizerAdamW, AdamBeta1: 0.9, AdamBeta2: 0.99, AdamEps: 1e-8}
	with := func(f func(o *Options)) Options {
		o := ok
		f(&o)
		return o
	}
	for _, c := range []struct {
		o    Options
		want string
	}{
		{ok, ""},
		{Options{Optimizer: OptimizerAdafactor}, ""},
		{with(func(o *Options) { o.Optimizer = OptimizerAdafactor }), "adafactor has none"},
		{with(func(o *Options) { o.Optimizer = "lion" }), "adamw, adamw8bit or adafactor"},
		{with(func(o *Options) { o.AdamBeta1 = 1 }), "--adam-beta1 1"},
		{with(func(o *Options) { o.AdamBeta2 = -0.1 }), "--adam-beta2 -0.1"},
		{with(func(o *Options) { o.AdamEps = 0 }), "--adam-eps 0"},
	} {
		err := c.o.checkOptimizer()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%+v: %v", c.o, err)
		}
	}
}
