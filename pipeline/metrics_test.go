package pipeline

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"eaft/parquet"
)

// Samples of two runs differ, whatever their folders are called, and no secret is told.
// EAFT_PYTHON may name a Python with prometheus_client, which reads them back.
func TestMetricsOfRuns(t *testing.T) {
	dir := t.TempDir()
	names := map[string]string{"/data/run": "/data/run", "/a \"b\"\\c\nd": "/a \"b\"\\c\nd", "/\xff\u00e4\a": "/\uFFFD\u00e4\a", "s3://user:secret@bucket/run?region=x": "s3://bucket/run?..."}
	seen := map[string]bool{}
	var paths []string
	for out := range names {
		st := &Status{Out: out, Steps: []StepStatus{{Name: "tokenize", State: Done, Attempts: []Attempt{{Ended: true}}, Seconds: 1e9, Shards: 2, Ledger: &parquet.Ledger{Tokens: 1 << 53}}, {Name: "eval known base", State: Resume}}}
		text := openMetrics(st, time.Unix(0, 0))
		for line := range strings.Lines(text) {
			name, _, sample := strings.Cut(line, "}")
			if sample && seen[name] {
				t.Errorf("%q stands twice", name)
			}
			seen[name] = true
		}
		if strings.Contains(text, "secret") || strings.Contains(text, "region") {
			t.Errorf("%s", text)
		}
		paths = append(paths, filepath.Join(dir, strings.Repeat("x", len(paths)+1)+".prom"))
		if err := os.WriteFile(paths[len(paths)-1], []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	python := os.Getenv("EAFT_PYTHON")
	if python == "" || exec.Command(python, "-c", "import prometheus_client").Run() != nil {
		return
	}
	script := `
import json, sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as text
read = [[sorted({s.labels["run"] for m in f(open(p, encoding="utf-8", newline="").read()) for s in m.samples}) for p in sys.argv[1:]] for f in (openmetrics, text)]
assert read[0] == read[1], read
print(json.dumps(sum(read[0], [])))
`
	out, err := exec.Command(python, append([]string{"-c", script}, paths...)...).CombinedOutput()
	var got, want []string
	if err != nil || json.Unmarshal(out, &got) != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, name := range names {
		want = append(want, name)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("runs %q, want %q", got, want)
	}
}
