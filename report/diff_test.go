package report

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"eaft/internal/cli"
	"eaft/parquet"
)

// shift is rows in which a model is surer by d nats of all but row a.
func shift(rows []testRow, d float64) []testRow {
	var out []testRow
	for i, r := range rows {
		ts := append([]target(nil), r.targets...)
		for j := range ts {
			if i > 0 {
				ts[j].p *= math.Exp(d)
			} else {
				ts[j].p *= math.Exp(-1)
			}
		}
		r.targets = ts
		out = append(out, r)
	}
	return out
}

func TestDiff(t *testing.T) {
	a, _ := write(t, small, "all")
	b, _ := write(t, shift(small, 0.5), "all")
	o := options(t, a, "p<=0.05,h<=0.15")
	d, err := BuildDiff(t.Context(), o, b)
	must(t, err)
	// Row 0 has 4 targets, row 1 two, row 2 two: -1 for four, +0.5 for four.
	near(t, "mean change", d.DeltaLogProb.Mean, -0.25)
	// Sums -4, 1, 1 over 4, 2, 2 targets around -0.25: residuals -3, 1.5, 1.5.
	near(t, "standard error", d.DeltaLogProb.SE, math.Sqrt((9+2.25+2.25)*3/2)/8)
	near(t, "perplexity", d.PerplexityRatio, math.Exp(0.25))
	near(t, "largest", d.MaxAbsDelta, 1)
	near(t, "same top", d.SameTop1.Mean, 1)
	// 0.04 and 0.03 become 0.066 and 0.049; 0.02 has no mass; 0.01 becomes 0.0037.
	if d.ConflictsA != 3 || d.ConflictsB != 2 || d.Resolved != 1 || d.New != 0 || d.Kept != 2 {
		t.Errorf("conflicts %+v", d)
	}
	if len(d.WorstRows) != 1 || d.WorstRows[0].Row != 0 || len(d.WorstTokens) != 4 || d.DeltaQuantiles.Fell != 4 || d.DeltaQuantiles.Rose != 4 {
		t.Errorf("worst %+v", d)
	}
	same, err := BuildDiff(t.Context(), o, a)
	must(t, err)
	if same.MaxAbsDelta != 0 || same.Kept != same.ConflictsA || same.New+same.Resolved != 0 {
		t.Errorf("with itself %+v", same)
	}
	other := append([]testRow{}, small...)
	other[2].ids, other[2].labels = []int32{0, 5, 1}, []int32{-100, 5, 1}
	c, _ := write(t, other, "all")
	if _, err := BuildDiff(t.Context(), o, c); cli.Code(err) != cli.ExitUsage || !strings.Contains(err.Error(), "hashes.tokens") {
		t.Errorf("other tokens: %v", err)
	}
	for _, dir := range []string{a, c} { // without hashes the rows must tell
		m, err := parquet.ReadManifest(dir)
		must(t, err)
		delete(m.Hashes, "tokens")
		must(t, parquet.WriteManifest(dir, m))
	}
	if _, err := BuildDiff(t.Context(), o, c); cli.Code(err) != cli.ExitUsage || !strings.Contains(err.Error(), "row 2") {
		t.Errorf("other tokens: %v", err)
	}
}

// One row says nothing of how rows differ, whatever rounding leaves of its residual.
func TestDiffOfOneRow(t *testing.T) {
	for seed := range 30 {
		row := random(seed + 1)[seed:]
		a, _ := write(t, row, "all")
		b, _ := write(t, shift(append([]testRow{{}}, row...), 0.1+float64(seed)/7)[1:], "all")
		d, err := BuildDiff(t.Context(), options(t, a, ""), b)
		must(t, err)
		for name, e := range map[string]Estimate{"logprob": d.DeltaLogProb, "prob": d.DeltaProb, "entropy": d.DeltaEntropy, "top": d.SameTop1} {
			if d.Targets == 0 || math.IsNaN(float64(e.Mean)) || !math.IsNaN(float64(e.SE)) {
				t.Errorf("seed %d, %s: %v of %d targets", seed, name, e, d.Targets)
			}
		}
	}
}

func TestWhere(t *testing.T) {
	x := &Target{Prob: 0.25, H: 0.5, Class: "digit", Source: "math and more.jsonl", Conflict: true, Pos: 7}
	for s, want := range map[string]bool{"": true, "p<=0.25": true, "p<0.25": false, "h>0.4 and pos=7": true, "h>0.4 and pos!=7": false, "class=digit": true,
		"class!=digit": false, "source~math": true, `source="math"`: false, "conflict": true, "not conflict": false} {
		w, err := ParseWhere(s)
		must(t, err)
		if got := w.matches(x); got != want {
			t.Errorf("%q: %v", s, got)
		}
	}
	for _, s := range []string{"p", "p~1", "p<x", "q<1", "id<a", "class=digits", "why=repeat", "why!=x", "p<NaN", "p!1"} {
		if _, err := ParseWhere(s); err == nil {
			t.Errorf("%q is accepted", s)
		}
	}
}

// What is exported reads back in pyarrow, polars and DuckDB as it stands in the report.
func TestExportIsRead(t *testing.T) {
	python := os.Getenv("EAFT_PYTHON")
	if python == "" {
		t.Skip("EAFT_PYTHON names no Python with pyarrow, polars and duckdb")
	}
	scores, _ := write(t, random(100), "all")
	o := options(t, scores, "p<=0.5,h<=0.4")
	r := build(t, o)
	dir := t.TempDir()
	for _, format := range Formats {
		var b bytes.Buffer
		must(t, Export(t.Context(), &b, o, Where{}, format))
		must(t, os.WriteFile(filepath.Join(dir, "t."+format), b.Bytes(), 0o666))
	}
	cmd := exec.Command(python, "testdata/read_export.py", dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	must(t, err)
	var read map[string]struct {
		Rows, Conflicts int64
		LogProb         float64
	}
	must(t, json.Unmarshal(out, &read))
	for _, name := range []string{"pyarrow", "polars", "duckdb", "jsonl", "csv"} {
		x := read[name]
		if x.Rows != r.Targets || x.Conflicts != r.Conflicts || math.Abs(x.LogProb-float64(r.MeanLogProb)) > 1e-6 {
			t.Errorf("%s reads %+v, the report has %d targets, %d conflicts, mean %v", name, x, r.Targets, r.Conflicts, r.MeanLogProb)
		}
	}
}
