package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"eaft/internal/cli"
	"eaft/parquet"
)

// oneConflict is a dataset of scores with a single confident conflict.
func oneConflict(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	name := parquet.ShardName(0, 1)
	w, err := parquet.CreateScores(filepath.Join(dir, name), 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(&parquet.ScoresRow{ID: "a", Pos: []int32{1, 2}, Token: []int32{5, 6}, LogProb: []float32{-5, -0.1},
		Entropy: []float32{.1, .2}, TopKEntropy: []float32{.1, .2}, TopKMass: []float32{1, 1}, Top1LogProb: []float32{-.01, -.1},
		Rank: []int32{1, 0}, Top1ID: []int32{7, 6}}); err != nil {
		t.Fatal(err)
	}
	info, err := w.Commit(parquet.Meta{Schema: parquet.SchemaScores, K: 20, Targets: "trained"})
	if err != nil {
		t.Fatal(err)
	}
	if err := parquet.WriteManifest(dir, &parquet.Manifest{Schema: parquet.SchemaScores, Shards: []parquet.ShardInfo{info}, K: 20, Targets: "trained"}); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestInspect(t *testing.T) {
	dir := oneConflict(t)
	var out bytes.Buffer
	std := cli.IO{In: os.Stdin, Out: &out, Err: &out}
	if err := runInspect(t.Context(), []string{dir, "--json", "--thresholds", "p<=0.05,h<=0.1"}, std); err != nil {
		t.Fatal(err)
	}
	var r struct {
		Conflicts int
		Pairs     []struct{ Expected, Given int32 }
	}
	if err := json.Unmarshal(out.Bytes(), &r); err != nil || r.Conflicts != 1 || r.Pairs[0].Expected != 7 || r.Pairs[0].Given != 5 {
		t.Errorf("%v: %s", err, out.String())
	}
	// The order is a promise to those who read the first lines.
	at := 0
	for _, key := range []string{"rows", "targets", "mean_logprob", "mean_h", "topk_full_correlation", "mean_topk_mass", "cuts", "prob", "h", "conflicts", "conflict_rate"} {
		i := strings.Index(out.String()[at:], `"`+key+`":`)
		if i < 0 {
			t.Fatalf("%s is missing or out of order:\n%s", key, out.String())
		}
		at += i + 1
	}
	out.Reset()
	if err := runInspect(t.Context(), []string{dir}, std); err != nil || !strings.Contains(out.String(), "in 2 trained tokens") || strings.Contains(out.String(), "\x1b") {
		t.Errorf("%v: %s", err, out.String())
	}
}

func TestInspectRefusesWrongFlags(t *testing.T) {
	dir := oneConflict(t)
	for _, args := range [][]string{{}, {dir, dir}, {dir, "--jsn"}, {dir, "--thresholds", "p<0.1"}, {dir, "--min-mass", "1.5"},
		{dir, "--min-mass", "NaN"}, {dir, "--estimator", "x"}, {dir, "--worst", "-1"}, {dir, "--pairs", "-1"}, {dir, "--tokens", "none"}} {
		var out bytes.Buffer
		if err := runInspect(t.Context(), args, cli.IO{Out: &out, Err: &out}); cli.Code(err) != cli.ExitUsage || out.Len() > 0 {
			t.Errorf("%q: %v, printed %q", args, err, out.String())
		}
	}
}
