package scorer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"

	"eaft/eaft"
	"eaft/internal/store"
	"eaft/parquet"
)

// lowCorrelation is where the entropy of the top K stops standing for the whole
// distribution's. The paper reports more than 0.999.
const lowCorrelation = 0.99

// Summary describes the trained targets of a dataset, whatever else was scored.
// What is undefined, such as a mean of nothing, is nil.
type Summary struct {
	Rows        int64      `json:"rows"`
	Targets     int64      `json:"targets"`
	MeanLogProb *float64   `json:"mean_logprob"` // nats
	MeanH       *float64   `json:"mean_h"`       // gate entropy, estimator renorm
	Correlation *float64   `json:"topk_full_correlation"`
	MeanMass    *float64   `json:"mean_topk_mass"`
	Cuts        *eaft.Cuts `json:"cuts"`
	Conflicts   int64      `json:"conflicts"`
	Rate        *float64   `json:"conflict_rate"`

	// Of this run, so not for the manifest; 0 if it had nothing to do.
	Work            Work    `json:"-"`
	TokensPerSecond float64 `json:"-"` // of the rows, computed or not
}

// Work is what a run was given and what it had to run through the model. Tokens
// that rows begin with alike are computed once, those after a row's last target
// not at all.
type Work struct {
	Tokens   int64 // of the rows
	Computed int64
}

func (w Work) String() string {
	return fmt.Sprintf("%d tokens, %.1f%% spared", w.Tokens, 100*float64(w.Tokens-w.Computed)/float64(max(w.Tokens, 1)))
}

func (s Summary) json() ([]byte, error) { return json.Marshal(s) }

// meansApart is what means of the same scores may differ by: earlier versions have
// rounded while they added up, and h only then, of which float32 keeps 6e-8.
const meansApart = 1e-6

// fits reports whether two summaries are of the same scores.
func (s Summary) fits(o Summary) bool {
	near := func(x, y *float64) bool {
		return x == nil && y == nil || x != nil && y != nil && math.Abs(*x-*y) <= meansApart
	}
	cuts := s.Cuts == nil && o.Cuts == nil || s.Cuts != nil && o.Cuts != nil && *s.Cuts == *o.Cuts
	return s.Rows == o.Rows && s.Targets == o.Targets && s.Conflicts == o.Conflicts && cuts && near(s.Rate, o.Rate) &&
		near(s.MeanLogProb, o.MeanLogProb) && near(s.MeanH, o.MeanH) && near(s.MeanMass, o.MeanMass) && near(s.Correlation, o.Correlation)
}

// LowCorrelation reports that the top K misses much of the entropy.
func (s Summary) LowCorrelation() bool {
	return s.Correlation != nil && *s.Correlation < lowCorrelation
}

// WriteText prints the summary for people.
func (s Summary) WriteText(w io.Writer) error {
	_, err := fmt.Fprintf(w, "rows          %d\ntargets       %d trained\nmean logprob  %s\nmean h        %s\ntop-K mass    %s\ncorrelation   %s of top-K and full entropy\n",
		s.Rows, s.Targets, number(s.MeanLogProb), number(s.MeanH), number(s.MeanMass), number(s.Correlation))
	if err == nil && s.Cuts != nil {
		_, err = fmt.Fprintf(w, "conflicts     %d (%.2f%%) with p <= %.4g, h <= %.4g, top-K mass >= %.4g\n",
			s.Conflicts, 100**s.Rate, s.Cuts.Prob, s.Cuts.H, s.Cuts.MinMass)
	}
	return err
}

func number(x *float64) string {
	if x == nil {
		return "undefined"
	}
	return fmt.Sprintf("%.4f", *x)
}

// stats gathers the trained targets of scores, in memory that does not grow with
// them: cuts are quantiles, for which all scores are looked at three times.
type stats struct {
	k              int
	targets        Targets // trained: every score is one of a trained target
	scores, tokens []string
	rows           int64
}

// visit is shown target i of a row.
type visit func(s *parquet.ScoresRow, i int)

// summarize reads all shards back, so that it cannot depend on which of them
// this run made.
func (r *run) summarize() (Summary, error) {
	a := &stats{k: r.o.K, targets: r.o.Targets, tokens: r.data.Shards}
	for _, path := range r.data.Shards {
		a.scores = append(a.scores, store.Join(r.o.Out, store.Base(path)))
	}
	return a.summary()
}

// look shows f the trained targets, which the tokens' labels name. Where only these
// are scored the tokens need not be looked at again.
func (a *stats) look(again bool, f visit) error {
	a.rows = 0
	for i, scores := range a.scores {
		tokens := a.tokens[i]
		if again && a.targets == Trained {
			tokens = ""
		}
		if err := a.shard(tokens, scores, f); err != nil {
			return err
		}
	}
	return nil
}

func (a *stats) shard(tokens, scores string, f visit) error {
	s, err := parquet.OpenScores(scores)
	if err != nil {
		return err
	}
	defer s.Close()
	var t *parquet.TokensReader
	if tokens != "" {
		if t, err = parquet.OpenTokens(tokens); err != nil {
			return err
		}
		defer t.Close()
	}
	for {
		var score parquet.ScoresRow
		if err := s.Next(&score); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		a.rows++
		var row parquet.TokensRow
		if t != nil {
			if err := t.Next(&row); err != nil {
				return fmt.Errorf("%s: row %q has no tokens: %w", scores, score.ID, err)
			}
			if row.ID != score.ID {
				return fmt.Errorf("%s: row %q stands where %s has %q", scores, score.ID, tokens, row.ID)
			}
		}
		for i, p := range score.Pos {
			if t != nil && int(p) >= len(row.Labels) {
				return fmt.Errorf("%s: row %q scores position %d of the %d that %s has; remove the shard and run again", scores, score.ID, p, len(row.Labels), tokens)
			}
			if t == nil || row.Labels[p] != parquet.Ignore {
				f(&score, i)
			}
		}
	}
}

// target is what the scores say of target i of a row.
func target(s *parquet.ScoresRow, i int) eaft.Target {
	return eaft.Target{LogProb: s.LogProb[i], Entropy: s.Entropy[i], TopKEntropy: s.TopKEntropy[i], TopKMass: s.TopKMass[i]}
}

func (a *stats) summary() (Summary, error) {
	var probs, hs eaft.Sketch
	var logProb, gates, mass eaft.Sum
	var corr eaft.Correlation
	n := int64(0)
	err := a.look(false, func(s *parquet.ScoresRow, i int) {
		prob, h := target(s, i).Point(eaft.Renorm, a.k)
		n++
		probs.Add(prob)
		hs.Add(h)
		logProb.Add(s.LogProb[i])
		gates.Add(h)
		mass.Add(s.TopKMass[i])
		corr.Add(float64(s.TopKEntropy[i]), float64(s.Entropy[i]))
	})
	sum := Summary{Rows: a.rows, Targets: n}
	if err != nil || n == 0 {
		return sum, err
	}
	thresholds := eaft.DefaultThresholds()
	p, h := probs.Exact(thresholds.Quantile), hs.Exact(thresholds.Quantile)
	err = a.look(true, func(s *parquet.ScoresRow, i int) {
		prob, gate := target(s, i).Point(eaft.Renorm, a.k)
		p.Add(prob)
		h.Add(gate)
	})
	if err != nil {
		return sum, err
	}
	cuts := eaft.Cuts{Prob: p.Value(), H: h.Value(), MinMass: thresholds.MinMass}
	err = a.look(true, func(s *parquet.ScoresRow, i int) {
		if target(s, i).Conflict(eaft.Renorm, a.k, cuts) {
			sum.Conflicts++
		}
	})
	sum.Cuts = &cuts
	sum.MeanLogProb, sum.MeanH, sum.MeanMass, sum.Rate = ratio(logProb.Value(), n), ratio(gates.Value(), n), ratio(mass.Value(), n), ratio(float64(sum.Conflicts), n)
	if c := corr.Value(); !math.IsNaN(c) {
		sum.Correlation = &c
	}
	return sum, err
}

func ratio(sum float64, n int64) *float64 {
	v := sum / float64(n)
	return &v
}
