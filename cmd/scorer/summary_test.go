package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"eaft/internal/cli"
	"eaft/parquet"
)

// What a run closes with is what its report says: digit by digit, but for the
// correlation, which the report gathers in parts.
func TestSummaryIsTheReports(t *testing.T) {
	scores, tokens := scoreDemo(t)
	m, err := parquet.ReadManifest(scores)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := runInspect(t.Context(), []string{scores, "--tokens", tokens, "--json"}, cli.IO{Out: &out, Err: io.Discard}); err != nil {
		t.Fatal(err)
	}
	var summary, report map[string]json.RawMessage
	if err := json.Unmarshal(m.Summary, &summary); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		t.Fatal(err)
	}
	if len(summary) < 9 || len(m.Shards) < 2 {
		t.Fatalf("a summary of %d fields, %d shards", len(summary), len(m.Shards))
	}
	for name, want := range summary {
		have := report[name]
		if name == "topk_full_correlation" {
			var x, y float64
			if err := errors.Join(json.Unmarshal(have, &x), json.Unmarshal(want, &y)); err != nil || math.Abs(x-y) > 1e-12 {
				t.Errorf("%s: the report says %v, the summary %v, %v", name, x, y, err)
			}
		} else if name != "cuts" && string(have) != string(want) {
			t.Errorf("%s: the report says %s, the summary %s", name, have, want)
		}
	}
	for _, x := range []struct {
		change float64 // of mean_h
		ok     bool
	}{{2e-8, true}, {1e-4, false}} {
		var meanH float64
		if err := json.Unmarshal(summary["mean_h"], &meanH); err != nil {
			t.Fatal(err)
		}
		changed := *m
		changed.Summary = bytes.Replace(m.Summary, summary["mean_h"], fmt.Appendf(nil, "%v", meanH+x.change), 1)
		if err := parquet.WriteManifest(scores, &changed); err != nil {
			t.Fatal(err)
		}
		err := runVerify(t.Context(), []string{scores, "--tokens", tokens}, cli.IO{Out: io.Discard, Err: io.Discard})
		if x.ok != (err == nil) || err != nil && (cli.Code(err) != cli.ExitUsage || !strings.Contains(err.Error(), "summary is")) {
			t.Errorf("a mean_h that is %v larger: %v", x.change, err)
		}
	}
}

// Scores beside which another tokenizer lies would be shown with other texts.
func TestVerifyTokenizer(t *testing.T) {
	scores, tokens := scoreDemo(t)
	verify := func() error {
		return runVerify(t.Context(), []string{scores, "--tokens", tokens}, cli.IO{Out: io.Discard, Err: io.Discard})
	}
	if err := verify(); err != nil {
		t.Fatal(err)
	}
	other, err := os.ReadFile("../../report/testdata/tokenizer.json")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(scores, parquet.TokenizerName)
	if err := os.WriteFile(path, other, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := verify(); cli.Code(err) != cli.ExitUsage || !strings.Contains(err.Error(), path+": it has the hash") {
		t.Error(err)
	}
}
