package train

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"eaft/internal/cli"
	"eaft/internal/lock"
	"eaft/parquet"
)

// smallShards makes the audit end a shard every n targets.
func smallShards(t *testing.T, n int) {
	before := auditTargets
	auditTargets = n
	t.Cleanup(func() { auditTargets = before })
}

// results are the files of a finished run that a stop must not change: all but
// checkpoints and TensorBoard's, the metrics without what the clock says.
func results(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(dir, path)
		switch {
		case err != nil:
			return err
		case d.IsDir() && (rel == CheckpointsName || rel == EventsName):
			return fs.SkipDir
		case d.IsDir():
			return nil
		}
		data, err := os.ReadFile(path)
		if rel == MetricsName {
			data = withoutClock(t, data)
		}
		out[rel] = string(data)
		return err
	}))
	return out
}

func withoutClock(t *testing.T, metrics []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	for line := range bytes.Lines(metrics) {
		var m map[string]any
		must(t, json.Unmarshal(line, &m))
		if m["time"].(float64) < 1.7e9 || m["tokens_per_s"].(float64) <= 0 {
			t.Errorf("metrics: %s", line)
		}
		delete(m, "time")
		delete(m, "tokens_per_s")
		must(t, json.NewEncoder(&out).Encode(m))
	}
	return out.Bytes()
}

func same(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	for name := range want {
		if got[name] != want[name] {
			t.Errorf("%s: %s differs from the undisturbed run's", what, name)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%s: the files are %v, not %v", what, slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
	}
}

// A run that is stopped between any two micro-batches, of any step, once or
// again and again, ends with the bytes of one that is not: at the edge of an
// epoch, and inside a step, which is dropped.
func TestStoppedAnywhere(t *testing.T) {
	t.Run("plain", func(t *testing.T) { stopAnywhere(t, newWorldOf(t, 36), 1) })
	heldOut := func(w *world) {
		w.o.Eval, w.o.EvalEvery, w.o.Best = []HeldOutSet{{"held", w.o.Tokens}}, 2, "held"
	}
	for name, change := range map[string]func(w *world){
		"held out":   heldOut,
		"early end":  func(w *world) { heldOut(w); w.o.EvalEvery, w.o.Patience, w.o.LR = 1, 2, 1 },
		"regularise": func(w *world) { w.o.LabelSmoothing, w.o.KL, w.o.NEFTune = 0.1, 0.5, 5 },
		"adamw8bit":  func(w *world) { w.o.Optimizer = OptimizerAdamW8; w.o.DType = "bf16" },
		"adafactor":  func(w *world) { w.o.Optimizer, w.o.AdamBeta1, w.o.AdamBeta2, w.o.AdamEps = OptimizerAdafactor, 0, 0, 0 },
		"lora": func(w *world) {
			heldOut(w)
			w.o.LoRA, w.o.LoRAAlpha, w.o.LoRADropout, w.o.LoRATargets = 4, 8, 0.2, AllLinear
			w.o.Merge, w.o.MergeType = true, "bf16"
		},
		"talr": func(w *world) { w.o.Loss = LossTALR },
		"mile": func(w *world) { w.o.Loss = LossMiLe },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorldOf(t, 36)
			change(w)
			by := 7
			if w.o.Merge {
				by = 17 // each weight that is merged is a question
			}
			stopAnywhere(t, w, by)
		})
	}
}

// stopAnywhere stops w after 1, 1+by, 1+2 by ... questions whether it is to stop.
func stopAnywhere(t *testing.T, w *world, by int) {
	smallShards(t, 600)
	w.o.BatchTokens = 1500
	must(t, w.run(t.Context()))
	want := results(t, w.o.Out)
	if n := len(want); n < 12 {
		t.Fatalf("only %d files: %v", n, slices.Sorted(maps.Keys(want)))
	}
	var rec Record
	must(t, json.Unmarshal([]byte(want[RecordName]), &rec))
	if w.o.Patience > 0 && !strings.Contains(want[SummaryName], `"stopped"`) {
		t.Fatal("the run does not end early")
	}
	inside := 0
	for left := 1; ; left += by {
		w.log.Reset()
		w.o.Out = filepath.Join(w.dir, fmt.Sprint("stopped", left))
		stops := 0
		for ; stops < 4; stops++ {
			err := w.run(&countdown{Context: t.Context(), left: left})
			if err == nil {
				break
			}
			if cli.Code(err) != cli.ExitStopped {
				t.Fatalf("stop %d: %v", left, err)
			}
			if _, err := os.Stat(filepath.Join(w.o.Out, RecordName)); err == nil {
				t.Fatal("a stopped run is finished")
			}
		}
		must(t, w.run(t.Context()))
		same(t, fmt.Sprintf("stopped at %d", left), results(t, w.o.Out), want)
		must(t, os.RemoveAll(w.o.Out))
		if stops == 0 {
			if left <= rec.Steps {
				t.Fatalf("%d micro-batches in %d steps: none was stopped inside a step", left, rec.Steps)
			}
			inside = left
			break
		}
	}
	t.Logf("%d steps, stopped before each of %d micro-batches", rec.Steps, inside)
}

// With a checkpoint after every step, each of them leads to the same end, named
// by --resume, and one that is not whole is passed over.
func TestResumeFromEach(t *testing.T) {
	smallShards(t, 40)
	w := newWorld(t)
	must(t, w.run(t.Context()))
	want := results(t, w.o.Out)
	w.o.Out, w.o.SaveEvery, w.o.Keep = filepath.Join(w.dir, "saved"), 1, 100
	must(t, w.run(t.Context()))
	same(t, "with checkpoints", results(t, w.o.Out), want)
	steps, err := checkpoints(filepath.Join(w.o.Out, CheckpointsName))
	must(t, err)
	if len(steps) < 4 || steps[len(steps)-1] != 1 {
		t.Fatalf("checkpoints: %v", steps)
	}
	finished := w.o.Out
	for _, n := range steps {
		w.o.Out = filepath.Join(w.dir, stepName(n))
		must(t, os.CopyFS(w.o.Out, os.DirFS(finished)))
		unfinish(t, w.o.Out)
		w.o.Resume = filepath.Join(w.o.Out, CheckpointsName, stepName(n))
		w.log.Reset()
		must(t, w.run(t.Context()))
		if !strings.Contains(w.log.String(), fmt.Sprintf("after step %d of", n)) {
			t.Errorf("log: %s", w.log.String())
		}
		same(t, w.o.Resume, results(t, w.o.Out), want)
	}
	// Only one of this run's folder, and only whole.
	unfinish(t, w.o.Out)
	for _, c := range []struct{ resume, want string }{
		{filepath.Join(finished, CheckpointsName, stepName(1)), "not a checkpoint of --out"},
		{filepath.Join(w.o.Out, CheckpointsName, stepName(999)), "manifest.json is missing"},
	} {
		w.o.Resume = c.resume
		if err := w.run(t.Context()); cli.Code(err) != cli.ExitUsage || !strings.Contains(err.Error(), c.want) {
			t.Errorf("--resume %s: %v", c.resume, err)
		}
	}
}

// unfinish makes of a finished run one that was killed before its end.
func unfinish(t testing.TB, dir string) {
	t.Helper()
	must(t, os.Remove(filepath.Join(dir, RecordName)))
	must(t, os.WriteFile(filepath.Join(dir, unfinishedName), nil, 0o666))
}

// Whatever is cut, flipped or lost of the newest checkpoint, it is named and the
// one before is taken; and when none is whole the run starts anew.
func TestDamagedCheckpoint(t *testing.T) {
	smallShards(t, 40)
	w := newWorld(t)
	w.o.Eval, w.o.EvalEvery = []HeldOutSet{{"held", w.o.Tokens}}, 1
	must(t, w.run(t.Context()))
	want := results(t, w.o.Out)
	w.o.Out, w.o.SaveEvery = filepath.Join(w.dir, "saved"), 1
	must(t, w.run(t.Context()))
	dir := filepath.Join(w.o.Out, CheckpointsName)
	steps, err := checkpoints(dir)
	must(t, err)
	if len(steps) != 2 {
		t.Fatalf("--keep 2 kept %v", steps)
	}
	before := filepath.Join(w.dir, "before")
	must(t, os.CopyFS(before, os.DirFS(w.o.Out)))
	newest := filepath.Join(CheckpointsName, stepName(steps[0]))
	flip := func(at func(n int) int) func([]byte) []byte {
		return func(b []byte) []byte { b[at(len(b))] ^= 4; return b }
	}
	half := func(n int) int { return n / 2 }
	for _, c := range []struct {
		name   string
		damage func([]byte) []byte // nil: removed
	}{
		{mastersFile, nil}, {mastersFile, flip(half)}, {mastersFile, func(b []byte) []byte { return b[:len(b)-1] }},
		{momentsFile, flip(half)}, {momentsFile, flip(func(int) int { return 9 })}, {visitsFile, flip(half)},
		{stateFile, nil}, {stateFile, flip(half)}, {stateFile, func([]byte) []byte { return nil }},
		{manifestFile, nil}, {manifestFile, flip(func(n int) int { return n - 12 })}, {manifestFile, func(b []byte) []byte { return b[:len(b)/2] }},
	} {
		must(t, os.RemoveAll(w.o.Out))
		must(t, os.CopyFS(w.o.Out, os.DirFS(before)))
		unfinish(t, w.o.Out)
		path := filepath.Join(w.o.Out, newest, c.name)
		if c.damage == nil {
			must(t, os.Remove(path))
		} else {
			data, err := os.ReadFile(path)
			must(t, err)
			must(t, os.WriteFile(path, c.damage(data), 0o666))
		}
		w.log.Reset()
		must(t, w.run(t.Context()))
		if log := w.log.String(); !strings.Contains(log, "warning: "+filepath.Dir(path)+" is not whole") || !strings.Contains(log, fmt.Sprintf("after step %d of", steps[1])) {
			t.Errorf("%s: log %q", c.name, log)
		}
		same(t, c.name, results(t, w.o.Out), want)
	}
	// Without its metrics, its evaluations or a shard of its audit, no checkpoint is
	// of use.
	for _, name := range []string{MetricsName, EvalName, filepath.Join(AuditName, shards(t, before)[0])} {
		must(t, os.RemoveAll(w.o.Out))
		must(t, os.CopyFS(w.o.Out, os.DirFS(before)))
		unfinish(t, w.o.Out)
		must(t, os.Remove(filepath.Join(w.o.Out, name)))
		w.log.Reset()
		must(t, w.run(t.Context()))
		if log := w.log.String(); strings.Count(log, name+" is missing") != 2 || !strings.Contains(log, "starting anew") {
			t.Errorf("%s: log %q", name, log)
		}
		same(t, name, results(t, w.o.Out), want)
	}
}

func shards(t *testing.T, dir string) []string {
	t.Helper()
	m, err := parquet.ReadManifest(filepath.Join(dir, AuditName))
	must(t, err)
	var names []string
	for _, s := range m.Shards {
		names = append(names, s.Name)
	}
	return names
}

// Checkpoints of another run are not gone on from, and not removed unasked.
func TestResumeOfAnotherRun(t *testing.T) {
	w := newWorld(t)
	if err := w.run(&countdown{Context: t.Context(), left: 3}); cli.Code(err) != cli.ExitStopped {
		t.Fatal(err)
	}
	checkpoint := filepath.Join(w.o.Out, CheckpointsName, stepName(3))
	for want, change := range map[string]func(o *Options){
		"--optimizer adamw, not adafactor": func(o *Options) {
			o.Optimizer, o.AdamBeta1, o.AdamBeta2, o.AdamEps = OptimizerAdafactor, 0, 0, 0
		},
		"--loss eaft, not sft":       func(o *Options) { o.Loss = LossSFT },
		"--schedule cosine, not wsd": func(o *Options) { o.Schedule, o.Decay = ScheduleWSD, 0.5 },
		"--lora 0, not 2":            func(o *Options) { o.LoRA, o.LoRAAlpha, o.LoRATargets = 2, 4, AllLinear },
	} {
		o := w.o
		change(&o)
		if err := Run(t.Context(), w.dev, w.c, o); cli.Code(err) != cli.ExitUsage || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	w.o.LR = 1e-4
	err := w.run(t.Context())
	if cli.Code(err) != cli.ExitUsage || !strings.Contains(err.Error(), "--lr 0.003, not 0.0001") || !strings.Contains(err.Error(), "--resume none") {
		t.Errorf("other options: %v", err)
	}
	if _, err := os.Stat(checkpoint); err != nil {
		t.Error(err)
	}
	w.o.Resume = ResumeNone
	must(t, w.run(t.Context()))
	if _, err := os.Stat(checkpoint); err == nil || !strings.Contains(w.log.String(), "starting anew") {
		t.Errorf("--resume none: log %s", w.log.String())
	}
}

// A run with nothing to learn from fails before it is called finished.
func TestNothingLearnt(t *testing.T) {
	w := newWorld(t)
	in, err := openInputs(w.c, &w.o)
	must(t, err)
	tr := &trainer{o: &w.o}
	steps := []step{{rows: []*row{{}}}, {rows: []*row{{}}}}
	must(t, os.Mkdir(w.o.Out, 0o777))
	w.o.dir = w.o.Out
	c, err := begin(tr, nil, &Record{Options: w.o}, nil, steps, &inputs{hashes: in.hashes}, "", nil)
	must(t, err)
	defer c.close()
	must(t, c.keep(Metrics{Step: 1}))
	if err := c.keep(Metrics{Step: 2}); err == nil || !strings.Contains(err.Error(), "every target of 2 steps had the weight 0") {
		t.Errorf("%v", err)
	}
}

// A loss that goes to infinity ends the run with the steps so far: that of the KL,
// which is 0 in the first step.
func TestDiverged(t *testing.T) {
	w := newWorld(t)
	w.o.LR, w.o.KL, w.o.Warmup, w.o.SaveEvery, w.o.MaxGradNorm = 1, 3e38, 0, 1, 0
	err := w.run(t.Context())
	if cli.Code(err) != cli.ExitFailed || !strings.Contains(err.Error(), "gradient norm") || !strings.Contains(err.Error(), stepName(1)) {
		t.Fatalf("%v", err)
	}
	if _, err := os.Stat(filepath.Join(w.o.Out, RecordName)); err == nil {
		t.Error("it is finished")
	}
	if err := w.run(context.Background()); cli.Code(err) != cli.ExitFailed || !strings.Contains(w.log.String(), "going on from") {
		t.Errorf("again: %v", err)
	}
}

// What vanishes while a run has it in memory changes nothing; what a resumed run
// misses is named, and its checkpoint stays.
func TestVanished(t *testing.T) {
	w := newWorld(t)
	must(t, w.run(t.Context()))
	want := results(t, w.o.Out)
	w.o.Out = filepath.Join(w.dir, "vanished")
	shard := filepath.Join(w.o.Tokens, parquet.ShardName(0, 1))
	data, err := os.ReadFile(shard)
	must(t, err)
	if err := w.run(&countdown{Context: t.Context(), left: 3, then: func() { must(t, os.Remove(shard)) }}); cli.Code(err) != cli.ExitStopped {
		t.Fatal(err)
	}
	if err := w.run(t.Context()); cli.Code(err) != cli.ExitUsage || !strings.Contains(err.Error(), shard) {
		t.Errorf("without a shard: %v", err)
	}
	must(t, os.WriteFile(shard, data, 0o666))
	must(t, w.run(t.Context()))
	same(t, "with the shard again", results(t, w.o.Out), want)
}

func TestLock(t *testing.T) {
	w := newWorld(t)
	l, err := acquire(w.o.Out)
	must(t, err)
	err = w.run(t.Context())
	if cli.Code(err) != cli.ExitFailed || !strings.Contains(err.Error(), fmt.Sprintf("(process %d on ", os.Getpid())) {
		t.Errorf("a second run: %v", err)
	}
	l.release()
	must(t, os.Mkdir(w.o.Out, 0o777))
	// What is left of one that was killed is no obstacle.
	must(t, os.WriteFile(filepath.Join(w.o.Out, lock.FolderName), []byte("elsewhere boot 1 1\n"), 0o666))
	must(t, w.run(t.Context()))
}

// A finished run of adapters alone has no model, and is finished nevertheless.
func TestFinishedAdapter(t *testing.T) {
	w := newWorld(t)
	w.o.LoRA, w.o.LoRAAlpha, w.o.LoRATargets = 4, 8, AllLinear
	must(t, w.run(t.Context()))
	must(t, w.run(t.Context()))
	if !strings.Contains(w.log.String(), "finished already") {
		t.Errorf("again: %s", w.log.String())
	}
	must(t, os.Remove(filepath.Join(w.o.Out, AdapterName, "adapter_config.json")))
	if err := w.run(t.Context()); cli.Code(err) != cli.ExitUsage || !strings.Contains(err.Error(), "adapter_config.json") {
		t.Errorf("without its adapter: %v", err)
	}
}

// A finished run keeps the checkpoints that --save-every asked for, and no others.
func TestTidy(t *testing.T) {
	w := newWorld(t)
	w.o.SaveEvery, w.o.Keep = 1, 3
	must(t, w.run(t.Context()))
	dir := filepath.Join(w.o.Out, CheckpointsName)
	steps, err := checkpoints(dir)
	must(t, err)
	if len(steps) != 3 {
		t.Fatalf("checkpoints: %v, want three", steps)
	}
	path := filepath.Join(dir, stepName(steps[1]), stateFile)
	data, err := os.ReadFile(path)
	must(t, err)
	changed := bytes.Replace(data, []byte(`"asked": true`), []byte(`"asked": false`), 1)
	if bytes.Equal(data, changed) {
		t.Fatalf("%s does not say that it was asked for", path)
	}
	must(t, os.WriteFile(path, changed, 0o666))
	must(t, w.run(t.Context())) // finished already, as if killed before it could
	left, err := checkpoints(dir)
	must(t, err)
	if !slices.Equal(left, []int{steps[0], steps[2]}) {
		t.Errorf("checkpoints left of %v: %v", steps, left)
	}
}
