package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestPlanIsWhatRunDoes edits the file, the inputs and the results of a run at random.
// After each edit run must do what plan and status said, and nothing more; a plan after
// it has nothing left to do; and what there is in the end are the results of a run
// elsewhere that knows nothing of all that. EAFT_STRESS is how long that goes on.
func TestPlanIsWhatRunDoes(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	e := &editor{t: t, rng: rng, dir: t.TempDir(), fields: map[string]string{"model": "demo", "corpora": "[corpus.jsonl]"}}
	corpus, err := os.ReadFile("../../examples/demo/corpus.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	for i := range e.texts {
		rows := bytes.SplitAfter(corpus, []byte("\n"))[40*i:]
		e.texts[i] = bytes.Join(rows[:40], nil)
	}
	e.write("corpus.jsonl", e.texts[0])
	e.write("known.jsonl", e.texts[1])
	e.write("run.yaml", e.yaml())
	for until, i := time.Now().Add(stressTime(t)), 0; i < 16 || time.Now().Before(until); i++ {
		edit := "nothing"
		if i > 0 {
			edit = e.edit()
		}
		e.about = fmt.Sprintf("seed %d, edit %d: %s\n%s", seed, i, edit, e.yaml())
		e.check()
		if t.Failed() {
			return
		}
	}
	delete(e.fields, "inspect")
	e.write("run.yaml", e.yaml())
	e.check()
	whole := t.TempDir()
	for _, name := range []string{"corpus.jsonl", "known.jsonl", "run.yaml"} {
		data, err := os.ReadFile(filepath.Join(e.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(whole, name), data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := pipelineRun(whole).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want, got := results(t, whole), results(t, e.dir)
	maps.DeleteFunc(got, func(name, _ string) bool { _, ok := want[name]; return !ok }) // results of other options
	alike(t, e.about, got, want)
}

// editor is a run with what can happen to it.
type editor struct {
	t      *testing.T
	rng    *rand.Rand
	dir    string
	texts  [3][]byte
	fields map[string]string
	about  string
}

func (e *editor) yaml() []byte {
	var b bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(e.fields)) {
		fmt.Fprintf(&b, "%s: %s\n", name, e.fields[name])
	}
	return b.Bytes()
}

func (e *editor) write(name string, data []byte) {
	if err := os.WriteFile(filepath.Join(e.dir, name), data, 0o666); err != nil {
		e.t.Fatal(err)
	}
}

// edit changes something and says what.
func (e *editor) edit() string {
	file := []string{"corpus.jsonl", "known.jsonl"}[e.rng.IntN(2)]
	path := filepath.Join(e.dir, file)
	switch e.rng.IntN(12) {
	case 0:
		i := e.rng.IntN(len(e.texts))
		e.write(file, e.texts[i])
		return fmt.Sprintf("%s is text %d", file, i)
	case 1: // as an editor saves
		i := e.rng.IntN(len(e.texts))
		e.write("new", e.texts[i])
		if err := os.Rename(filepath.Join(e.dir, "new"), path); err != nil {
			e.t.Fatal(err)
		}
		return fmt.Sprintf("%s is another file, text %d", file, i)
	case 2:
		when := time.Now().Add(time.Duration(e.rng.IntN(7)-3) * 24 * time.Hour)
		if err := os.Chtimes(path, when, when); err != nil {
			e.t.Fatal(err)
		}
		return fmt.Sprintf("%s is of %v", file, when)
	case 3:
		name := []string{"hashes.json", "state.json", "last.json", "report"}[e.rng.IntN(4)]
		if err := os.RemoveAll(filepath.Join(e.dir, "run", name)); err != nil {
			e.t.Fatal(err)
		}
		return name + " is gone"
	case 4, 5:
		return e.damage()
	case 6:
		if out, err := e.pipeline("clean"); err != nil {
			e.t.Fatalf("clean: %v\n%s", err, out)
		}
		return "clean"
	case 7:
		time.Sleep(2100 * time.Millisecond) // until times of files say something
		return "two seconds"
	}
	choices := map[string][]string{
		"tokenize": {"", "{shards: 2}", "{shards: 3, split: held=30%}", "{max-length: 100}"}, "score": {"", "{k: 20}", "{dtype: f32}", "{threads: 1}"},
		"inspect": {"", "{fail-if: conflicts>=0}", "{worst: 3}"}, "train": {"", "{steps: 1}", "{steps: 2, eval: known}", "{steps: 1, lora: 2}"},
		"eval": {"", "{known: {corpora: known.jsonl}}", "{known: {corpora: known.jsonl, threads: 1}, again: {corpora: [known.jsonl, corpus.jsonl]}}"}, "workers": {"", "2"},
	}
	field := slices.Sorted(maps.Keys(choices))[e.rng.IntN(len(choices))]
	e.fields[field] = choices[field][e.rng.IntN(len(choices[field]))]
	if e.fields[field] == "" {
		delete(e.fields, field)
	}
	if strings.Contains(e.fields["train"], "known") && !strings.Contains(e.fields["eval"], "known") {
		e.fields["eval"] = choices["eval"][1]
	}
	e.write("run.yaml", e.yaml())
	return field + " is set"
}

// damage removes or cuts something that a step made.
func (e *editor) damage() string {
	var paths []string
	for _, pattern := range []string{"*/record.json", "*/out", "*-*", "*/out/_manifest.json", "*/out/*.parquet", "*/out/report.json", "*/out/run.json"} {
		found, err := filepath.Glob(filepath.Join(e.dir, "run", pattern))
		if err != nil {
			e.t.Fatal(err)
		}
		paths = append(paths, found...)
	}
	if len(paths) == 0 {
		return "nothing to damage"
	}
	path := paths[e.rng.IntN(len(paths))]
	st, err := os.Stat(path)
	if err == nil && strings.HasSuffix(path, ".parquet") && e.rng.IntN(2) == 0 {
		err = os.Truncate(path, st.Size()/2)
	} else if err == nil {
		err = os.RemoveAll(path)
	}
	if err != nil {
		e.t.Fatal(err)
	}
	return path + " is damaged"
}

func (e *editor) pipeline(command string, args ...string) (string, error) {
	cmd := exec.Command(filepath.Join(programs, "pipeline"), append([]string{command, "run.yaml"}, args...)...)
	cmd.Dir = e.dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

var (
	planned = regexp.MustCompile(`(?m)^([a-z]+(?: [a-z]+)*) {2,}(done|run|resume|mend)\b`)
	ran     = regexp.MustCompile(`(?m)^== ([a-z ]+): (done|run|resume|mend)\b`)
)

// said are the steps of an output with what is done of each.
func said(form *regexp.Regexp, out string) (steps []string) {
	for _, m := range form.FindAllStringSubmatch(out, -1) {
		steps = append(steps, m[1]+": "+m[2])
	}
	return steps
}

// check compares what plan and status say with what run does.
func (e *editor) check() {
	e.t.Helper()
	plan, err := e.pipeline("plan")
	if err != nil {
		e.t.Fatalf("%s: plan: %v\n%s", e.about, err, plan)
	}
	status, err := e.pipeline("status")
	if err != nil {
		e.t.Fatalf("%s: status: %v\n%s", e.about, err, status)
	}
	want := said(planned, plan)
	if got := said(planned, status); len(want) == 0 || !slices.Equal(got, want) {
		e.t.Errorf("%s: plan:\n%s\nstatus:\n%s", e.about, plan, status)
	}
	run, err := e.pipeline("run")
	got := said(ran, run)
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.ExitCode() == 3 && strings.Contains(e.fields["inspect"], "fail-if") && len(got) > 0 && strings.HasPrefix(got[len(got)-1], "inspect: "):
		want = want[:min(len(want), len(got))] // the gate said no
	case err != nil:
		e.t.Fatalf("%s: run: %v\n%s\nplan:\n%s", e.about, err, run, plan)
	default:
		after, err := e.pipeline("plan")
		if left := said(planned, after); err != nil || len(left) != len(want) || slices.ContainsFunc(left, func(s string) bool { return !strings.HasSuffix(s, ": done") }) {
			e.t.Errorf("%s: a plan after the run: %v\n%s", e.about, err, after)
		}
	}
	if !slices.Equal(got, want) {
		e.t.Errorf("%s: plan:\n%s\nrun:\n%s", e.about, plan, run)
	}
}
