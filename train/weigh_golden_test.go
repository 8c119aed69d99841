package train

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"testing"

	"eaft/compute"
	"eaft/eaft"
)

// lossGolden is testdata/losses.json; make_loss_fixtures.py describes it. Rows
// and steps are golden.json's.
type lossGolden struct {
	*golden
	cases map[string]json.RawMessage
	base  map[string][]struct {
		LogProb, Entropy []float32
		TopKEntropy      []float32 `json:"topk_entropy"`
		TopKMass         []float32 `json:"topk_mass"`
	}
}

func readLosses(t *testing.T) *lossGolden {
	t.Helper()
	data, err := os.ReadFile("testdata/losses.json")
	must(t, err)
	g := &lossGolden{golden: readGolden(t)}
	g.Runs = nil
	must(t, json.Unmarshal(data, g.golden))
	for name, to := range map[string]any{"cases": &g.cases, "base": &g.base} {
		var all map[string]json.RawMessage
		must(t, json.Unmarshal(data, &all))
		must(t, json.Unmarshal(all[name], to))
	}
	return g
}

// options are those of a case, as Run would have settled them.
func (g *lossGolden) options(t *testing.T, name string) *Options {
	t.Helper()
	o := g.golden.options("")
	must(t, json.Unmarshal(g.cases[name], o))
	o.Tokens, o.Scores, o.Out, o.Epochs, o.BatchTokens = "t", "s", "o", 1, 1
	must(t, o.Check())
	return o
}

// trainer starts a case; the steps are those of the fixture, annotated.
func (g *lossGolden) trainer(t *testing.T, dev compute.Device, family string, o *Options, dtype compute.DType) (*trainer, []step) {
	t.Helper()
	tr, steps := startTrainer(t, dev, family, dtype, o), g.plan()
	var rows []*row
	for i, b := range g.base[family] {
		r := g.row(steps, i)
		r.base = &baseRow{logp: b.LogProb, entropy: b.Entropy, topk: b.TopKEntropy, mass: b.TopKMass}
		rows = append(rows, r)
	}
	tr.annotate(&inputs{cuts: eaft.Cuts{Prob: 0.05, H: 0.6, MinMass: 0.5}}, rows)
	return tr, steps
}

func (g *lossGolden) row(steps []step, i int) *row {
	for s, members := range g.Steps {
		for at, r := range members {
			if r == i {
				return steps[s].rows[at]
			}
		}
	}
	panic("a row that no step has")
}

// steepness bounds |d ln w / d ln x| of a weight by the live values x that it is
// made of, so that a relative error e of these makes one of at most steepness*e
// of the weight. logp is the largest -ln p of the step's targets.
func steepness(o *Options, logp float64) float64 {
	s := 0.0
	switch {
	case o.Loss == LossDFT:
		s = logp
	case o.Loss == LossTALR:
		s = 2 * math.Log(100) // of p and tau each; below the floor nothing moves
	case o.Loss == LossMiLe:
		s = 2 * *o.Gamma // of H and of the mean
	case o.Loss == LossFocal:
		s = *o.Gamma
	case o.Loss == LossEAFT && o.Alpha != nil: // of a sigmoid too
		s = *o.Alpha
	case o.Loss == LossEAFT:
		s = map[string]float64{"linear": 1, "square": 2, "cube": 3}[o.Gate]
	}
	if o.Estimator == string(eaft.Trunc) {
		s *= 2 // of mass and entropy
	}
	if o.Normalize == NormalizeWeights {
		s *= 2
	}
	return s
}

// The bounds are golden_test.go's, times 1 + steepness.
func TestLossesAgainstTorch(t *testing.T) {
	g := readLosses(t)
	if len(g.Runs) != 3 || len(g.cases) != 16 {
		t.Fatalf("%d families and %d cases", len(g.Runs), len(g.cases))
	}
	dev := device(t, 2)
	for family, runs := range g.Runs {
		for name, want := range runs {
			t.Run(family+"/"+name, func(t *testing.T) { testLoss(t, g, dev, family, name, want) })
		}
	}
}

func testLoss(t *testing.T, g *lossGolden, dev compute.Device, family, name string, want trace) {
	o := g.options(t, name)
	tr, steps := g.trainer(t, dev, family, o, compute.F32)
	var moved float64
	for i, s := range steps {
		lr := rate(g.Options.LR, g.Options.Warmup, i, len(steps))
		mt, err := tr.step(t.Context(), s, i+1, lr)
		must(t, err)
		largest := 0.0
		for _, r := range s.rows {
			for _, l := range r.logp {
				largest = max(largest, -float64(l))
			}
		}
		bound := (1 + steepness(o, largest)) * relBound
		moved += lr * bound / g.Options.AdamEps
		for _, c := range []struct {
			name      string
			got, want float64
		}{
			{"loss", mt.Loss, want.Loss[i]},
			{"sft_loss", mt.SFTLoss, want.SFTLoss[i]},
			{"mean_weight", mt.MeanWeight, want.MeanWeight[i]},
			{"grad_norm", mt.GradNorm, want.GradNorm[i]},
		} {
			if !(math.Abs(c.got-c.want) <= bound*c.want) {
				t.Errorf("step %d: %s %v, torch says %v: off by %.2g, bound %.2g", i+1, c.name, c.got, c.want, math.Abs(c.got/c.want-1), bound)
			}
		}
		if after, ok := want.Params[fmt.Sprint(i+1)]; ok {
			compareParams(t, dev, tr, after, i+1, moved)
		}
	}
}
