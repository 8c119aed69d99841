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
	sureH          = 0.01 // a gate entropy of next to nothing
	manySure       = 0.5
	manyMarkup     = 0.3
	poorECE        = 0.05
)

// Knowledge-editing corpora: most conflicts are of content, they are rare, and
// much of the loss stands on them.
const (
	editContent = 0.7
	editRate    = 0.15
	editLoss    = 0.3
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
	if flat := float64(r.FlatShare); flat > 0.1 && float64(r.MeanTopKMass) >= lowMass {
		add("flat distributions: for %s of the targets the %d most likely tokens hold less than %.1f of the probability; their h says little (--estimator full)", percent(flat), r.K, lowMass)
	}
	if sure := float64(r.SureShare); sure > manySure {
		add("degenerate distributions: %s of the targets have h < %.2f; entropy weights would train on the few others alone", percent(sure), sureH)
	}
	if markup := float64(r.MarkupShare); markup > manyMarkup {
		add("syntax-heavy data: %s of the weight that a gate takes away stands on markup tokens, which a model may have to learn as they are", percent(markup))
	}
	if content, loss := r.contentShare(), float64(r.ConflictLoss)/float64(r.Loss); content >= editContent && float64(r.ConflictRate) <= editRate && loss >= editLoss {
		add("this looks like a corpus that edits knowledge: %s of the conflicts are of content and %s of the loss stands on %s of the tokens; entropy weights would keep the model from learning just these", percent(content), percent(loss), percent(float64(r.ConflictRate)))
	}
	if c := r.Calibration; c != nil && float64(c.ECE) > poorECE {
		add("a poorly calibrated base: on the calibration text the expected calibration error of its top token is %.3f (above %.2f); its confidence, and with it h, is not to be taken at its word", float64(c.ECE), poorECE)
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

// contentShare is how many of the conflicts are of content: one word or number
// for another, in one row or in many.
func (r *Report) contentShare() float64 {
	var n int64
	for _, w := range r.Why {
		if w.Why == whyNames[whyContent] || w.Why == whyNames[whyRepeated] || w.Why == whyNames[whyNumber] {
			n += w.Conflicts
		}
	}
	return float64(n) / float64(max(r.Conflicts, 1))
}
