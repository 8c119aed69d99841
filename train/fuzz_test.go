package train

import (
	"encoding/json"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"eaft/internal/bound"
)

// FuzzState: whatever the state of a checkpoint says whose files are whole, it is
// passed over, refused, or of a run that can be gone on with.
func FuzzState(f *testing.F) {
	now := &Record{Version: "test", Options: DefaultOptions(), Hashes: map[string]string{"model": "m"}, ISA: "generic"}
	for _, s := range []string{`{"step":2,"epoch":1,"plan":"p","summary":{"steps":2},"metrics":{"bytes":3,"sha256":"x"},"found":"AAAA"}`, `{"step":-2}`, `{"step":2,"summary":{"held_out":{}},"held_out":{"best":{"step":9}}}`,
		`{"record":{"isa":"amx"},"step":2}`, `{"step":2,"summary":{},"metrics":{"bytes":-1},"audit":{"shards":[{"name":"../x"}]}}`, `null`, `[]`} {
		f.Add([]byte(s), []byte(`{"step":1,"loss":2,"mean_weight":0.5}`+"\n"))
	}
	f.Fuzz(func(t *testing.T, data, metrics []byte) {
		bound.Memory(t, len(data)+len(metrics))
		o := &Options{Out: t.TempDir(), Resume: ResumeAuto, Stderr: io.Discard, Stdout: io.Discard}
		dir := filepath.Join(o.Out, CheckpointsName, stepName(2))
		must(t, os.MkdirAll(dir, 0o777))
		must(t, os.WriteFile(filepath.Join(o.Out, MetricsName), metrics, 0o666))
		var m manifest
		for name, data := range map[string][]byte{stateFile: data, visitsFile: nil, mastersFile: nil, momentsFile: nil} {
			must(t, os.WriteFile(filepath.Join(dir, name), data, 0o666))
			m.Files = append(m.Files, stored{name, int64(len(data)), hashOf(data)})
		}
		must(t, writeJSON(filepath.Join(dir, manifestFile), m))
		path, s, err := choose(o, now)
		if err == nil && path != "" && (s.Step != 2 || s.Summary == nil) {
			t.Fatalf("%s: %+v", path, s)
		}
		must(t, os.WriteFile(filepath.Join(dir, manifestFile), data, 0o666))
		choose(o, now)
		must(t, os.WriteFile(filepath.Join(o.Out, RecordName), data, 0o666))
		must(t, os.WriteFile(filepath.Join(o.Out, SummaryName), data, 0o666))
		finished(o, now)
	})
}

// FuzzResume: a run goes on from a checkpoint whose files are whole, or refuses it,
// whatever its state says instead of what was true.
func FuzzResume(f *testing.F) {
	w := newWorld(f)
	w.o.Epochs, w.o.SaveEvery, w.o.Stdout, w.o.Stderr = 1, 1, io.Discard, io.Discard
	w.o.Eval, w.o.EvalEvery, w.o.Best, w.o.Patience = []HeldOutSet{{"held", w.o.Tokens}}, 1, "held", 9
	must(f, w.run(f.Context()))
	unfinish(f, w.o.Out)
	for _, name := range []string{ModelName, BestName, SummaryName} {
		must(f, os.RemoveAll(filepath.Join(w.o.Out, name)))
	}
	whole := os.DirFS(w.o.Out)
	steps, err := checkpoints(filepath.Join(w.o.Out, CheckpointsName))
	must(f, err)
	for _, n := range steps[1:] {
		must(f, removeCheckpoint(filepath.Join(w.o.Out, CheckpointsName), n))
	}
	at := filepath.Join(CheckpointsName, stepName(steps[0]))
	var was map[string]json.RawMessage
	data, err := os.ReadFile(filepath.Join(w.o.Out, at, stateFile))
	must(f, err)
	must(f, json.Unmarshal(data, &was))
	f.Add(data)
	for _, s := range []string{`{}`, `{"summary":{}}`, `{"summary":{"steps":-1,"conflicts":{}}}`, `{"summary":{"steps":1}}`, `{"found":""}`, `{"found":"AAAA"}`, `{"plan":""}`, `{"weights":-1e308}`, `{"step":1}`,
		`{"metrics":{}}`, `{"metrics":{"bytes":1}}`, `{"audit":{}}`, `{"audit":{"open":{"rows_out":-1}}}`, `{"audit":{"sealed":[{"name":"../x"}]}}`, `{"held_out":{}}`, `{"held_out":null,"evals":{}}`, `{"evals":null}`,
		`{"held_out":{"step":9,"bytes":-1,"last":[{"name":"held","loss":1}],"best_step":3,"best_value":-1,"waited":99}}`, `{"held_out":{"step":1,"bytes":9223372036854775807}}`, `{"epoch":-5}`, `null`, `[`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		bound.Memory(t, len(data))
		o := w.o
		o.Out = t.TempDir()
		must(t, os.CopyFS(o.Out, whole))
		said := maps.Clone(was)
		if json.Unmarshal(data, &said) == nil && said != nil {
			var err error
			data, err = json.Marshal(said)
			must(t, err)
		}
		dir := filepath.Join(o.Out, at)
		must(t, os.WriteFile(filepath.Join(dir, stateFile), data, 0o666))
		var m manifest
		for _, name := range []string{stateFile, visitsFile, mastersFile, momentsFile} {
			data, err := os.ReadFile(filepath.Join(dir, name))
			must(t, err)
			m.Files = append(m.Files, stored{name, int64(len(data)), hashOf(data)})
		}
		must(t, writeJSON(filepath.Join(dir, manifestFile), m))
		if err := Run(t.Context(), w.dev, w.c, o); err != nil && strings.Contains(err.Error(), "internal error") {
			t.Fatal(err)
		}
	})
}

// FuzzMetrics: the metrics of a run, which --match-step and the events read, are
// refused or hold a weight for every line.
func FuzzMetrics(f *testing.F) {
	for _, s := range []string{`{"step":1,"mean_weight":0.5,"loss":1,"time":1.7e9}` + "\n" + `{"step":2,"mean_weight":1e308,"a":{"b":{"c":1}}}` + "\n", `{"step":1}`, `{"step":1,"mean_weight":-1}`, "\n", "null\n", `{"step":1e400}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		bound.Memory(t, len(data))
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, RecordName), []byte("{}"), 0o666))
		must(t, os.WriteFile(filepath.Join(dir, MetricsName), data, 0o666))
		in := &inputs{hashes: map[string]string{}}
		if err := in.openMatch(&Options{Weighting: Weighting{MatchStep: dir}}); err == nil {
			for i, w := range in.match {
				if !(w >= 0) || math.IsInf(w, 0) {
					t.Fatalf("step %d has the weight %v", i+1, w)
				}
			}
		}
		if e, err := openEvents(dir, filepath.Join(dir, MetricsName), filepath.Join(dir, MetricsName), 2); err == nil {
			must(t, e.f.Close())
		}
	})
}

// FuzzMix: a mixture is refused, or visits each row as often as its weight says,
// rounded down or up.
func FuzzMix(f *testing.F) {
	for _, s := range []string{"a=2,b=0.5", "a=b=1", "=0", "a=1000", "a=1e-300", "a=0x1p9", "a=NaN", "a=1,a=2"} {
		f.Add(s)
	}
	rows := []*row{{source: "a"}, {source: "b"}, {source: "a"}, {source: ""}, {source: "a=b"}}
	f.Fuzz(func(t *testing.T, s string) {
		bound.Memory(t, len(s))
		m, err := parseMix(s)
		if err != nil || m.check(rows) != nil {
			return
		}
		times := make([]int, len(rows))
		for _, i := range m.epoch(rows, 1, 7) {
			times[i]++
		}
		for i, r := range rows {
			w, ok := m[r.source]
			if !ok {
				w = 1
			}
			if lo := int(math.Floor(w)); times[i] != lo && times[i] != lo+1 {
				t.Fatalf("%q: row %d is visited %d times", s, i, times[i])
			}
		}
	})
}
