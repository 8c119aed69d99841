package train

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"eaft/compute"
	"eaft/compute/cpu"
	"eaft/model"
	"eaft/model/weights"
	"eaft/parquet"
)

// golden is testdata/golden.json; make_fixtures.py describes it.
type golden struct {
	Options struct {
		LR, Warmup  float64
		WeightDecay float64 `json:"weight_decay"`
		AdamEps     float64 `json:"adam_eps"`
		MaxGradNorm float64 `json:"max_grad_norm"`
		K           int
	}
	Rows []struct{ IDs, Labels []int32 }
	// Steps are the indices in Rows of each optimizer step.
	Steps [][]int
	Runs  map[string]map[string]trace
}

type trace struct {
	Loss       []float64
	SFTLoss    []float64 `json:"sft_loss"`
	MeanWeight []float64 `json:"mean_weight"`
	GradNorm   []float64 `json:"grad_norm"`
	LR         []float64
	Params     map[string]map[string][]float64
}

func readGolden(t testing.TB) *golden {
	t.Helper()
	data, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	g := &golden{}
	if err := json.Unmarshal(data, g); err != nil {
		t.Fatal(err)
	}
	return g
}

// plan is the fixture's order of rows.
func (g *golden) plan() []step {
	var rows []*row
	for i, r := range g.Rows {
		x := &row{id: fmt.Sprint(i), ids: r.IDs}
		for p, label := range r.Labels {
			if p > 0 && label != parquet.Ignore {
				x.pos = append(x.pos, int32(p))
			}
		}
		rows = append(rows, x)
	}
	var out []step
	for _, members := range g.Steps {
		s := step{}
		for _, r := range members {
			s.rows = append(s.rows, rows[r])
		}
		out = append(out, s)
	}
	return out
}

func (g *golden) options(loss string) *Options {
	return &Options{Loss: loss, LR: 1e-3, K: g.Options.K, MaxGradNorm: g.Options.MaxGradNorm,
		WeightDecay: g.Options.WeightDecay, AdamEps: g.Options.AdamEps, AdamBeta1: 0.9, AdamBeta2: 0.999,
		Schedule: ScheduleCosine, Optimizer: OptimizerAdamW}
}

func startTrainer(t *testing.T, dev compute.Device, family string, dtype compute.DType, o *Options) *trainer {
	t.Helper()
	c, err := weights.Open(filepath.Join("..", "model", "testdata", family))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	m, err := model.Load(dev, c, model.Options{DType: dtype, Train: true})
	if err != nil {
		t.Fatal(err)
	}
	return newTrainer(dev, m, o)
}

func device(t testing.TB, threads int) compute.Device {
	t.Helper()
	dev, err := cpu.New(threads)
	if err != nil {
		t.Fatal(err)
	}
	return dev
}

func values(dev compute.Device, p model.Param) []float32 {
	x := make([]float32, p.Value.Rows()*p.Value.Cols())
	dev.Read(x, p.Value)
	return x
}

func TestGolden(t *testing.T) {
	g := readGolden(t)
	for family, runs := range g.Runs {
		for loss, want := range runs {
			t.Run(family+"/"+loss, func(t *testing.T) { testGolden(t, g, family, loss, want) })
		}
	}
}

// Bounds. A number of the backward pass stands at the end of chains of products:
// over two layers at most 2*(24+24+20+64+24+24+40)+24, some 460 roundings
// forward and as many back. Rounding errors of a chain of n add up to
// lambda*sqrt(n)*u but with a probability of 2*exp(-lambda^2/2) (Higham and Mary
// 2019); u = 2^-24, lambda = 4, and both sides have such an error.
//
// Losses, weights and norms are within relBound. A clipped gradient has norm 1,
// so its elements err by relBound at most, and AdamW moves a parameter by
// lr*m/(sqrt(v)+eps), whose slope is at most lr/eps: relBound/eps of the learning
// rates so far, and a rounding of the parameter for each step.
const ulp = 1.0 / (1 << 24)

var relBound = 2 * 4 * math.Sqrt(2*460) * ulp

func testGolden(t *testing.T, g *golden, family, loss string, want trace) {
	dev := device(t, 2)
	tr := startTrainer(t, dev, family, compute.F32, g.options(loss))
	steps := g.plan()
	var sumLR float64
	for i, s := range steps {
		lr := rate(g.Options.LR, g.Options.Warmup, i, len(steps))
		if math.Abs(lr-want.LR[i]) > 1e-15 {
			t.Errorf("step %d: lr %v, torch's run had %v", i+1, lr, want.LR[i])
		}
		sumLR += lr
		mt, err := tr.step(t.Context(), s, i+1, lr)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			name      string
			got, want float64
		}{
			{"loss", mt.Loss, want.Loss[i]},
			{"sft_loss", mt.SFTLoss, want.SFTLoss[i]},
			{"mean_weight", mt.MeanWeight, want.MeanWeight[i]},
			{"grad_norm", mt.GradNorm, want.GradNorm[i]},
		} {
			if !(math.Abs(c.got-c.want) <= relBound*c.want) {
				t.Errorf("step %d: %s %v, torch says %v", i+1, c.name, c.got, c.want)
			}
		}
		if after, ok := want.Params[fmt.Sprint(i+1)]; ok {
			compareParams(t, dev, tr, after, i+1, relBound/g.Options.AdamEps*sumLR)
		}
	}
}

// compareParams compares sums and slices of the parameters after some steps.
func compareParams(t *testing.T, dev compute.Device, tr *trainer, want map[string][]float64, steps int, moved float64) {
	t.Helper()
	if len(tr.params) != len(want) {
		t.Errorf("%d parameters, torch has %d", len(tr.params), len(want))
	}
	for _, p := range tr.params {
		w, ok := want[p.Name]
		if !ok {
			t.Fatalf("torch has no parameter %s", p.Name)
		}
		x := values(dev, p)
		var sum, squares, largest float64
		for _, v := range x {
			f := float64(v)
			sum, squares, largest = sum+f, squares+f*f, max(largest, math.Abs(f))
		}
		bound := moved + float64(2*steps)*ulp*largest
		// Errors of elements are as good as independent of each other.
		all := 4 * math.Sqrt(float64(len(x))) * bound
		if !(math.Abs(sum-w[0]) <= all) || !(math.Abs(squares-w[1]) <= 2*largest*all) {
			t.Errorf("step %d: %s: sum %v, of squares %v; torch says %v, %v", steps, p.Name, sum, squares, w[0], w[1])
		}
		for j := range 8 {
			at := j * (len(x) - 1) / 7
			if !(math.Abs(float64(x[at])-w[2+j]) <= bound) {
				t.Errorf("step %d: %s[%d] = %v, torch says %v, off by more than %.2g", steps, p.Name, at, x[at], w[2+j], bound)
			}
		}
	}
}
