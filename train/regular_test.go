package train

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"eaft/compute"
	"eaft/internal/cli"
	"eaft/model/weights"
)

// regularGolden is testdata/regular.json; make_regular_fixtures.py describes it.
type regularGolden struct {
	Seed uint64
	Runs map[string]struct {
		Loss           string
		LabelSmoothing float64 `json:"label_smoothing"`
		KL, NEFTune    float64
		Normalize      string
	}
	Traces map[string]map[string]struct {
		trace
		SmoothLoss []float64 `json:"smooth_loss"`
		KL         []float64
	}
}

func readRegularGolden(t *testing.T) (*golden, *regularGolden) {
	t.Helper()
	data, err := os.ReadFile("testdata/regular.json")
	must(t, err)
	r := &regularGolden{}
	must(t, json.Unmarshal(data, r))
	return readGolden(t), r
}

// regularOptions are those of the run called name.
func (r *regularGolden) options(g *golden, name string) *Options {
	o, run := g.options(r.Runs[name].Loss), r.Runs[name]
	o.LabelSmoothing, o.KL, o.NEFTune, o.Seed = run.LabelSmoothing, run.KL, run.NEFTune, r.Seed
	o.Normalize = run.Normalize
	return o
}

// startRegular is startTrainer with the regularisers of o.
func startRegular(t *testing.T, dev compute.Device, family string, dtype compute.DType, o *Options) *trainer {
	t.Helper()
	tr := startTrainer(t, dev, family, dtype, o)
	c, err := weights.Open(filepath.Join("..", "model", "testdata", family))
	must(t, err)
	defer c.Close()
	tr.reg, err = newRegular(dev, c, tr.m, dtype, o)
	must(t, err)
	return tr
}

// orderedPlan is the fixture's, rows numbered as in a dataset.
func orderedPlan(t *testing.T, g *golden) []step {
	t.Helper()
	steps := g.plan()
	for _, s := range steps {
		for _, r := range s.rows {
			var err error
			r.order, err = strconv.ParseInt(r.id, 10, 64)
			must(t, err)
		}
	}
	return steps
}

// A KL is a sum of q (ln q - ln p) whose logarithms err by relBound, so that it
// errs by relBound times the entropy of q and the cross entropy, which are about
// ln V each. The KL's gradient beta (p - q) errs by relBound of p and of q: that
// of the loss by 1 + 2 beta times as much as without.
func TestRegularGolden(t *testing.T) {
	g, r := readRegularGolden(t)
	for family, traces := range r.Traces {
		for name, want := range traces {
			t.Run(family+"/"+name, func(t *testing.T) {
				o := r.options(g, name)
				dev := device(t, 2)
				tr := startRegular(t, dev, family, compute.F32, o)
				bound := relBound * (1 + 2*o.KL)
				klBound := 2 * relBound * math.Log(float64(tr.m.Spec().Vocab))
				steps := orderedPlan(t, g)
				var sumLR float64
				for i, s := range steps {
					sumLR += want.LR[i]
					mt, err := tr.step(t.Context(), s, i+1, want.LR[i])
					must(t, err)
					compare := func(name string, got, want, bound float64) {
						if !(math.Abs(got-want) <= bound) {
							t.Errorf("step %d: %s %v, torch says %v", i+1, name, got, want)
						}
					}
					compare("loss", mt.Loss, want.Loss[i], relBound*want.Loss[i]+o.KL*klBound)
					compare("sft_loss", mt.SFTLoss, want.SFTLoss[i], relBound*want.SFTLoss[i])
					compare("mean_weight", mt.MeanWeight, want.MeanWeight[i], relBound*want.MeanWeight[i])
					compare("grad_norm", mt.GradNorm, want.GradNorm[i], bound*want.GradNorm[i])
					if on := o.LabelSmoothing > 0; on != (mt.SmoothLoss != nil) {
						t.Fatalf("smooth_loss is %v with --label-smoothing %v", mt.SmoothLoss, o.LabelSmoothing)
					} else if on {
						compare("smooth_loss", *mt.SmoothLoss, want.SmoothLoss[i], relBound*want.SmoothLoss[i])
					}
					if on := o.KL > 0; on != (mt.KL != nil) {
						t.Fatalf("kl is %v with --kl %v", mt.KL, o.KL)
					} else if on {
						compare("kl", *mt.KL, want.KL[i], klBound)
					}
					if after, ok := want.Params[fmt.Sprint(i+1)]; ok {
						compareParams(t, dev, tr, after, i+1, bound/g.Options.AdamEps*sumLR)
					}
				}
			})
		}
	}
}

// regularBits trains with all regularisers and returns what the steps said and
// every parameter after them.
func regularBits(t *testing.T, threads, limit int, dtype compute.DType) (lines []string, ms []Metrics, ps [][]float32) {
	t.Helper()
	g, r := readRegularGolden(t)
	dev := device(t, threads)
	tr := startRegular(t, dev, "qwen3", dtype, r.options(g, "all"))
	tr.limit = limit
	for i, s := range orderedPlan(t, g)[:4] {
		mt, err := tr.step(t.Context(), s, i+1, 1e-3)
		must(t, err)
		mt.Rate = 0
		line, err := json.Marshal(mt)
		must(t, err)
		lines, ms = append(lines, string(line)), append(ms, mt)
	}
	for _, p := range tr.params {
		ps = append(ps, values(dev, p))
	}
	return lines, ms, ps
}

func TestRegularThreads(t *testing.T) {
	for _, dtype := range []compute.DType{compute.F32, compute.BF16} {
		first, _, p0 := regularBits(t, 1, MicroTokens, dtype)
		for _, threads := range []int{1, 3} {
			lines, _, p := regularBits(t, threads, MicroTokens, dtype)
			if !slices.Equal(lines, first) || !slices.EqualFunc(p, p0, slices.Equal) {
				t.Errorf("%v, %d threads: not bitwise the same as with one: %v, %v", dtype, threads, lines, first)
			}
		}
	}
}

// Whichever rows share a micro-batch, each has its own noise and its own KL.
func TestRegularAccumulation(t *testing.T) {
	_, m0, p0 := regularBits(t, 2, MicroTokens, compute.F32)
	_, m, p := regularBits(t, 2, 1, compute.F32)
	const beta = 1
	bound := relBound * (1 + 2*beta)
	for i := range m {
		if math.Abs(*m[i].KL-*m0[i].KL) > 10*relBound || math.Abs(*m[i].SmoothLoss-*m0[i].SmoothLoss) > relBound**m0[i].SmoothLoss ||
			math.Abs(m[i].GradNorm-m0[i].GradNorm) > bound*m0[i].GradNorm {
			t.Errorf("rows one by one: %+v, in one: %+v", m[i], m0[i])
		}
	}
	for i := range p {
		for j := range p[i] {
			if math.Abs(float64(p[i][j]-p0[i][j])) > 4e-3*bound/1e-4+16*ulp {
				t.Fatalf("rows one by one: parameter %d[%d] is %v, in one %v", i, j, p[i][j], p0[i][j])
			}
		}
	}
}

// The noise of a row is within its range, uniform, and its own; 4 standard
// deviations of a mean and of a mean square of n uniform numbers.
func TestNEFTune(t *testing.T) {
	const alpha, width = 5, 64
	a, b := &row{order: 3, ids: make([]int32, 300)}, &row{order: 4, ids: make([]int32, 20)}
	both := neftune(alpha, width, 9, 2, []*row{a, b})
	if len(both) != 320*width || !slices.Equal(both[300*width:], neftune(alpha, width, 9, 2, []*row{b})) {
		t.Error("a row's noise depends on the rows beside it")
	}
	size := alpha / math.Sqrt(300*width)
	var sum, squares float64
	for _, v := range both[:300*width] {
		u := float64(v) / size
		if u < -1.0000001 || u > 1.0000001 {
			t.Fatalf("%v is outside ±%v", v, size)
		}
		sum, squares = sum+u, squares+u*u
	}
	n := float64(300 * width)
	if math.Abs(sum/n) > 4*math.Sqrt(1/(3*n)) || math.Abs(squares/n-1./3) > 4*math.Sqrt(4/(45*n)) {
		t.Errorf("mean %v, mean square %v", sum/n, squares/n)
	}
	for _, other := range [][]float32{neftune(alpha, width, 8, 2, []*row{a}), neftune(alpha, width, 9, 3, []*row{a}), neftune(alpha, width, 9, 2, []*row{{order: 2, ids: a.ids}})} {
		same := 0
		for i, v := range other {
			if v == both[i] {
				same++
			}
		}
		if same > 10 { // of 19200, each by a chance of 2^-24
			t.Errorf("%d values are those of another seed, step or row", same)
		}
	}
}

// A run says its terms in metrics.jsonl, and is another run with another --kl.
func TestRegularRun(t *testing.T) {
	w := newWorld(t)
	w.o.LabelSmoothing, w.o.KL, w.o.NEFTune, w.o.Memory = 0.1, 0.5, 5, 1<<30
	must(t, w.run(t.Context()))
	data, err := os.ReadFile(filepath.Join(w.o.Out, MetricsName))
	must(t, err)
	for i, line := range strings.Split(strings.TrimSpace(string(data)), "\n") {
		var mt Metrics
		must(t, json.Unmarshal([]byte(line), &mt))
		if mt.KL == nil || !(*mt.KL > 0) || mt.SmoothLoss == nil || !(*mt.SmoothLoss > 0) { // the first too: noise
			t.Errorf("step %d: %s", i+1, line)
		}
	}
	w.o.KL = 0
	if err := w.run(t.Context()); cli.Code(err) != cli.ExitUsage || !strings.Contains(err.Error(), "--kl") {
		t.Errorf("without --kl in the folder of a run with it: %v", err)
	}
	w.o.KL, w.o.Out, w.o.Memory = 0.5, filepath.Join(w.dir, "small"), 1<<20
	if err := w.run(t.Context()); cli.Code(err) != cli.ExitUsage || !strings.Contains(err.Error(), "1 MiB are for --kl, --neftune and --eval; of the rest: ") || !strings.HasSuffix(err.Error(), "; 0 MiB were allowed") {
		t.Errorf("--memory 1MiB: %v", err)
	}
}

func TestRegularOptions(t *testing.T) {
	for _, c := range []struct {
		change func(o *Options)
		ok     bool
	}{
		{func(o *Options) { o.LabelSmoothing, o.KL, o.NEFTune = 0.1, 1, 5 }, true},
		{func(o *Options) { o.LabelSmoothing = 1 }, false},
		{func(o *Options) { o.LabelSmoothing = -0.1 }, false},
		{func(o *Options) { o.LabelSmoothing = math.NaN() }, false},
		{func(o *Options) { o.KL = -1 }, false},
		{func(o *Options) { o.KL = math.Inf(1) }, false},
		{func(o *Options) { o.NEFTune = math.NaN() }, false},
		{func(o *Options) { o.NEFTune, o.FromScratch = 5, true }, true},
		{func(o *Options) { o.KL, o.FromScratch = 1, true }, false},
		{func(o *Options) { o.KL, o.Loss = 1, LossMiLe }, false},
		{func(o *Options) { o.KL, o.Normalize = 1, NormalizeWeights }, false},
		{func(o *Options) { o.LabelSmoothing, o.Normalize = 0.1, NormalizeWeights }, true},
		{func(o *Options) { o.KL, o.Loss = 1, LossTALR }, true},
		{func(o *Options) { o.NEFTune, o.Loss = 5, LossTALR }, false},
	} {
		o := DefaultOptions()
		o.Tokens, o.Out = "tokens", "out"
		c.change(&o)
		if err := o.Check(); (err == nil) != c.ok || err != nil && cli.Code(err) != cli.ExitUsage {
			t.Errorf("smoothing %v, kl %v, neftune %v, from scratch %v: %v", o.LabelSmoothing, o.KL, o.NEFTune, o.FromScratch, err)
		}
	}
}
