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

// stats gathers the trained targets.
type stats struct {
	k                 int
	rows              int64
	probs, hs, masses []float32
	logProb, h, mass  float64 // sums
	corr              eaft.Correlation
}

func (a *stats) add(s *parquet.ScoresRow, i int) {
	lp, mass := float64(s.LogProb[i]), float64(s.TopKMass[i])
	h := eaft.GateEntropy(eaft.Renorm, float64(s.TopKEntropy[i]), mass, float64(s.Entropy[i]), a.k)
	a.probs, a.hs = append(a.probs, float32(math.Exp(lp))), append(a.hs, float32(h))
	a.masses = append(a.masses, s.TopKMass[i])
	a.logProb, a.h, a.mass = a.logProb+lp, a.h+h, a.mass+mass
	a.corr.Add(float64(s.TopKEntropy[i]), float64(s.Entropy[i]))
}

// summarize reads all shards back, so that it cannot depend on which of them
// this run made.
func (r *run) summarize() (Summary, error) {
	a := &stats{k: r.o.K}
	for _, path := range r.data.Shards {
		if err := a.shard(path, store.Join(r.o.Out, store.Base(path))); err != nil {
			return Summary{}, err
		}
	}
	return a.summary(), nil
}

// shard adds the trained targets of a shard; the labels are in the tokens.
func (a *stats) shard(tokens, scores string) error {
	t, err := parquet.OpenTokens(tokens)
	if err != nil {
		return err
	}
	defer t.Close()
	s, err := parquet.OpenScores(scores)
	if err != nil {
		return err
	}
	defer s.Close()
	for {
		var row parquet.TokensRow
		var score parquet.ScoresRow
		if err := s.Next(&score); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := t.Next(&row); err != nil {
			return fmt.Errorf("%s: row %q has no tokens: %w", scores, score.ID, err)
		}
		if row.ID != score.ID {
			return fmt.Errorf("%s: row %q stands where %s has %q", scores, score.ID, tokens, row.ID)
		}
		a.rows++
		for i, p := range score.Pos {
			if int(p) >= len(row.Labels) {
				return fmt.Errorf("%s: row %q scores position %d of the %d that %s has; remove the shard and run again", scores, score.ID, p, len(row.Labels), tokens)
			}
			if row.Labels[p] != parquet.Ignore {
				a.add(&score, i)
			}
		}
	}
}

func (a *stats) summary() Summary {
	n := float64(len(a.probs))
	s := Summary{Rows: a.rows, Targets: int64(len(a.probs))}
	if len(a.probs) == 0 {
		return s
	}
	// Cuts sorts what it is given, and the pairs must stay together.
	cuts := eaft.DefaultThresholds().Cuts(append([]float32(nil), a.probs...), append([]float32(nil), a.hs...))
	for i, p := range a.probs {
		if cuts.Conflict(float64(p), float64(a.hs[i]), float64(a.masses[i])) {
			s.Conflicts++
		}
	}
	s.Cuts = &cuts
	s.MeanLogProb, s.MeanH, s.MeanMass, s.Rate = ratio(a.logProb, n), ratio(a.h, n), ratio(a.mass, n), ratio(float64(s.Conflicts), n)
	if c := a.corr.Value(); !math.IsNaN(c) {
		s.Correlation = &c
	}
	return s
}

func ratio(sum, n float64) *float64 {
	v := sum / n
	return &v
}
