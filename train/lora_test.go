package train

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"eaft/compute"
	"eaft/model"
	"eaft/model/weights"
)

// loraRun is a run of testdata/lora.json; make_lora.py describes it.
type loraRun struct {
	Family         string
	Kind           string // of loss
	Rank           int
	Alpha, Dropout float64
	Targets        []string
	Seed           uint64
	trace
}

func readLoRA(t *testing.T) map[string]*loraRun {
	t.Helper()
	data, err := os.ReadFile("testdata/lora.json")
	must(t, err)
	var g struct{ Runs map[string]*loraRun }
	must(t, json.Unmarshal(data, &g))
	if len(g.Runs) < 6 {
		t.Fatalf("%d runs", len(g.Runs))
	}
	return g.Runs
}

// loraTrainer begins a run of the fixture, every adapter with the script's start().
func loraTrainer(t *testing.T, dev compute.Device, g *golden, r *loraRun, dtype compute.DType) *trainer {
	t.Helper()
	c, err := weights.Open(filepath.Join("..", "model", "testdata", r.Family))
	must(t, err)
	defer c.Close()
	m, err := model.Load(dev, c, model.Options{DType: dtype})
	must(t, err)
	must(t, m.AddLoRA(model.LoRA{Rank: r.Rank, Alpha: r.Alpha, Dropout: r.Dropout, Targets: r.Targets}))
	for _, p := range m.Params() {
		x := make([]float32, p.Value.Rows()*p.Value.Cols())
		for i := range x {
			u := int((uint64(i)*2654435761+12345)%(1<<32)) >> 16
			x[i] = float32(u-32768) / 65536 * 0.3125
		}
		dev.Write(p.Value, x)
	}
	m.Refresh()
	o := g.options(r.Kind)
	o.Seed = r.Seed
	return newTrainer(dev, m, o)
}

// numbered gives rows their places in the fixture.
func numbered(steps []step) []step {
	for _, s := range steps {
		for _, r := range s.rows {
			fmt.Sscan(r.id, &r.order)
		}
	}
	return steps
}

// An adapter's product takes the place of K roundings in a chain by K + Rank + 2,
// at most 10 more in each of two layers' seven projections: 600 forward.
var loraBound = 2 * 4 * math.Sqrt(2*600) * ulp

func TestLoRAGolden(t *testing.T) {
	g := readGolden(t)
	for name, r := range readLoRA(t) {
		t.Run(name, func(t *testing.T) {
			dev := device(t, 2)
			tr := loraTrainer(t, dev, g, r, compute.F32)
			steps := numbered(g.plan())
			var sumLR float64
			for i, s := range steps {
				lr := rate(g.Options.LR, g.Options.Warmup, i, len(steps))
				sumLR += lr
				mt, err := tr.step(t.Context(), s, i+1, lr)
				must(t, err)
				for _, c := range []struct {
					name      string
					got, want float64
				}{
					{"loss", mt.Loss, r.Loss[i]},
					{"sft_loss", mt.SFTLoss, r.SFTLoss[i]},
					{"mean_weight", mt.MeanWeight, r.MeanWeight[i]},
					{"grad_norm", mt.GradNorm, r.GradNorm[i]},
				} {
					if !(math.Abs(c.got-c.want) <= loraBound*c.want) {
						t.Errorf("step %d: %s %v, torch says %v", i+1, c.name, c.got, c.want)
					}
				}
				if after, ok := r.Params[fmt.Sprint(i+1)]; ok {
					compareParams(t, dev, tr, after, i+1, loraBound/g.Options.AdamEps*sumLR)
				}
			}
		})
	}
}

// Adapters are trained to the same bits on any number of threads, and what is
// dropped does not depend on how a step is cut.
func TestLoRAThreadsAndPacking(t *testing.T) {
	g := readGolden(t)
	r := readLoRA(t)["dropout"]
	train := func(dtype compute.DType, threads, limit int) ([]Metrics, [][]float32) {
		dev := device(t, threads)
		tr := loraTrainer(t, dev, g, r, dtype)
		tr.limit = limit
		var ms []Metrics
		for i, s := range numbered(g.plan())[:3] {
			mt, err := tr.step(t.Context(), s, i+1, 1e-3)
			must(t, err)
			mt.Rate = 0
			ms = append(ms, mt)
		}
		var ps [][]float32
		for _, p := range tr.params {
			ps = append(ps, values(dev, p))
		}
		return ms, ps
	}
	for _, dtype := range []compute.DType{compute.F32, compute.BF16} {
		m1, p1 := train(dtype, 1, MicroTokens)
		for _, threads := range []int{2, 3} {
			m, p := train(dtype, threads, MicroTokens)
			if !slices.Equal(m, m1) || !slices.EqualFunc(p, p1, slices.Equal) {
				t.Errorf("%v, %d threads: not bitwise the same as with one", dtype, threads)
			}
		}
	}
	packed, _ := train(compute.F32, 2, MicroTokens)
	alone, _ := train(compute.F32, 2, 1)
	for i := range packed {
		if math.Abs(packed[i].Loss-alone[i].Loss) > loraBound*packed[i].Loss || math.Abs(packed[i].GradNorm-alone[i].GradNorm) > loraBound*packed[i].GradNorm {
			t.Errorf("packed %+v, rows alone %+v", packed[i], alone[i])
		}
	}
}

// A run with --lora leaves the adapter, and the merged model only if asked.
func TestLoRARun(t *testing.T) {
	for _, merge := range []bool{false, true} {
		w := newWorld(t)
		w.o.LoRA, w.o.LoRAAlpha, w.o.LoRATargets, w.o.LoRADropout, w.o.Merge, w.o.MergeType = 4, 8, AllLinear, 0.1, merge, "bf16"
		w.o.Model, w.o.DType = "base", "bf16"
		must(t, w.run(t.Context()))
		if _, err := os.Stat(filepath.Join(w.o.Out, ModelName, "config.json")); (err == nil) != merge {
			t.Errorf("merge %v: the model: %v", merge, err)
		}
		a, err := weights.OpenAdapter(filepath.Join(w.o.Out, AdapterName))
		must(t, err)
		defer a.Close()
		if names := a.Names(); len(names) != 2*7*2 || names[0] != "base_model.model.model.layers.0.mlp.down_proj.lora_A.weight" {
			t.Errorf("%d tensors: %v", len(names), names)
		}
		if !strings.Contains(string(a.Config()), `"base_model_name_or_path": "base"`) {
			t.Errorf("%s", a.Config())
		}
		if said := strings.Contains(w.log.String(), "merged in bf16: rounding makes an error of "); said != merge {
			t.Errorf("merge %v: %s", merge, w.log.String())
		}
	}
}

func TestLoRAOptions(t *testing.T) {
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{}, ""},
		{Options{LoRA: 4, LoRAAlpha: 8, LoRATargets: AllLinear}, ""},
		{Options{LoRA: 4, LoRAAlpha: 8, LoRATargets: "q_proj,lm_head"}, `--lora-targets: "lm_head" is not a projection`},
		{Options{LoRA: 4, LoRAAlpha: 8, LoRATargets: ""}, `"" is not a projection`},
		{Options{LoRA: 4, LoRATargets: AllLinear}, "--lora-alpha 0: a number above 0"},
		{Options{LoRA: 4, LoRAAlpha: 8, LoRADropout: 1, LoRATargets: AllLinear}, "--lora-dropout 1: a share from 0 to below 1"},
		{Options{LoRA: -1, LoRAAlpha: 8, LoRATargets: AllLinear}, "--lora -1: a rank from 1 to 4096"},
		{Options{LoRA: 4, LoRAAlpha: math.Inf(1), LoRATargets: AllLinear}, "--lora-alpha +Inf"},
		{Options{LoRA: 4, LoRAAlpha: 8, LoRADropout: math.NaN(), LoRATargets: AllLinear}, "--lora-dropout NaN"},
		{Options{LoRA: 1 << 20, LoRAAlpha: 8, LoRATargets: AllLinear}, "--lora 1048576: a rank from 1 to 4096"},
		{Options{LoRA: 4, LoRAAlpha: 8, LoRATargets: AllLinear, FromScratch: true}, "exclude each other"},
		{Options{LoRADropout: 0.1}, "give --lora RANK too"},
		{Options{Merge: true}, "there are none"},
		{Options{LoRA: 4, LoRAAlpha: 8, LoRATargets: AllLinear, Merge: true}, `--export-type "" is not known`},
	} {
		err := c.o.checkLoRA()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%+v: %v", c.o, err)
		}
	}
}
