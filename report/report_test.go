package report

import (
	"bytes"
	"flag"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"eaft/eaft"
	"eaft/internal/cli"
	"eaft/parquet"
)

var update = flag.Bool("update", false, "write the golden files")

func options(t testing.TB, scores, thresholds string) Options {
	th, err := eaft.ParseThresholds(thresholds)
	must(t, err)
	return Options{Scores: scores, Thresholds: th, Estimator: eaft.Renorm, Worst: 10, Pairs: 20}
}

func build(t *testing.T, o Options) *Report {
	t.Helper()
	r, err := Build(t.Context(), o)
	must(t, err)
	return r
}

func near(t *testing.T, what string, got Num, want float64) {
	t.Helper()
	if !(math.Abs(float64(got)-want) <= 1e-6*max(1, math.Abs(want))) { // float32 columns
		t.Errorf("%s = %v, want %v", what, got, want)
	}
}

func TestByHand(t *testing.T) {
	for _, targets := range []string{"all", "trained"} {
		scores, _ := write(t, small, targets)
		r := build(t, options(t, scores, "p<=0.05,h<=0.15"))
		if r.Rows != 4 || r.Targets != 8 || r.Conflicts != 3 || r.ConflictRows != 2 || r.Counted != "trained" {
			t.Errorf("%s: totals %+v", targets, r)
		}
		near(t, "mean_logprob", r.MeanLogProb, -17.468252/8)
		near(t, "mean_h", r.MeanH, 1.01/8)
		near(t, "mean_topk_mass", r.MeanTopKMass, 7.1/8)
		near(t, "conflict_rate", r.ConflictRate, 3./8)
		near(t, "conflict_loss", r.ConflictLoss, 4.605170+3.218876+3.506558)
		if s := r.BySource; len(s) != 2 || s[0].Name != "x.jsonl" || s[0].Rows != 2 || s[0].Targets != 6 || s[0].Conflicts != 3 || s[1].Targets != 2 || s[1].Conflicts != 0 {
			t.Errorf("by source %+v", s)
		}
		if w := r.WorstRows; len(w) != 2 || w[0].Row != 1 || w[0].Conflicts != 2 || w[1].Row != 0 {
			t.Fatalf("worst rows %+v", w)
		}
		near(t, "loss of the worst row", r.WorstRows[0].ConflictLoss, 3.218876+3.506558)
		if p := r.Pairs; len(p) != 3 || p[0].Expected != 2 || p[0].Given != 7 || p[0].GivenText != `\x1b` || p[0].ExpectedText != "⏎" || p[1].ExpectedText != "·Paris" || p[1].GivenText != "·Lyon" {
			t.Errorf("pairs %+v", p)
		}
		near(t, "mean p expected", r.Pairs[1].MeanExpectedProb, .93)
		near(t, "mean p given", r.Pairs[1].MeanGivenProb, .01)
	}
}

// The quartile of eight values lies 3/4 of the way from the second to the third.
func TestQuantiles(t *testing.T) {
	scores, _ := write(t, small, "all")
	o := options(t, scores, "q=0.25")
	r := build(t, o)
	near(t, "prob", r.Cuts.Prob, .0275)
	near(t, "h", r.Cuts.H, .0275)
	if r.Conflicts != 0 {
		t.Errorf("%d conflicts, but the only one has little mass", r.Conflicts)
	}
	o.Thresholds.MinMass = .4
	if r := build(t, o); r.Conflicts != 1 || r.WorstRows[0].Row != 0 {
		t.Errorf("%d conflicts with min-mass 0.4, want 1", r.Conflicts)
	}
}

func TestWorstIsBounded(t *testing.T) {
	scores, _ := write(t, random(60), "all")
	o := options(t, scores, "p<=0.5,h<=0.5")
	o.Worst = 100
	all := build(t, o).WorstRows
	o.Worst = 7
	for i, r := range build(t, o).WorstRows {
		if r.Row != all[i].Row {
			t.Errorf("place %d: row %d, want %d", i, r.Row, all[i].Row)
		}
		if i > 0 && r.ConflictLoss > all[i-1].ConflictLoss {
			t.Errorf("place %d is out of order", i)
		}
	}
}

// rounded has numbers of 13 digits at most: the files are amd64's. On other CPUs
// math.Exp has other last bits, and products are joined to the sums they go into.
func rounded(page []byte) []byte {
	return regexp.MustCompile(`\d+\.\d{13,}`).ReplaceAllFunc(page, func(b []byte) []byte {
		x, err := strconv.ParseFloat(string(b), 64)
		if err != nil {
			panic(err)
		}
		return strconv.AppendFloat(nil, x, 'g', 13, 64)
	})
}

func TestGolden(t *testing.T) {
	scores, tokens := write(t, small, "all")
	r := build(t, options(t, scores, "p<=0.05,h<=0.15"))
	if r.Tokens != filepath.Join(scores, "..", "tokens") && r.Tokens != tokens {
		t.Errorf("tokens %q", r.Tokens)
	}
	r.Tokens = "tokens"
	var text, colour, asJSON bytes.Buffer
	must(t, Text(&text, r, false))
	must(t, Text(&colour, r, true))
	must(t, JSON(&asJSON, r))
	for name, got := range map[string][]byte{"report.txt": text.Bytes(), "report.json": asJSON.Bytes()} {
		path := filepath.Join("testdata", name)
		if *update {
			must(t, os.WriteFile(path, got, 0o666))
		}
		want, err := os.ReadFile(path)
		must(t, err)
		if runtime.GOARCH != "amd64" {
			got, want = rounded(got), rounded(want)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s differs; -update writes it:\n%s", path, got)
		}
	}
	if bytes.ContainsRune(text.Bytes(), '\x1b') || bytes.ContainsRune(asJSON.Bytes(), '\x1b') {
		t.Error("an escape reaches the terminal")
	}
	if !bytes.ContainsRune(colour.Bytes(), '\x1b') {
		t.Error("no colours")
	}
	for _, l := range strings.Split(text.String(), "\n") {
		if utf8.RuneCountInString(l) > width {
			t.Errorf("wider than %d: %q", width, l)
		}
	}
}

func TestWithoutTokens(t *testing.T) {
	scores, tokens := write(t, small, "trained")
	must(t, os.RemoveAll(tokens))
	must(t, os.Remove(filepath.Join(scores, "_tokenizer.json")))
	r := build(t, options(t, scores, "p<=0.05,h<=0.15"))
	if r.Targets != 8 || r.Conflicts != 3 || r.Pairs[1].ExpectedText != "<8>" || r.WorstRows[0].Pieces[0].Text != "<4>" {
		t.Errorf("%+v", r)
	}
	must(t, JSON(&bytes.Buffer{}, r))
}

func TestNothingTrained(t *testing.T) {
	scores, _ := write(t, small[3:], "trained")
	r := build(t, options(t, scores, ""))
	var b bytes.Buffer
	must(t, JSON(&b, r))
	if r.Targets != 0 || len(r.Warnings) == 0 || !strings.Contains(b.String(), `"mean_logprob": null`) || !strings.Contains(b.String(), "\"prob\": null,\n    \"h\": null") {
		t.Errorf("%s", b.String())
	}
	must(t, Text(&b, r, false))
	if _, err := Failed(r, []Condition{{path: "cuts.prob", op: "<", bound: 1}}); err == nil {
		t.Error("a cut of nothing is a number")
	}
	d, err := BuildDiff(t.Context(), options(t, scores, ""), scores)
	must(t, err)
	if !math.IsNaN(float64(d.MaxAbsDelta)) || !math.IsNaN(float64(d.Cuts.Prob)) {
		t.Errorf("diff of nothing: %+v", d)
	}
	scores, _ = write(t, nil, "trained")
	if _, err := FindRow(t.Context(), options(t, scores, ""), "0"); cli.Code(err) != cli.ExitUsage || !strings.Contains(err.Error(), "no rows") {
		t.Errorf("a row of none: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	refused := func(name string, o Options, want ...string) {
		t.Helper()
		_, err := Build(t.Context(), o)
		if cli.Code(err) != cli.ExitUsage {
			t.Errorf("%s: %v", name, err)
			return
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %q lacks %q", name, err, w)
			}
		}
	}
	scores, tokens := write(t, small, "all")
	o := options(t, scores, "")
	other := append([]testRow{}, small...)
	other[2].ids, other[2].labels = []int32{0, 5, 1}, []int32{-100, 5, 1}
	_, o.Tokens = write(t, other, "all")
	refused("other content", o, "hashes.tokens")

	forget := func(dir string) { // so that the rows themselves must be compared
		m, err := parquet.ReadManifest(dir)
		must(t, err)
		delete(m.Hashes, "tokens")
		must(t, parquet.WriteManifest(dir, m))
	}
	forget(scores)
	refused("other token", o, "part-00001-of-00002", "row 2", "pos 2", "6", "1")
	other = append([]testRow{}, small...)
	other[1].id = "z"
	_, o.Tokens = write(t, other, "all")
	refused("other id", o, "part-00000-of-00002", "row 1", "id", `"z"`)
	_, o.Tokens = write(t, small[:2], "all")
	refused("fewer tokens", o, "part-00000-of-00002", "no tokens of its name")
	_, o.Tokens = write(t, append(small[:4:4], testRow{id: "e", ids: []int32{1}, labels: []int32{-100}}), "all")
	refused("more tokens", o, "part-00000-of-00002", "no tokens of its name")
	_, o.Tokens = write(t, small[:3], "all")
	refused("a row less", o, "part-00001-of-00002", "1 rows", "has 2")
	o.Tokens = filepath.Join(tokens, "none")
	refused("no such folder", o, "none")
	must(t, os.RemoveAll(tokens))
	o.Tokens = ""
	refused("all targets without labels", o, "targets", "--tokens")
	refused("no scores", options(t, filepath.Join(scores, "none"), ""))
}

// DuckDB and numpy read the same files and must find the same numbers, and must
// notice when one is changed.
func TestDuckDB(t *testing.T) {
	python := os.Getenv("EAFT_PYTHON")
	if python == "" {
		t.Skip("EAFT_PYTHON names no Python with duckdb")
	}
	for name, rows := range map[string][]testRow{"small": small, "random": random(300), "nothing trained": small[3:]} {
		for _, thresholds := range []string{"q=0.3", "p<=0.4,h<=0.3"} {
			for _, est := range []eaft.Estimator{eaft.Renorm, eaft.Trunc, eaft.Full} {
				if name != "random" && (thresholds[0] == 'p' || est != eaft.Renorm) || thresholds[0] == 'p' && est != eaft.Renorm {
					continue
				}
				scores, tokens := write(t, rows, "all")
				o := options(t, scores, thresholds)
				o.Estimator, o.Calibration, o.WhatIf, o.Pairs = est, scores, []eaft.Cuts{{Prob: 0.2, H: 0.3}}, 1000
				if name == "nothing trained" {
					o.Calibration = ""
				}
				r := build(t, o)
				compare := func() (string, error) {
					var b bytes.Buffer
					must(t, JSON(&b, r))
					path := filepath.Join(t.TempDir(), "report.json")
					must(t, os.WriteFile(path, b.Bytes(), 0o666))
					args := []string{"testdata/oracle.py", scores, tokens, path}
					if o.Calibration != "" {
						args = append(args, o.Calibration)
					}
					out, err := exec.Command(python, args...).CombinedOutput()
					return string(out), err
				}
				if out, err := compare(); err != nil {
					t.Errorf("%s, %s, %s: %v: %s", name, thresholds, est, err, out)
				}
				if name == "small" {
					r.ByPosition[0].Low += 1e-4
					if out, err := compare(); err == nil || !strings.Contains(out, "by_position.1.low") {
						t.Errorf("a changed number passes: %v: %s", err, out)
					}
				}
			}
		}
	}
}

func TestVisible(t *testing.T) {
	for in, want := range map[string]string{
		"a b\n\t": "a b⏎⇥", "\x1b[2J\x7f": `\x1b[2J\x7f`, "é\xc3": `é\xc3`, "\u202e\u200b\u009b\r": `\u202e\u200b\u009b\x0d`, "日本": "日本",
	} {
		if got := Visible([]byte(in)); got != want {
			t.Errorf("Visible(%q) = %q, want %q", in, got, want)
		}
	}
}
