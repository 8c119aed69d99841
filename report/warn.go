package report

import (
	"fmt"

	"eaft/parquet"
)

// Below these a user should know: the paper's claim for top-K entropy is a
// correlation above 0.999, and where the top K hold little mass their entropy
// says little.
const (
	lowCorrelation = 0.99
	lowMass        = 0.9
)

func warn(r *Report, m *parquet.Manifest) {
	add := func(format string, a ...any) { r.Warnings = append(r.Warnings, fmt.Sprintf(format, a...)) }
	if r.Targets == 0 {
		add("there are no trained targets: nothing was measured")
		return
	}
	switch c := float64(r.Correlation); {
	case c != c:
		add("the correlation of top-%d and full entropy is undefined: too few or constant values", r.K)
	case c < lowCorrelation && r.Cuts.Estimator != "full":
		add("top-%d and full entropy correlate with %.3f only (below %.2f): --estimator full uses the whole distribution", r.K, c, lowCorrelation)
	}
	if mass := float64(r.MeanTopKMass); mass < lowMass {
		add("the %d most likely tokens hold %.3f of the probability on average (below %.1f): low gate entropy says little here; score again with a larger K", r.K, mass, lowMass)
	}
	if r.Conflicts == 0 {
		add("no target is a confident conflict under these cuts: this model knows the data, or the cuts are too strict")
	}
	if m.Limit > 0 {
		add("a trial: only the first %d rows were scored (--limit)", m.Limit)
	}
	if r.Tokens == "" {
		add("the tokens were not found: no context and no sources; give their folder with --tokens")
	}
	if !r.spelled {
		add("no _tokenizer.json beside the scores or tokens: tokens are shown as ids")
	}
}
