package train

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"eaft/compute"
	"eaft/eval"
	"eaft/internal/cli"
	"eaft/model"
	"eaft/model/weights"
	"eaft/parquet"
)

// evaluated is a run of a world that evaluates on the rows it trains on.
func evaluated(t *testing.T, change func(o *Options)) (*world, []Evaluation) {
	t.Helper()
	w := newWorld(t)
	w.o.DType, w.o.Epochs, w.o.Steps = "bf16", 0, 6
	w.o.Eval, w.o.EvalEvery = []HeldOutSet{{"seen", w.o.Tokens}, {"again", w.o.Tokens}}, 2
	change(&w.o)
	must(t, w.run(t.Context()))
	data, err := os.ReadFile(filepath.Join(w.o.Out, EvalName))
	must(t, err)
	var lines []Evaluation
	for _, line := range bytes.Split(bytes.TrimSpace(data), []byte("\n")) {
		var e Evaluation
		must(t, json.Unmarshal(line, &e))
		lines = append(lines, e)
	}
	return w, lines
}

func TestHeldOut(t *testing.T) {
	w, lines := evaluated(t, func(o *Options) { o.Best = "seen" })
	if len(lines) != 8 { // at steps 0, 2, 4, 6
		t.Fatalf("%d lines: %+v", len(lines), lines)
	}
	for i := 0; i < len(lines); i += 2 {
		a, b := lines[i], lines[i+1]
		if a.Step != i || a.Name != "seen" || b.Name != "again" || a.Loss != b.Loss || a.KL != b.KL || a.Rows != 9 {
			t.Errorf("%+v\n%+v", a, b)
		}
	}
	if e := lines[0]; e.Agreement != 1 || e.KL != 0 {
		t.Errorf("the base differs from itself: %+v", e)
	}
	// What the finished model is, by other ways.
	ds, err := parquet.OpenDataset(w.o.Tokens, parquet.SchemaTokens)
	must(t, err)
	trained, base := opened(t, w, filepath.Join(w.o.Out, ModelName)), opened(t, w, "../model/testdata/llama")
	r, err := eval.HeldOut(t.Context(), trained, ds)
	must(t, err)
	e := lines[6]
	if r.Loss != e.Loss || r.Accuracy != e.Accuracy || r.Targets != int64(e.Targets) || r.Rows != int64(e.Rows) {
		t.Errorf("train eval says %+v of the finished model, the run %+v", r, e)
	}
	kl, agreement := wholeDistributions(t, base, trained, ds)
	// Log-probabilities are float32 of a size of 20 and logits likewise: 2e-6 each.
	if math.Abs(kl-e.KL) > 1e-5 || agreement != e.Agreement || !(kl > 1e-4) {
		t.Errorf("KL %v and agreement %v by the listed distributions, %v and %v in the run", kl, agreement, e.KL, e.Agreement)
	}
	// The best model is the one of its line.
	var best struct {
		Step int
		Loss float64
	}
	data, err := os.ReadFile(filepath.Join(w.o.Out, BestName, "best.json"))
	must(t, err)
	must(t, json.Unmarshal(data, &best))
	for _, e := range lines[2:] {
		if e.Loss < best.Loss || e.Step == best.Step && e.Loss != best.Loss {
			t.Errorf("best %+v, but %+v", best, e)
		}
	}
	r, err = eval.HeldOut(t.Context(), opened(t, w, filepath.Join(w.o.Out, BestName)), ds)
	must(t, err)
	if r.Loss != best.Loss {
		t.Errorf("the best model's loss is %v, not %v", r.Loss, best.Loss)
	}
	if !strings.Contains(w.out.String(), "held out") || !strings.Contains(w.log.String(), "step 4  seen: loss") {
		t.Errorf("output %q, log %q", w.out.String(), w.log.String())
	}
}

func opened(t *testing.T, w *world, dir string) *model.Model {
	t.Helper()
	c, err := weights.Open(dir)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	m, err := model.Load(w.dev, c, model.Options{DType: compute.BF16})
	must(t, err)
	return m
}

// eachRow calls f with the rows of ds but for the one that is longer than the
// model's positions, which is not evaluated.
func eachRow(t *testing.T, ds *parquet.Dataset, f func(r *parquet.TokensRow)) {
	t.Helper()
	r, err := parquet.OpenTokens(ds.Shards[0])
	must(t, err)
	defer r.Close()
	for {
		var row parquet.TokensRow
		if err := r.Next(&row); err != nil {
			return
		}
		if row.ID != "long" {
			f(&row)
		}
	}
}

// wholeDistributions is the mean KL(base || trained) and the share of equal
// likeliest tokens, from the two models' lists of all tokens' log-probabilities.
func wholeDistributions(t *testing.T, base, trained *model.Model, ds *parquet.Dataset) (kl, agreement float64) {
	t.Helper()
	n := 0
	eachRow(t, ds, func(r *parquet.TokensRow) {
		var at []int32
		for i, label := range r.Labels {
			if i > 0 && label != parquet.Ignore {
				at = append(at, int32(i))
			}
		}
		b := model.Batch{IDs: r.InputIDs, CuSeqlens: []int32{0, int32(len(r.InputIDs))}}
		V := base.Spec().Vocab
		p, err := base.Score(b, at, V)
		must(t, err)
		q, err := trained.Score(b, at, V)
		must(t, err)
		for i := range at {
			of := make([]float64, V)
			for k := range V {
				of[q.TopIDs[i*V+k]] = float64(q.TopLogProbs[i*V+k])
			}
			for k := range V {
				lp := float64(p.TopLogProbs[i*V+k])
				kl += math.Exp(lp) * (lp - of[p.TopIDs[i*V+k]])
			}
			if p.Top1ID[i] == q.Top1ID[i] {
				agreement++
			}
			n++
		}
	})
	return kl / float64(n), agreement / float64(n)
}

// Evaluating changes nothing of the training, and does not depend on threads.
func TestHeldOutLeavesTrainingAlone(t *testing.T) {
	file := func(w *world, name string) []byte {
		data, err := os.ReadFile(filepath.Join(w.o.Out, name))
		must(t, err)
		return data
	}
	a, _ := evaluated(t, func(o *Options) {})
	b, _ := evaluated(t, func(o *Options) { o.EvalEvery = 1; o.Best = "seen:accuracy" })
	if weights := filepath.Join(ModelName, "model.safetensors"); !bytes.Equal(file(a, weights), file(b, weights)) {
		t.Error("the weights depend on how often the run evaluates")
	}
	c := newWorld(t)
	c.o = a.o
	c.o.Out, c.dev = filepath.Join(c.dir, "run"), device(t, 1)
	must(t, c.run(t.Context()))
	if !bytes.Equal(file(a, EvalName), file(c, EvalName)) {
		t.Errorf("with two threads\n%swith one\n%s", file(a, EvalName), file(c, EvalName))
	}
}

func TestPatience(t *testing.T) {
	// There are 58 targets to get right, and the learning rate falls to nothing.
	w, lines := evaluated(t, func(o *Options) {
		o.Steps, o.EvalEvery, o.Best, o.Patience = 60, 1, "again:accuracy", 3
	})
	last := lines[len(lines)-1].Step
	var s Summary
	data, err := os.ReadFile(filepath.Join(w.o.Out, SummaryName))
	must(t, err)
	must(t, json.Unmarshal(data, &s))
	if h := s.HeldOut; s.Steps == 60 || s.Steps != last || h.Step+3 != last || h.Stopped == "" {
		t.Errorf("%d steps, evaluated at step %d last, %+v", s.Steps, last, *h)
	}
	if !strings.Contains(w.out.String(), "stopped     early: accuracy of again has not been better in 3 evaluations") {
		t.Errorf("the run does not say why it ended: %s", w.out.String())
	}
	// It did what was asked: it is finished, and says so again.
	w.out.Reset()
	must(t, w.run(t.Context()))
	if !strings.Contains(w.log.String(), "finished already") || !strings.Contains(w.out.String(), "stopped     early") {
		t.Errorf("%s%s", w.log.String(), w.out.String())
	}
}

// A state that has been through JSON goes on where it was: lines that were written
// after it are gone, and the measure to beat is the same.
func TestHeldOutResumes(t *testing.T) {
	w := newWorld(t)
	must(t, os.Mkdir(w.o.Out, 0o777))
	w.o.dir = w.o.Out
	w.o.Eval, w.o.EvalEvery, w.o.Best, w.o.Patience = []HeldOutSet{{"seen", w.o.Tokens}}, 1, "seen", 2
	m, err := model.Load(w.dev, w.c, model.Options{Train: true})
	must(t, err)
	open := func(state HeldOutState) *heldOut {
		in, err := openInputs(w.c, &w.o)
		must(t, err)
		h, err := openHeldOut(t.Context(), m, w.dev, w.c, &w.o, in)
		must(t, err)
		must(t, h.begin(state))
		return h
	}
	bar := cli.NewProgress(&w.log, "train", "tokens", 1, 0)
	after := func(h *heldOut, step int) string {
		stop, err := h.after(t.Context(), step, 9, bar)
		must(t, err)
		return stop
	}
	h := open(HeldOutState{})
	after(h, 1) // the first is the best
	if stop := after(h, 2); stop != "" {
		t.Error(stop)
	}
	data, err := json.Marshal(h.HeldOutState)
	must(t, err)
	stop := after(h, 3)
	must(t, h.close())
	want, err := os.ReadFile(filepath.Join(w.o.Out, EvalName))
	must(t, err)
	var state HeldOutState
	must(t, json.Unmarshal(data, &state))
	again := open(state)
	if got := after(again, 3); got != stop || !strings.Contains(got, "2 evaluations") {
		t.Errorf("resumed: %q, undisturbed: %q", got, stop)
	}
	must(t, again.close())
	got, err := os.ReadFile(filepath.Join(w.o.Out, EvalName))
	must(t, err)
	if !bytes.Equal(got, want) {
		t.Errorf("resumed\n%sundisturbed\n%s", got, want)
	}
}

func TestHeldOutOptions(t *testing.T) {
	sets, err := ParseHeldOut([]string{"math=/data/a", "data/b", "data/c/"})
	must(t, err)
	if len(sets) != 3 || sets[0] != (HeldOutSet{"math", "/data/a"}) || sets[1].Name != "b" || sets[2].Name != "c" {
		t.Errorf("%+v", sets)
	}
	for _, args := range [][]string{{"=a"}, {"a="}, {"a:b=c"}, {"x/a", "y/a"}, {"a=b", "a=c"}} {
		if _, err := ParseHeldOut(args); cli.Code(err) != cli.ExitUsage {
			t.Errorf("%q: %v", args, err)
		}
	}
	a := []HeldOutSet{{"a", "a"}}
	for _, o := range []HeldOutOptions{
		{EvalEvery: 1}, {Best: "a"}, {Eval: a, Best: "b"}, {Eval: a, Best: "a:kl"}, {Eval: a, EvalEvery: -1},
		{Eval: a, EvalEvery: 1, Patience: 2}, {Eval: a, Best: "a", Patience: 2}, {Eval: a, Patience: -1},
	} {
		if err := o.check(); cli.Code(err) != cli.ExitUsage {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// A run that is stopped before a micro-batch, of training or of an evaluation,
// ends with the bytes of one that is not: lines, best model, and early end.
func TestStoppedWhileEvaluating(t *testing.T) {
	w := newWorld(t)
	w.o.Steps, w.o.Epochs, w.o.LR = 60, 0, 1e-2
	w.o.Eval, w.o.EvalEvery, w.o.Best, w.o.Patience = []HeldOutSet{{"seen", w.o.Tokens}}, 2, "seen:accuracy", 2
	must(t, w.run(t.Context()))
	want := results(t, w.o.Out)
	if !strings.Contains(want[SummaryName], `"stopped": "accuracy of seen`) || want[filepath.Join(BestName, "config.json")] == "" {
		t.Fatalf("the run did not end early: %s", want[SummaryName])
	}
	for left := 1; ; left += 6 { // each kind of place, of some 70
		w.log.Reset()
		w.o.Out = filepath.Join(w.dir, fmt.Sprint("stopped", left))
		err := w.run(&countdown{Context: t.Context(), left: left})
		if err == nil {
			if left < 20 {
				t.Errorf("nothing to stop after %d micro-batches", left)
			}
			break
		}
		if cli.Code(err) != cli.ExitStopped {
			t.Fatalf("stop %d: %v", left, err)
		}
		must(t, w.run(t.Context()))
		same(t, fmt.Sprintf("stopped at %d", left), results(t, w.o.Out), want)
		must(t, os.RemoveAll(w.o.Out))
	}
}
