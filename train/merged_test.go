package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"eaft/compute"
	"eaft/internal/cli"
	"eaft/model"
	"eaft/model/weights"
	"eaft/parquet"
)

// newMergedWorld has a run with adapters that is evaluated on its own rows.
func newMergedWorld(t *testing.T, dtype, mergeType string) *world {
	w := newWorld(t)
	w.o.LoRA, w.o.LoRAAlpha, w.o.LoRATargets, w.o.Merge, w.o.MergeType = 4, 8, AllLinear, true, mergeType
	w.o.DType, w.o.Schedule, w.o.Warmup, w.o.Loss = dtype, ScheduleConstant, 0, LossSFT
	w.o.Epochs, w.o.Steps, w.o.LR = 0, 6, 1e-2
	w.o.Eval, w.o.EvalEvery, w.o.Best = []HeldOutSet{{"own", w.o.Tokens}}, 1, "own"
	return w
}

// lossOf is the loss of a model of the run's folder, with an adapter unless it is "",
// on its rows.
func (w *world) lossOf(t *testing.T, ref, adapter string, dtype compute.DType) float64 {
	t.Helper()
	c, err := weights.Open(ref)
	must(t, err)
	defer c.Close()
	m, err := model.Load(w.dev, c, model.Options{DType: dtype})
	must(t, err)
	if adapter != "" {
		a, err := weights.OpenAdapter(adapter)
		must(t, err)
		defer a.Close()
		must(t, m.LoadAdapter(a))
	}
	ds, err := parquet.OpenDataset(w.o.Tokens, parquet.SchemaTokens)
	must(t, err)
	set, err := loadRows(ds, 0, m.Spec().Vocab, m.Spec().MaxPositions)
	must(t, err)
	b, at := pack(set.rows)
	st, err := m.Score(b, at, 1)
	must(t, err)
	sum := 0.0
	for _, lp := range st.LogProb {
		sum -= float64(lp)
	}
	return sum / float64(len(at))
}

func readSummary(t *testing.T, dir string) *HeldOutSummary {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, SummaryName))
	must(t, err)
	var s Summary
	must(t, json.Unmarshal(data, &s))
	return s.HeldOut
}

// What is recorded of a merged model is measured of the files, in every type, and
// what is recorded of the adapter is the adapter's.
func TestMergedIsMeasuredAsWritten(t *testing.T) {
	for _, c := range []struct {
		dtype, mergeType string
		operands         compute.DType
	}{
		{"f32", "f32", compute.F32}, {"f32", "bf16", compute.F32}, {"f32", "f16", compute.F32},
		{"bf16", "bf16", compute.BF16}, {"bf16", "f32", compute.F32}, {"bf16", "f16", compute.F32},
	} {
		w := newMergedWorld(t, c.dtype, c.mergeType)
		must(t, w.run(t.Context()))
		s := readSummary(t, w.o.Out)
		trained, err := compute.ParseDType(c.dtype)
		must(t, err)
		name := c.dtype + ", merged in " + c.mergeType
		for _, x := range []struct {
			what      string
			got, want float64
		}{
			{"last adapter", s.Last[0].Loss, w.lossOf(t, w.c.Ref(), filepath.Join(w.o.Out, AdapterName), trained)},
			{"best adapter", s.Value, w.lossOf(t, w.c.Ref(), filepath.Join(w.o.Out, BestName, AdapterName), trained)},
			{"model", s.Merged.Last[0].Loss, w.lossOf(t, filepath.Join(w.o.Out, ModelName), "", c.operands)},
			{"best model", s.Merged.Best[0].Loss, w.lossOf(t, filepath.Join(w.o.Out, BestName), "", c.operands)},
		} {
			if math.Abs(x.got-x.want) > 1e-12 { // the same terms, summed up in parts
				t.Errorf("%s: of the %s %v is recorded, and %v measured", name, x.what, x.got, x.want)
			}
		}
		if s.Merged.Type != c.mergeType || s.Merged.Last[0].Step != 6 || s.Merged.Best[0].Step != s.Step {
			t.Errorf("%s: %+v", name, s.Merged)
		}
		// In float32 alone the merged model is what the adapter was, but for sums.
		off := math.Abs(s.Merged.Last[0].Loss - s.Last[0].Loss)
		if exact := c.dtype == "f32" && c.mergeType == "f32"; exact && off > 1e-5 || !exact && off < 1e-5 {
			t.Errorf("%s: the loss is %v with the adapter and %v merged", name, s.Last[0].Loss, s.Merged.Last[0].Loss)
		}
		for _, want := range []string{"own, adapter ", "own, merged " + c.mergeType + " ", "own, merged best ", "in best/adapter"} {
			if !strings.Contains(w.out.String(), want) {
				t.Errorf("%s: no %q in\n%s", name, want, w.out.String())
			}
		}
	}
}

// The best adapter is that of the best step, which is not the last here, and the
// best model is that adapter merged; without --merge the folder is the adapter.
func TestBestAdapter(t *testing.T) {
	w := newMergedWorld(t, "f32", "f32")
	w.o.LR = 0.1
	must(t, w.run(t.Context()))
	s := readSummary(t, w.o.Out)
	if s.Step < 1 || s.Step >= w.o.Steps {
		t.Fatalf("the best step is %d", s.Step)
	}
	var best map[string]any
	data, err := os.ReadFile(filepath.Join(w.o.Out, BestName, "best.json"))
	must(t, err)
	must(t, json.Unmarshal(data, &best))
	if want := (map[string]any{"step": float64(s.Step), "eval": "own", "loss": s.Value, "of": AdapterName}); fmt.Sprint(best) != fmt.Sprint(want) {
		t.Errorf("best.json is %v, want %v", best, want)
	}
	ended := newMergedWorld(t, "f32", "f32") // at the best step
	ended.o.LR, ended.o.Steps = 0.1, s.Step
	must(t, ended.run(t.Context()))
	alone := newMergedWorld(t, "f32", "") // without --merge
	alone.o.LR, alone.o.Merge = 0.1, false
	must(t, alone.run(t.Context()))
	read := func(parts ...string) []byte {
		data, err := os.ReadFile(filepath.Join(parts...))
		must(t, err)
		return data
	}
	adapter := read(w.o.Out, BestName, AdapterName, weights.AdapterWeights)
	if slices.Equal(adapter, read(w.o.Out, AdapterName, weights.AdapterWeights)) {
		t.Error("the best adapter is the last one")
	}
	for what, want := range map[string][]byte{
		"of a run that ended there": read(ended.o.Out, AdapterName, weights.AdapterWeights),
		"of a run without --merge":  read(alone.o.Out, BestName, weights.AdapterWeights),
	} {
		if !slices.Equal(adapter, want) {
			t.Errorf("the best adapter is not that %s", what)
		}
	}
	if !slices.Equal(read(w.o.Out, BestName, "model.safetensors"), read(ended.o.Out, ModelName, "model.safetensors")) {
		t.Error("the best model is not the one of a run that ended there")
	}
	if _, err := os.Stat(filepath.Join(alone.o.Out, BestName, "config.json")); err == nil {
		t.Error("the best adapter has a model beside it without --merge")
	}
}

// A run is refused before it is trained if --memory has no room for the evaluation
// of what it merges.
func TestMergedMemory(t *testing.T) {
	w := newMergedWorld(t, "bf16", "f32")
	w.o.Memory = 288<<20 + 1<<20 // of which the process has 288 MiB
	must(t, w.run(t.Context()))
	h := &heldOut{o: &w.o, sets: []*heldOutSet{{micro: [][]*row{{{ids: make([]int32, 60)}}}, n: 4}}}
	m, err := model.Load(w.dev, w.c, model.Options{DType: compute.BF16})
	must(t, err)
	h.m = m
	spec := m.Spec()
	need := h.bytes() + spec.ScoringBytes(compute.F32, 60)
	must(t, h.fitMerged(m, need))
	err = h.fitMerged(m, need-1)
	if err == nil || !strings.Contains(err.Error(), "give --export-type bf16") {
		t.Errorf("the error is %v", err)
	}
	w.o.MergeType = "bf16"
	must(t, h.fitMerged(m, need-1))
	w.o.Merge = false
	must(t, h.fitMerged(m, 0))
}

// A run that is stopped while it merges, or measures what it has merged, goes on from
// its last step, and leaves no model until then.
func TestStoppedInTheMergedEvaluation(t *testing.T) {
	w := newMergedWorld(t, "f32", "f32")
	asked := &countdown{Context: t.Context(), left: math.MaxInt}
	must(t, Run(asked, w.dev, w.c, w.o))
	want := results(t, w.o.Out)
	for _, before := range []int{1, 10, 20} { // questions before the last: 10 and 20 are the merges'
		must(t, os.RemoveAll(w.o.Out))
		w.log.Reset()
		err := Run(&countdown{Context: t.Context(), left: math.MaxInt - asked.left - before}, w.dev, w.c, w.o)
		if cli.Code(err) != cli.ExitStopped || errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		for _, name := range []string{ModelName, AdapterName, RecordName} {
			if _, err := os.Stat(filepath.Join(w.o.Out, name)); err == nil {
				t.Errorf("%d: %s is there", before, name)
			}
		}
		if !strings.Contains(w.log.String(), "stopped after step 6 of 6") {
			t.Errorf("%d: %s", before, w.log.String())
		}
		must(t, w.run(t.Context()))
		same(t, fmt.Sprintf("stopped %d questions before the last", before), results(t, w.o.Out), want)
	}
}
