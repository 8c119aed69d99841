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

	rows, n          int64
	logProb, h, mass float64 // sums
	corr             eaft.Correlation
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

// gate is the normalised entropy of a target by the estimator renorm.
func (a *stats) gate(s *parquet.ScoresRow, i int) float64 {
	return eaft.GateEntropy(eaft.Renorm, float64(s.TopKEntropy[i]), float64(s.TopKMass[i]), float64(s.Entropy[i]), a.k)
}

func prob(s *parquet.ScoresRow, i int) float32 { return float32(math.Exp(float64(s.LogProb[i]))) }

func (a *stats) summary() (Summary, error) {
	var probs, hs eaft.Sketch
	err := a.look(false, func(s *parquet.ScoresRow, i int) {
		a.n++
		h := a.gate(s, i)
		probs.Add(prob(s, i))
		hs.Add(float32(h))
		a.logProb, a.h, a.mass = a.logProb+float64(s.LogProb[i]), a.h+h, a.mass+float64(s.TopKMass[i])
		a.corr.Add(float64(s.TopKEntropy[i]), float64(s.Entropy[i]))
	})
	sum := Summary{Rows: a.rows, Targets: a.n}
	if err != nil || a.n == 0 {
		return sum, err
	}
	thresholds := eaft.DefaultThresholds()
	p, h := probs.Exact(thresholds.Quantile), hs.Exact(thresholds.Quantile)
	err = a.look(true, func(s *parquet.ScoresRow, i int) {
		p.Add(prob(s, i))
		h.Add(float32(a.gate(s, i)))
	})
	if err != nil {
		return sum, err
	}
	cuts := eaft.Cuts{Prob: p.Value(), H: h.Value(), MinMass: thresholds.MinMass}
	err = a.look(true, func(s *parquet.ScoresRow, i int) {
		if cuts.Conflict(float64(prob(s, i)), float64(float32(a.gate(s, i))), float64(s.TopKMass[i])) {
			sum.Conflicts++
		}
	})
	n := float64(sum.Targets)
	sum.Cuts = &cuts
	sum.MeanLogProb, sum.MeanH, sum.MeanMass, sum.Rate = ratio(a.logProb, n), ratio(a.h, n), ratio(a.mass, n), ratio(float64(sum.Conflicts), n)
	if c := a.corr.Value(); !math.IsNaN(c) {
		sum.Correlation = &c
	}
	return sum, err
}

func ratio(sum, n float64) *float64 {
	v := sum / n
	return &v
}
