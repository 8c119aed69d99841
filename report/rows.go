package report

import (
	"math"
	"slices"

	"eaft/parquet"
)

// shownRow is a row with everything that is known of its targets, for HTML.
type shownRow struct {
	Row     int64
	ID      string
	Source  string
	Loss    float64
	Targets []shownTarget
	Before  []string // text before each target since the last, and after the last
}

type shownTarget struct {
	given, expected string
	prob, h, mass   float32
	expectedProb    float32
	class, why      int
	rank            int32

	likeliest      []string // where the scores store them, descending
	likeliestProbs []float32
}

// whole describes all of a candidate's row.
func (c *candidate) whole(t *tally) shownRow {
	s := c.scores
	r := shownRow{Row: c.row, ID: Visible([]byte(s.ID)), Loss: c.loss}
	var ids []int32
	if c.tokens != nil {
		ids = c.tokens.InputIDs
		r.Source = Visible([]byte(c.tokens.Source))
	}
	outside := func(pos int32) bool {
		if c.tokens == nil || len(c.tokens.Spans) == 0 {
			return false
		}
		return !slices.ContainsFunc(c.tokens.Spans, func(s parquet.Span) bool { return s.Start <= pos && pos < s.End })
	}
	done := 0 // tokens before this one are shown
	for j, pos := range s.Pos {
		if c.tokens != nil && c.tokens.Labels[pos] == parquet.Ignore {
			continue
		}
		before := ""
		if ids != nil {
			before = t.vocab.text(ids[done:pos])
		} else if int(pos) > done {
			before = "…"
		}
		done = int(pos) + 1
		prob, h, _ := point(s, j, t.o.Estimator, t.k)
		_, class := t.class(s, c.tokens, j)
		g := shownTarget{given: t.vocab.token(s.Token[j]), expected: t.vocab.token(s.Top1ID[j]), prob: prob, h: h, mass: s.TopKMass[j],
			expectedProb: float32(math.Exp(float64(s.Top1LogProb[j]))), class: class, why: whyUndecided, rank: s.Rank[j]}
		likeliest, logProbs := s.TopK(j)
		for n, id := range likeliest {
			g.likeliest = append(g.likeliest, t.vocab.token(id))
			g.likeliestProbs = append(g.likeliestProbs, float32(math.Exp(float64(logProbs[n]))))
		}
		if t.vocab.t != nil {
			g.why = t.reason(s.Token[j], s.Top1ID[j], outside(pos), ids, pos)
		}
		r.Before, r.Targets = append(r.Before, before), append(r.Targets, g)
	}
	rest := ""
	if done < len(ids) {
		rest = t.vocab.text(ids[done:])
	}
	r.Before = append(r.Before, rest)
	return r
}
