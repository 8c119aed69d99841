package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"eaft/examples/demo"
	"eaft/internal/cli"
	"eaft/model/weights"
	"eaft/tokenize"
)

// Every number of the report on the demo's scores, computed again by DuckDB;
// EAFT_ORACLE_SCORES and EAFT_ORACLE_TOKENS name other scores to compare.
func TestReportAgainstDuckDB(t *testing.T) {
	python := os.Getenv("EAFT_PYTHON")
	if python == "" {
		t.Skip("EAFT_PYTHON names no Python with duckdb")
	}
	scores, tokens := os.Getenv("EAFT_ORACLE_SCORES"), os.Getenv("EAFT_ORACLE_TOKENS")
	if scores == "" {
		scores, tokens = scoreDemo(t)
	}
	for _, args := range [][]string{nil, {"--thresholds", "p<=0.1,h<=0.6", "--estimator", "full"}} {
		var out bytes.Buffer
		args = append([]string{scores, "--tokens", tokens, "--json", "--calibration", scores, "--what-if", "p=0.2,h=0.5", "--worst", "50", "--pairs", "1000"}, args...)
		if err := runInspect(t.Context(), args, cli.IO{Out: &out, Err: os.Stderr}); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "report.json")
		if err := os.WriteFile(path, out.Bytes(), 0o666); err != nil {
			t.Fatal(err)
		}
		said, err := exec.Command(python, "../../report/testdata/oracle.py", scores, tokens, path, scores).CombinedOutput()
		if err != nil {
			t.Errorf("%q: %v: %s", args, err, said)
		}
		t.Logf("%s", said)
	}
}

func scoreDemo(t *testing.T) (scores, tokens string) {
	t.Helper()
	dir := t.TempDir()
	corpus, scores, tokens := filepath.Join(dir, "corpus.jsonl"), filepath.Join(dir, "scores"), filepath.Join(dir, "tokens")
	data, err := demo.FS.ReadFile("corpus.jsonl")
	if err == nil {
		err = os.WriteFile(corpus, data, 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
	c, err := weights.Open("demo")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	l, err := tokenize.LanguageOf(c)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := tokenize.Run(t.Context(), l, tokenize.Options{Inputs: []string{corpus}, Out: tokens, Overlong: tokenize.Fail, Shards: 3, Threads: 1, Log: io.Discard}); err != nil {
		t.Fatal(err)
	}
	std := cli.IO{Out: io.Discard, Err: io.Discard}
	if err := runScore(t.Context(), []string{"--model", "demo", "--dtype", "f32", "--tokens", tokens, "--out", scores}, std); err != nil {
		t.Fatal(err)
	}
	return scores, tokens
}
