package train

import (
	"fmt"
	"io"

	"eaft/eaft"
)

// Summary is summary.json: the closing table.
type Summary struct {
	Steps        int             `json:"steps"`
	Tokens       int64           `json:"tokens"`     // of all visits
	FirstLoss    float64         `json:"first_loss"` // what is minimised, of the first step
	LastLoss     float64         `json:"last_loss"`
	FirstSFTLoss float64         `json:"first_sft_loss,omitempty"` // mean -ln p of the step's targets; 0: begun by a version that did not keep it
	LastSFTLoss  float64         `json:"last_sft_loss"`
	Conflicts    *Conflicts      `json:"conflicts,omitempty"` // with scores
	HeldOut      *HeldOutSummary `json:"held_out,omitempty"`
	k            int
}

// Conflicts say what became of the confident conflicts: targets by whether the
// base model and the model in training, when it saw their row last, are in
// confident conflict with them under the base annotation's cuts.
type Conflicts struct {
	Cuts       eaft.Cuts `json:"cuts"`
	Targets    int64     `json:"targets"` // of the rows that were visited
	Base       int64     `json:"base"`    // resolved + persisting
	Resolved   int64     `json:"resolved"`
	Persisting int64     `json:"persisting"`
	New        int64     `json:"new"`
}

// conflicts counts the targets of a row.
type conflicts struct {
	visited                   bool
	resolved, persisting, new int32
}

func newSummary(in *inputs, k int) *Summary {
	s := &Summary{k: k}
	if in.scores != nil {
		s.Conflicts = &Conflicts{Cuts: in.cuts}
	}
	return s
}

// add counts a step that is done and the conflicts of its rows.
func (s *Summary) add(m Metrics, rows []*row) {
	if s.Steps == 0 {
		s.FirstLoss, s.FirstSFTLoss = m.Loss, m.SFTLoss
	}
	s.Steps++
	s.Tokens += m.Tokens
	s.LastLoss, s.LastSFTLoss = m.Loss, m.SFTLoss
	if s.Conflicts == nil {
		return
	}
	for _, r := range rows {
		r.found = conflicts{visited: true}
		for i := range r.pos {
			was := s.conflict(r.base.logp[i], r.base.topk[i], r.base.mass[i])
			is := s.conflict(r.logp[i], r.topk[i], r.mass[i])
			switch {
			case was && is:
				r.found.persisting++
			case was:
				r.found.resolved++
			case is:
				r.found.new++
			}
		}
	}
}

// close sums up the conflicts of the rows that were visited.
func (s *Summary) close(rows []*row) {
	c := s.Conflicts
	if c == nil {
		return
	}
	*c = Conflicts{Cuts: c.Cuts}
	for _, r := range rows {
		if !r.found.visited {
			continue // --steps ended before its turn
		}
		c.Targets += int64(len(r.pos))
		c.Resolved += int64(r.found.resolved)
		c.Persisting += int64(r.found.persisting)
		c.New += int64(r.found.new)
	}
	c.Base = c.Resolved + c.Persisting
}

func (s *Summary) conflict(logp, topk, mass float32) bool {
	return eaft.Target{LogProb: logp, TopKEntropy: topk, TopKMass: mass}.Conflict(eaft.Renorm, s.k, s.Conflicts.Cuts)
}

// Table prints the summary.
func (s *Summary) Table(w io.Writer) error {
	defer s.HeldOut.table(w)
	_, err := fmt.Fprintf(w, "steps       %d\ntokens      %d\nloss        %.4f first step, %.4f last step  (what is minimised)\n", s.Steps, s.Tokens, s.FirstLoss, s.LastLoss)
	if s.FirstSFTLoss != 0 && err == nil {
		_, err = fmt.Fprintf(w, "sft loss    %.4f first step, %.4f last step  (mean -ln p of a target, to compare runs by)\n", s.FirstSFTLoss, s.LastSFTLoss)
	}
	c := s.Conflicts
	if c == nil || err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, `
Confident conflicts (p <= %.4g, h <= %.4g, top-k mass >= %.4g) among %d trained
targets: the base annotation against the model in training as it was when it
last saw each row, before that step's update
base        %d
resolved    %d%s
persisting  %d%s
new         %d
`, c.Cuts.Prob, c.Cuts.H, c.Cuts.MinMass, c.Targets, c.Base, c.Resolved, share(c.Resolved, c.Base), c.Persisting, share(c.Persisting, c.Base), c.New)
	return err
}

func share(n, of int64) string {
	if of == 0 {
		return ""
	}
	return fmt.Sprintf("  (%.1f%%)", 100*float64(n)/float64(of))
}
