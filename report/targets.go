package report

import (
	"context"
	"math"

	"eaft/eaft"
	"eaft/parquet"
)

// Target is one trained target with everything that is known of it.
type Target struct {
	Row          int64   `json:"row"`
	ID           string  `json:"id"`
	Source       string  `json:"source"`
	Role         string  `json:"role"`
	Pos          int32   `json:"pos"`
	Token        int32   `json:"token"`
	Text         string  `json:"text"`
	Class        string  `json:"class"`
	LogProb      float32 `json:"logprob"`
	Prob         Num32   `json:"prob"`
	Entropy      float32 `json:"entropy"`
	TopKEntropy  float32 `json:"topk_entropy"`
	Mass         float32 `json:"topk_mass"`
	H            Num32   `json:"h"`
	Rank         int32   `json:"rank"`
	Expected     int32   `json:"top1_id"`
	ExpectedText string  `json:"top1_text"`
	ExpectedProb Num32   `json:"top1_prob"`
	Conflict     bool    `json:"conflict"`
	Why          string  `json:"why"` // of a conflict, else ""

	// Descending, where the scores store them.
	TopKID      []int32   `json:"topk_id,omitempty"`
	TopKText    []string  `json:"topk_text,omitempty"`
	TopKLogProb []float32 `json:"topk_logprob,omitempty"`
}

// selection walks the targets that a Where chooses.
type selection struct {
	p     *pass
	o     Options
	k     int
	cuts  eaft.Cuts
	vocab *vocabulary
	where Where
	tally *tally // of all targets, or of none where no reason is asked for
	done  func() // with its progress
}

// newSelection finds the cuts and, with reasons, what is repeated: the reason of a
// target depends on the others. The progress of all that bears the command's name.
func newSelection(ctx context.Context, o Options, name string, where Where, reasons bool) (s *selection, err error) {
	p, err := open(o)
	if err != nil {
		return nil, err
	}
	vocab, err := p.vocabulary()
	if err != nil {
		return nil, err
	}
	looks := int64(1)
	if reasons = reasons && p.tokens != nil && vocab.t != nil; reasons {
		looks++
	}
	s = &selection{p: p, o: o, k: p.scores.Manifest.K, vocab: vocab, where: where, done: p.begin(o, name, looks)}
	defer func() {
		if err != nil {
			s.done()
		}
	}()
	if s.cuts, err = findCuts(ctx, p, o, s.k); err != nil {
		return s, err
	}
	if reasons {
		s.tally, err = count(ctx, p, &o, s.cuts, vocab)
	} else {
		s.tally = newTally(&o, s.k, s.cuts, vocab)
	}
	return s, err
}

// targets are the chosen targets of a row.
func (s *selection) targets(i int64, scores *parquet.ScoresRow, tok *parquet.TokensRow, counted []int) []Target {
	var list []Target
	var ids []int32
	if tok != nil {
		ids = tok.InputIDs
	}
	for _, j := range counted {
		prob, h, mass := point(scores, j, s.o.Estimator, s.k)
		_, class := s.tally.class(scores, tok, j)
		x := Target{Row: i, ID: scores.ID, Pos: scores.Pos[j], Token: scores.Token[j], Text: string(s.vocab.bytes(scores.Token[j])), Class: classNames[class],
			LogProb: scores.LogProb[j], Prob: Num32(prob), Entropy: scores.Entropy[j], TopKEntropy: scores.TopKEntropy[j], Mass: scores.TopKMass[j], H: Num32(h),
			Rank: scores.Rank[j], Expected: scores.Top1ID[j], ExpectedText: string(s.vocab.bytes(scores.Top1ID[j])), ExpectedProb: Num32(math.Exp(float64(scores.Top1LogProb[j]))),
			Conflict: s.cuts.Conflict(float64(prob), float64(h), mass)}
		x.TopKID, x.TopKLogProb = scores.TopK(j)
		for _, id := range x.TopKID {
			x.TopKText = append(x.TopKText, string(s.vocab.bytes(id)))
		}
		outside := false
		if tok != nil {
			x.Source = tok.Source
			outside = len(tok.Spans) > 0
			for _, span := range tok.Spans {
				if span.Start <= x.Pos && x.Pos < span.End {
					x.Role, outside = span.Role, false
					break
				}
			}
		}
		if x.Conflict && s.vocab.t != nil {
			x.Why = whyNames[s.tally.reason(x.Token, x.Expected, outside, ids, x.Pos)]
		}
		if s.where.matches(&x) {
			list = append(list, x)
		}
	}
	return list
}
