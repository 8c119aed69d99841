package train

import (
	"fmt"
	"io"
)

// Summary is summary.json: the closing table.
type Summary struct {
	Steps     int     `json:"steps"`
	Tokens    int64   `json:"tokens"`
	FirstLoss float64 `json:"first_loss"`
	LastLoss  float64 `json:"last_loss"`
}

func newSummary(in *inputs) *Summary { return &Summary{} }

func (s *Summary) add(m Metrics) {
	if s.Steps == 0 {
		s.FirstLoss = m.Loss
	}
	s.Steps++
	s.Tokens += m.Tokens
	s.LastLoss = m.Loss
}

func (s *Summary) close(steps []step) {}

// Table prints the summary.
func (s *Summary) Table(w io.Writer) error {
	_, err := fmt.Fprintf(w, "steps     %d\ntokens    %d\nloss      %.4f first step, %.4f last step\n", s.Steps, s.Tokens, s.FirstLoss, s.LastLoss)
	return err
}
