package train

import (
	"fmt"
	"io"
	"path"
)

// HeldOutSummary is what became of the held-out sets: the part of summary.json.
type HeldOutSummary struct {
	Base    []Evaluation `json:"base"`
	Last    []Evaluation `json:"last"`
	Merged  *Merged      `json:"merged,omitempty"` // with --merge: Last and the best one are of adapters
	Best    string       `json:"best,omitempty"`   // as Options.Best
	Step    int          `json:"best_step,omitempty"`
	Value   float64      `json:"best_value,omitempty"`
	Stopped string       `json:"stopped,omitempty"` // why the run ended early
}

// summary is nil without held-out sets.
func (h *heldOut) summary(stopped string, merged *Merged) *HeldOutSummary {
	if h == nil {
		return nil
	}
	return &HeldOutSummary{Base: h.base, Last: h.Last, Merged: merged, Best: h.o.Best, Step: h.BestStep, Value: h.BestValue, Stopped: stopped}
}

// table prints the summary behind the run's own.
func (s *HeldOutSummary) table(w io.Writer) {
	if s == nil {
		return
	}
	fmt.Fprintf(w, "\n%-20s %8s %9s %9s %9s %9s %9s\n", "held out", "targets", "loss", "was", "accuracy", "as base", "KL")
	rows := func(lines []Evaluation, of string) {
		for i, e := range lines {
			fmt.Fprintf(w, "%-20s %8d %9.4f %9.4f %9.4f %9.4f %9.4f\n", e.Name+of, e.Targets, e.Loss, s.Base[i].Loss, e.Accuracy, e.Agreement, e.KL)
		}
	}
	in := BestName
	if m := s.Merged; m == nil {
		rows(s.Last, "")
	} else {
		in = path.Join(BestName, AdapterName)
		rows(s.Last, ", "+AdapterName)
		rows(m.Last, ", merged "+m.Type)
		rows(m.Best, ", merged "+BestName)
	}
	if s.Best != "" {
		fmt.Fprintf(w, "best        %s %.6g at step %d, in %s\n", s.Best, s.Value, s.Step, in)
	}
	if s.Stopped != "" {
		fmt.Fprintf(w, "stopped     early: %s\n", s.Stopped)
	}
}
