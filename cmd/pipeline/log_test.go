package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// record is a line of standard error with --log-format json.
type record struct {
	Time    time.Time
	Level   string
	Msg     string
	Program string
	Code    *int `json:"exit_code"`
	// Of the pipeline's own, numbers; another type does not unmarshal.
	Seconds       *float64
	PeakMemoryMiB *int64 `json:"peak_memory_mib"`
	Rows          *int64
}

// TestLogFormatJSON: whatever the four programs write to standard error with
// --log-format json is JSON: what they say of their work, summaries, warnings and
// errors, those of flags too, and in a run what its stages and workers say.
func TestLogFormatJSON(t *testing.T) {
	dir := t.TempDir()
	corpus, err := os.ReadFile("../../examples/demo/corpus.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(corpus, []byte("\n"))
	for name, data := range map[string][]byte{
		"corpus.jsonl": bytes.Join(lines[:60], nil),
		"bad.jsonl":    append(bytes.Join(lines[:3], nil), "{\n"...),
		"run.yaml":     []byte("model: demo\ncorpora: corpus.jsonl\ntokenize: {shards: 3, split: held=20%}\nscore: {k: 2}\ninspect: {fail-if: 'conflicts>=0'}\ntrain: {steps: 2, dtype: f32, batch-tokens: 512, eval: held, k: 2}\neval:\n  held: {split: held}\n"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	steps, shards := 0, 0 // of which numbers are told
	for _, c := range []struct {
		code    int
		command string
		says    string // in one of the messages; "": nothing is said
		level   string // of that
	}{
		{0, "tokenize --model demo --out tok corpus.jsonl", "dataset", "INFO"},
		{0, "tokenize --model demo --out tok corpus.jsonl", "tok is finished already", "INFO"},
		{2, "tokenize --model demo --out tok2 none.jsonl", "none.jsonl", "ERROR"},
		{2, "tokenize --model demo --out tok2 --nothing corpus.jsonl", "unknown flag: --nothing", "ERROR"},
		{3, "tokenize --model demo --out tok2 bad.jsonl", "--max-reject", "ERROR"},
		{2, "tokenize render", "--template or --model is missing", "ERROR"},
		{0, "scorer score --model demo --tokens tok --out sco --k 2", "the entropies of the top 2 tokens", "WARN"},
		{2, "scorer score --model demo --tokens none --out sco2", "none", "ERROR"},
		{2, "scorer nothing", `"nothing" is not one of`, "ERROR"},
		{3, "scorer inspect sco --fail-if conflicts>=0", "--fail-if: conflicts", "ERROR"},
		{0, "scorer verify sco", "", ""},
		{0, "train --model demo --tokens tok --scores sco --out tuned --steps 2 --dtype f32 --batch-tokens 512 --k 2 --eval tok", "", ""},
		{2, "train --model demo --tokens none --out tuned2", "none", "ERROR"},
		{2, "train eval --model none --tokens tok", "none", "ERROR"},
		{0, "train audit tuned", "", ""},
		{0, "train export --model tuned/model --out m.gguf", "m.gguf is written", "INFO"},
		{2, "pipeline plan none.yaml", "none.yaml: no such file", "ERROR"},
		{2, "pipeline run run.yaml --set train.los=x", "is loss meant?", "ERROR"},
		{2, "pipeline nothing", `"nothing" is not one of`, "ERROR"},
		{3, "pipeline run run.yaml --workers 2", "the entropies of the top 2 tokens", "WARN"},
		{0, "pipeline run run.yaml --workers 2 --set inspect.fail-if=null", "step 2  held: loss", "INFO"},
		{0, "pipeline run run.yaml --set inspect.fail-if=null", "nothing to do", "INFO"},
		{0, "pipeline status run.yaml", "", ""},
		{2, "pipeline status", "want one file", "ERROR"},
	} {
		args := strings.Fields(c.command)
		for _, format := range [][]string{{"--log-format", "json"}, {"--log-format=json"}} {
			if len(format) == 1 && c.level != "ERROR" {
				continue // has been done
			}
			var said bytes.Buffer
			cmd := exec.Command(filepath.Join(programs, args[0]), slices.Concat(args[1:], format)...)
			cmd.Dir, cmd.Stderr = dir, &said
			cmd.Run()
			if got := cmd.ProcessState.ExitCode(); got != c.code {
				t.Errorf("%s: exit code %d, want %d\n%s", c.command, got, c.code, &said)
			}
			found := c.says == ""
			last := record{}
			for line := range bytes.Lines(said.Bytes()) {
				r := record{}
				if err := json.Unmarshal(line, &r); err != nil || r.Time.IsZero() || r.Msg == "" || r.Program == "" || !slices.Contains([]string{"INFO", "WARN", "ERROR"}, r.Level) {
					t.Errorf("%s: %q: %v", c.command, line, err)
				}
				if found = found || strings.Contains(r.Msg, c.says) && r.Level == c.level; c.says == "" && r.Program != args[0] {
					t.Errorf("%s: of %s", line, r.Program)
				}
				if r.Seconds != nil && r.PeakMemoryMiB != nil {
					steps++
				}
				if r.Rows != nil {
					shards++
				}
				last = r
			}
			if !found {
				t.Errorf("%s: nobody says %q:\n%s", c.command, c.says, &said)
			}
			if c.code != 0 && (last.Code == nil || *last.Code != c.code || last.Program != args[0]) {
				t.Errorf("%s: the last is %+v", c.command, last)
			}
		}
	}
	if steps < 3 || shards != 6 { // three of tokenize, three of score
		t.Errorf("seconds and memory of %d steps are told, rows of %d shards", steps, shards)
	}
	if out, err := exec.Command(filepath.Join(programs, "scorer"), "verify", filepath.Join(dir, "sco"), "--log-format", "xml").CombinedOutput(); err == nil || !strings.Contains(string(out), `--log-format "xml": use text or json`) {
		t.Errorf("%v: %s", err, out)
	}
}

// So is what a program says of a store that does not answer at once.
func TestLogFormatJSONOfStore(t *testing.T) {
	for _, command := range []string{"tokenize --model demo --out tok s3://bucket/corpus.jsonl", "pipeline plan s3://bucket/run.yaml"} {
		var asked atomic.Int64
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			code := http.StatusServiceUnavailable
			if asked.Add(1) > 3 { // so often the library asks before it is asked again
				code = http.StatusForbidden
			}
			w.WriteHeader(code)
		}))
		defer server.Close()
		args := strings.Fields(command)
		cmd := exec.Command(filepath.Join(programs, args[0]), append(args[1:], "--log-format=json")...)
		cmd.Dir, cmd.Env = t.TempDir(), append(os.Environ(), "AWS_ENDPOINT_URL_S3="+server.URL, "AWS_ACCESS_KEY_ID=a", "AWS_SECRET_ACCESS_KEY=b")
		said, _ := cmd.CombinedOutput()
		var levels []string
		for line := range bytes.Lines(said) {
			var r record
			if err := json.Unmarshal(line, &r); err != nil || r.Program != args[0] {
				t.Errorf("%s: %q: %v", command, line, err)
			}
			levels = append(levels, r.Level)
		}
		if !slices.Equal(levels, []string{"WARN", "ERROR"}) {
			t.Errorf("%s: %s", command, said)
		}
	}
}
