package train

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"eaft/compute"
	"eaft/eaft"
	"eaft/internal/cli"
	"eaft/parquet"
)

// outcome is what three steps of a case make.
type outcome struct {
	ms      []Metrics
	ws, ps  [][]float32 // weights of each visit, parameters after the last step
	largest float64     // -logprob of a target
}

func (g *lossGolden) trained(t *testing.T, name string, threads, limit int, dtype compute.DType) (x outcome) {
	t.Helper()
	dev := device(t, threads)
	tr, steps := g.trainer(t, dev, "llama", g.options(t, name), dtype)
	tr.limit = limit
	tr.visit = func(_ step, _ int, r *row, w []float32) error {
		x.ws = append(x.ws, slices.Clone(w))
		x.largest = max(x.largest, -float64(slices.Min(r.logp)))
		return nil
	}
	for i, s := range steps[:3] {
		mt, err := tr.step(t.Context(), s, i+1, 1e-3)
		must(t, err)
		mt.Rate = 0
		x.ms = append(x.ms, mt)
	}
	for _, p := range tr.params {
		x.ps = append(x.ps, values(dev, p))
	}
	return x
}

func TestLossesDoNotDependOnThreads(t *testing.T) {
	g := readLosses(t)
	for name := range g.cases {
		a, b := g.trained(t, name, 1, MicroTokens, compute.BF16), g.trained(t, name, 2, MicroTokens, compute.BF16)
		if !slices.Equal(a.ms, b.ms) || !slices.EqualFunc(a.ws, b.ws, slices.Equal) || !slices.EqualFunc(a.ps, b.ps, slices.Equal) {
			t.Errorf("%s: two threads do not make the same bits as one", name)
		}
	}
}

// A step in one micro-batch, in several, and in one for each row: before any
// update the weights have the same bits, but for MiLe's mean, a sum in another
// order. Later all is within the bounds of the comparison with torch.
func TestLossesDoNotDependOnPacking(t *testing.T) {
	g := readLosses(t)
	for name := range g.cases {
		o := g.options(t, name)
		one := g.trained(t, name, 2, MicroTokens, compute.F32)
		bound := (1 + steepness(o, one.largest)) * relBound
		for _, limit := range []int{1, 20} {
			many := g.trained(t, name, 2, limit, compute.F32)
			for i := range g.Steps[0] {
				for j := range many.ws[i] {
					if a, b := many.ws[i][j], one.ws[i][j]; a != b && (o.Loss != LossMiLe || math.Abs(float64(a/b-1)) > 4*ulp) {
						t.Errorf("%s, micro-batches of %d: weight %v, in one %v", name, limit, a, b)
					}
				}
			}
			for i, m := range many.ms {
				want := one.ms[i]
				if math.Abs(m.Loss-want.Loss) > bound*want.Loss || math.Abs(m.GradNorm-want.GradNorm) > bound*want.GradNorm {
					t.Errorf("%s, micro-batches of %d: %+v, in one %+v", name, limit, m, want)
				}
			}
			moved := 3e-3*bound/g.Options.AdamEps + 12*ulp
			for i, p := range many.ps {
				for j := range p {
					if math.Abs(float64(p[j]-one.ps[i][j])) > moved {
						t.Fatalf("%s, micro-batches of %d: parameter %d[%d] is %v, in one %v", name, limit, i, j, p[j], one.ps[i][j])
					}
				}
			}
		}
	}
}

// mean_weight is the mean of the weights that the audit receives, and the loss
// that of the weighted -logprob.
func TestMeanWeight(t *testing.T) {
	g := readLosses(t)
	for name := range g.cases {
		o := g.options(t, name)
		tr, steps := g.trainer(t, device(t, 1), "llama", o, compute.F32)
		var sum, loss float64
		n := 0
		tr.visit = func(_ step, _ int, r *row, w []float32) error {
			for i, x := range w {
				sum += float64(x)
				loss -= float64(x) * float64(r.logp[i])
				n++
			}
			return nil
		}
		mt, err := tr.step(t.Context(), steps[0], 1, 1e-3)
		must(t, err)
		of := float64(n)
		if o.Normalize == NormalizeWeights {
			of = sum
		}
		// float32 roundings of MiLe's scaled weights.
		if math.Abs(mt.MeanWeight-sum/float64(n)) > ulp*mt.MeanWeight || math.Abs(mt.Loss-loss/of) > ulp*mt.Loss {
			t.Errorf("%s: mean weight %v and loss %v, the visits have %v and %v", name, mt.MeanWeight, mt.Loss, sum/float64(n), loss/of)
		}
	}
}

// With all weights 0 the step's loss has no denominator under --normalize weights.
func TestAllMasked(t *testing.T) {
	g := readLosses(t)
	o := g.golden.options(LossMask)
	o.Tokens, o.Out, o.Epochs, o.BatchTokens = "t", "o", 1, 1
	mass := 0.0
	o.MaskCuts, o.MinMass, o.Normalize = "p<=1,h<=1", &mass, NormalizeWeights
	must(t, o.Check())
	tr, steps := g.trainer(t, device(t, 1), "llama", o, compute.F32)
	_, err := tr.step(t.Context(), steps[1], 4, 1e-3)
	if err == nil || !strings.Contains(err.Error(), "step 4: the weights of all") || !strings.Contains(err.Error(), "3, 4, 5") {
		t.Errorf("all masked: %v", err)
	}
}

func TestLossOptions(t *testing.T) {
	x := func(v float64) *float64 { return &v }
	for _, c := range []struct {
		loss string
		w    Weighting
		k    int
		want string // of the error; empty: accepted
	}{
		{loss: LossEAFT},
		{loss: LossEAFT, w: Weighting{Gate: "power", Alpha: x(0.5), Estimator: "full", Normalize: NormalizeWeights}},
		{loss: LossEAFT, w: Weighting{Gate: "sigmoid", Alpha: x(10), Beta: x(-0.5)}},
		{loss: LossEAFT, w: Weighting{Preset: PresetAxolotl}, k: 8},
		{loss: LossMask, w: Weighting{MaskFrom: MaskBase, MaskCuts: "h<=0.1,p<=0.05", Estimator: "trunc", MinMass: x(0.5)}},
		{loss: LossOfflineEAFT, w: Weighting{Preset: PresetLLaMAFactory, Alpha: x(2)}},
		{loss: LossFocal, w: Weighting{Gamma: x(0)}},
		{loss: LossSFT, w: Weighting{MatchStep: "run"}},
		{loss: "EAFT", want: `--loss "EAFT" is not known`},
		{loss: LossEAFT, w: Weighting{Gate: "step"}, want: `--gate "step" is not known: use linear, square, cube, power or sigmoid`},
		{loss: LossSFT, w: Weighting{Gate: "linear"}, want: "--gate does nothing with --loss sft"},
		{loss: LossEAFT, w: Weighting{Gate: "square", Alpha: x(2)}, want: "--alpha does nothing with --loss eaft --gate square"},
		{loss: LossEAFT, w: Weighting{Alpha: x(2)}, want: "--alpha does nothing with --loss eaft --gate linear"},
		{loss: LossEAFT, w: Weighting{Gate: "power"}, want: "--alpha is missing"},
		{loss: LossEAFT, w: Weighting{Gate: "sigmoid", Alpha: x(1)}, want: "--beta"},
		{loss: LossEAFT, w: Weighting{Gate: "power", Alpha: x(1), Beta: x(1)}, want: "--beta does nothing"},
		{loss: LossEAFT, w: Weighting{Gate: "power", Alpha: x(-1)}, want: "--alpha -1: a number >= 0"},
		{loss: LossEAFT, w: Weighting{Gate: "power", Alpha: x(math.NaN())}, want: "--alpha NaN"},
		{loss: LossEAFT, w: Weighting{Gate: "sigmoid", Alpha: x(1), Beta: x(math.Inf(1))}, want: "--beta +Inf: a number"},
		{loss: LossEAFT, w: Weighting{Gamma: x(1)}, want: "--gamma does nothing"},
		{loss: LossEAFT, w: Weighting{Preset: "trl"}, want: `--preset "trl" is not known`},
		{loss: LossEAFT, w: Weighting{Preset: PresetAxolotl, Gate: "square"}, want: "--gate does nothing with --loss eaft --preset axolotl"},
		{loss: LossEAFT, w: Weighting{Preset: PresetAxolotl, Estimator: "full"}, want: "--estimator does nothing"},
		{loss: LossEAFT, w: Weighting{Preset: PresetLLaMAFactory}, k: 10, want: "--k 10: --preset llamafactory"},
		{loss: LossOfflineEAFT, w: Weighting{Preset: PresetAxolotl}, want: "which the scores do not hold"},
		{loss: LossEAFT, w: Weighting{Estimator: "top"}, want: `--estimator "top"`},
		{loss: LossDFT, w: Weighting{Estimator: "full"}, want: "--estimator does nothing with --loss dft"},
		{loss: LossMask, w: Weighting{Estimator: "full"}, want: "the annotation's cuts are renorm's"},
		{loss: LossMask, w: Weighting{MinMass: x(0.5)}, want: "--min-mass does nothing"},
		{loss: LossMask, w: Weighting{MaskCuts: "q=0.1"}, want: "absolute cuts"},
		{loss: LossMask, w: Weighting{MaskCuts: "p<=0.1"}, want: "--mask-cuts: thresholds"},
		{loss: LossMask, w: Weighting{MaskCuts: "p<=0.1,h<=0.1", MinMass: x(1.5)}, want: "--min-mass 1.5"},
		{loss: LossMask, w: Weighting{MaskFrom: "scores"}, want: `--mask-from "scores"`},
		{loss: LossFLOW, w: Weighting{MaskFrom: MaskBase}, want: "--mask-from does nothing with --loss flow"},
		{loss: LossFLOW, w: Weighting{MaskCuts: "p<=0.1,h<=0.1"}, want: "--mask-cuts does nothing"},
		{loss: LossSFT, w: Weighting{Normalize: NormalizeWeights}, want: "--normalize weights does nothing with --loss sft"},
		{loss: LossMiLe, w: Weighting{Normalize: NormalizeWeights}, want: "--normalize weights does nothing with --loss mile"},
		{loss: LossEAFT, w: Weighting{Normalize: "rows"}, want: `--normalize "rows"`},
		{loss: LossEAFT, w: Weighting{MatchStep: "run"}, want: "--match-step does nothing with --loss eaft"},
	} {
		o := DefaultOptions()
		o.Tokens, o.Scores, o.Out, o.Loss, o.Weighting = "t", "s", "o", c.loss, c.w
		if c.k > 0 {
			o.K = c.k
		}
		err := o.Check()
		if c.want == "" && err == nil {
			settled := o
			if err = o.Check(); err == nil && !reflect.DeepEqual(o, settled) {
				t.Errorf("%s %+v: checked twice it becomes %+v", c.loss, settled.Weighting, o.Weighting)
			}
		}
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s %+v: %v", c.loss, c.w, err)
		case c.want != "" && (cli.Code(err) != cli.ExitUsage || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s %+v: %v, want %q", c.loss, c.w, err, c.want)
		}
	}
	for _, c := range []struct {
		loss  string
		w     Weighting
		needs bool
	}{
		{loss: LossEAFT}, {loss: LossDFT}, {loss: LossTALR}, {loss: LossMask, w: Weighting{MaskCuts: "p<=0.1,h<=0.1"}},
		{LossMask, Weighting{}, true}, {LossMask, Weighting{MaskFrom: MaskBase, MaskCuts: "p<=0.1,h<=0.1"}, true},
		{LossOfflineEAFT, Weighting{}, true}, {LossFLOW, Weighting{}, true},
	} {
		o := DefaultOptions()
		o.Tokens, o.Out, o.Loss, o.Weighting = "t", "o", c.loss, c.w
		err := o.Check()
		if needs := err != nil && strings.Contains(err.Error(), "--scores is missing"); needs != c.needs || (err != nil) != c.needs {
			t.Errorf("%s %+v without scores: %v", c.loss, c.w, err)
		}
	}
}

// The mask is where the audit says that the live values, or the annotation's,
// are under the annotation's cuts; offline weights are the annotation's.
func TestAnnotatedRuns(t *testing.T) {
	cuts := eaft.Cuts{Prob: 0.05, H: 0.6, MinMass: 0.5}
	for _, c := range []struct {
		loss, from string
		want       func(logp, h float32, base *compute.HeadStats, p int32) float64
	}{
		{LossOfflineEAFT, "", func(_, _ float32, b *compute.HeadStats, p int32) float64 {
			return float64(b.TopKEntropy[p-1]) / math.Log(20)
		}},
		{LossMask, MaskBase, func(_, _ float32, b *compute.HeadStats, p int32) float64 {
			if cuts.Conflict(math.Exp(float64(b.LogProb[p-1])), float64(b.TopKEntropy[p-1])/math.Log(20), float64(b.TopKMass[p-1])) {
				return 0
			}
			return 1
		}},
		{LossMask, MaskLive, func(logp, h float32, _ *compute.HeadStats, _ int32) float64 {
			if cuts.Conflict(math.Exp(float64(logp)), float64(h)/math.Log(20), 1) {
				return 0
			}
			return 1
		}},
	} {
		w := newWorld(t)
		w.o.Loss, w.o.MaskFrom = c.loss, c.from
		must(t, w.run(t.Context()))
		zeros := 0
		for _, a := range audits(t, filepath.Join(w.o.Out, AuditName)) {
			for i, p := range a.Pos {
				if want := float32(c.want(a.LogProb[i], a.TopKEntropy[i], w.base[a.ID], p)); a.Weight[i] != want {
					t.Fatalf("%s %s: row %s, target %d has weight %v, want %v", c.loss, c.from, a.ID, p, a.Weight[i], want)
				} else if want == 0 {
					zeros++
				}
			}
		}
		if (c.loss == LossMask) != (zeros > 0) {
			t.Errorf("%s %s: %d targets of weight 0", c.loss, c.from, zeros)
		}
	}
}

func lines(t *testing.T, out string) (ms []Metrics) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(out, MetricsName))
	must(t, err)
	for line := range strings.Lines(string(data)) {
		var m Metrics
		must(t, json.Unmarshal([]byte(line), &m))
		ms = append(ms, m)
	}
	return ms
}

// A control takes the learning rates of the named run times its mean weights.
func TestMatchStep(t *testing.T) {
	w := newWorld(t)
	must(t, w.run(t.Context()))
	eaftRun := w.o.Out
	of := lines(t, eaftRun)
	w.o.Loss, w.o.MatchStep, w.o.Out = LossSFT, eaftRun, filepath.Join(w.dir, "control")
	must(t, w.run(t.Context()))
	control := lines(t, w.o.Out)
	if len(control) != len(of) {
		t.Fatalf("%d steps, not %d", len(control), len(of))
	}
	for i, m := range control {
		if m.LR != of[i].LR*of[i].MeanWeight || m.MeanWeight != 1 {
			t.Errorf("step %d: learning rate %v, the run had %v with a mean weight of %v", i+1, m.LR, of[i].LR, of[i].MeanWeight)
		}
	}
	refused := func(what string) {
		t.Helper()
		if err := w.run(t.Context()); cli.Code(err) != cli.ExitUsage || !strings.Contains(err.Error(), what) {
			t.Errorf("%v, want %q", err, what)
		}
	}
	// The same folder with another run's weights is another run.
	w.o.MatchStep = w.o.Out
	refused("hash of the weights of --match-step")
	w.o.Out, w.o.MatchStep = filepath.Join(w.dir, "other"), eaftRun
	w.o.Epochs = 1
	refused("steps, but this run has")
	w.o.Epochs = 2
	w.o.MatchStep = filepath.Join(w.dir, "nothing")
	refused("--match-step")
	w.o.MatchStep = eaftRun
	metrics := filepath.Join(eaftRun, MetricsName)
	for bad, what := range map[string]string{
		`{"step":2,"mean_weight":1}`:  "line 1: step is 2",
		`{"step":1}`:                  "mean_weight",
		`{"step":1,"mean_weight":-1}`: "mean_weight",
		`{"step":`:                    "line 1",
	} {
		must(t, os.WriteFile(metrics, []byte(bad), 0o666))
		refused(what)
	}
	if _, err := os.Stat(w.o.Out); err == nil {
		t.Error("a refused run made a folder")
	}
}

// What --match-step levels out is not there in a run over weights.
func TestMatchStepOverWeights(t *testing.T) {
	w := newWorld(t)
	w.o.Normalize = NormalizeWeights
	must(t, w.run(t.Context()))
	w.o.Loss, w.o.MatchStep, w.o.Out, w.o.Weighting.Normalize = LossSFT, w.o.Out, filepath.Join(w.dir, "control"), ""
	if err := w.run(t.Context()); cli.Code(err) != cli.ExitUsage || !strings.Contains(err.Error(), "--normalize weights") {
		t.Error(err)
	}
}

// TALR's temperature is of what the training pass sees: of adapters with dropout, of
// the same dropped inputs.
func TestTALRWithDropout(t *testing.T) {
	w := newWorldOf(t, 4)
	w.o.Loss, w.o.LoRA, w.o.LoRAAlpha, w.o.LoRADropout, w.o.LoRATargets = LossTALR, 4, 64, 0.5, AllLinear
	w.o.BatchTokens, w.o.LR = 100, 0.1
	must(t, w.run(t.Context()))
	steps := map[int32][]parquet.AuditRow{}
	for _, a := range audits(t, filepath.Join(w.o.Out, AuditName)) {
		steps[a.Step] = append(steps[a.Step], a)
	}
	for n, rows := range steps {
		var means []float64
		for _, a := range rows {
			means = append(means, meanLoss(a.LogProb))
		}
		tau := eaft.Median(means)
		for _, a := range rows {
			for i, l := range a.LogProb {
				if want := float32(eaft.TALRWeight(float64(l), tau)); a.Weight[i] != want {
					t.Fatalf("step %d: weight %v of %v, want %v", n, a.Weight[i], l, want)
				}
			}
		}
	}
}
