package report

import (
	"strings"
	"testing"

	"eaft/parquet"
)

// Each known failure of the method is said, and a sound report says nothing.
func TestWarnings(t *testing.T) {
	sound := func() *Report {
		return &Report{Targets: 1000, Conflicts: 10, ConflictRate: 0.01, Correlation: 0.999, MeanTopKMass: 0.99, Loss: 100, ConflictLoss: 5, K: 20,
			Tokens: "tok", spelled: true, Why: []Why{{Why: "format", Conflicts: 9}, {Why: "content", Conflicts: 1}}, Cuts: Cuts{Estimator: "renorm"}}
	}
	for want, change := range map[string]func(*Report){
		"":                   func(*Report) {},
		"correlate with":     func(r *Report) { r.Correlation = 0.98 },
		"score again with a": func(r *Report) { r.MeanTopKMass = 0.8 },
		"flat distributions": func(r *Report) { r.FlatShare = 0.2 },
		"degenerate":         func(r *Report) { r.SureShare = 0.6 },
		"syntax-heavy":       func(r *Report) { r.MarkupShare = 0.4 },
		"edits knowledge": func(r *Report) {
			r.ConflictLoss, r.Why = 40, []Why{{Why: "format", Conflicts: 1}, {Why: "repeated", Conflicts: 4}, {Why: "number", Conflicts: 2}, {Why: "content", Conflicts: 3}}
		},
		"poorly calibrated": func(r *Report) { r.Calibration = &Calibration{ECE: 0.1} },
		"no target":         func(r *Report) { r.Conflicts, r.ConflictRate, r.ConflictLoss = 0, 0, 0 },
		"were not found":    func(r *Report) { r.Tokens = "" },
	} {
		r := sound()
		change(r)
		warn(r, &parquet.Manifest{})
		if want == "" {
			if len(r.Warnings) > 0 {
				t.Errorf("a sound report warns: %q", r.Warnings)
			}
		} else if len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], want) {
			t.Errorf("%s: %q", want, r.Warnings)
		}
	}
}
