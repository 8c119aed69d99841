package report

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"

	"eaft/eaft"
	"eaft/internal/cli"
	"eaft/parquet"
)

// Build reads the dataset twice: for means and cuts, then for conflicts. It
// holds two float32 for every trained target when the cuts are quantiles.
func Build(ctx context.Context, o Options) (*Report, error) {
	p, err := open(o)
	if err != nil {
		return nil, err
	}
	tokensDir := ""
	if p.tokens != nil {
		tokensDir = p.tokens.Dir
	}
	vocab, err := openVocabulary(o.Scores, tokensDir)
	if err != nil {
		return nil, err
	}
	r := &Report{Counted: "trained", K: p.scores.Manifest.K, Tokens: tokensDir, spelled: vocab.t != nil,
		BySource: []Source{}, WorstRows: []Row{}, Pairs: []Pair{}, Warnings: []string{}}
	cuts, err := totals(ctx, p, o, r)
	if err != nil {
		return nil, err
	}
	if err := conflicts(ctx, p, o, cuts, vocab, r); err != nil {
		return nil, err
	}
	warn(r, p.scores.Manifest)
	return r, nil
}

// open finds the scores and their tokens, and refuses a pair that differs.
func open(o Options) (*pass, error) {
	scores, err := parquet.OpenDataset(o.Scores, parquet.SchemaScores)
	if err != nil {
		return nil, usage(err)
	}
	m := scores.Manifest
	if m == nil {
		return nil, cli.Usagef("%s: no %s: these are no scores of ours; make them with scorer", o.Scores, parquet.ManifestName)
	}
	p := &pass{scores: scores, labels: m.Targets != "trained"}
	dir, asked := o.Tokens, o.Tokens != ""
	if !asked && m.Tokens != "" {
		dir = filepath.Join(o.Scores, filepath.FromSlash(m.Tokens))
		if filepath.IsAbs(m.Tokens) {
			dir = m.Tokens
		}
	}
	if dir != "" {
		if _, err := os.Stat(dir); err == nil || asked || !errors.Is(err, fs.ErrNotExist) {
			if p.tokens, err = parquet.OpenDataset(dir, parquet.SchemaTokens); err != nil {
				return nil, usage(err)
			}
		}
	}
	if p.tokens == nil {
		if p.labels {
			return nil, cli.Usagef("%s: targets is %q, so the labels of the tokens must say which targets are trained, and the tokens are not at %q; give their folder with --tokens", filepath.Join(o.Scores, parquet.ManifestName), m.Targets, dir)
		}
		return p, nil
	}
	if want := m.Hashes["tokens"]; want != "" && p.tokens.Manifest != nil {
		if have := p.tokens.Manifest.ContentHash(); have != want {
			return nil, cli.Usagef("%s: hashes.tokens is %s, but the tokens in %s are %s; give the tokens that were scored with --tokens, or score again", filepath.Join(o.Scores, parquet.ManifestName), want, dir, have)
		}
	}
	return p, nil
}

// usage marks an input that cannot be opened as wrong use, whatever the reason.
func usage(err error) error {
	var e *cli.Error
	if errors.As(err, &e) {
		return err
	}
	return cli.Usagef("%w", err)
}

// point is a target's probability, gate entropy and top-K mass; float32, so
// that a quantile and what is compared with it are the same numbers.
func point(s *parquet.ScoresRow, j int, est eaft.Estimator, k int) (prob, h float32, mass float64) {
	mass = float64(s.TopKMass[j])
	h = float32(eaft.GateEntropy(est, float64(s.TopKEntropy[j]), mass, float64(s.Entropy[j]), k))
	return float32(math.Exp(float64(s.LogProb[j]))), h, mass
}

// totals is the first pass: means, correlation and cuts.
func totals(ctx context.Context, p *pass, o Options, r *Report) (eaft.Cuts, error) {
	var logprob, sumH, sumMass float64
	var corr eaft.Correlation
	var probs, hs []float32
	err := p.run(ctx, func(_ int64, s *parquet.ScoresRow, _ *parquet.TokensRow, counted []int) error {
		r.Rows++
		r.Targets += int64(len(counted))
		for _, j := range counted {
			prob, h, mass := point(s, j, o.Estimator, r.K)
			logprob += float64(s.LogProb[j])
			sumH += float64(h)
			sumMass += mass
			corr.Add(float64(s.TopKEntropy[j]), float64(s.Entropy[j]))
			if o.Thresholds.Quantile > 0 {
				probs, hs = append(probs, prob), append(hs, h)
			}
		}
		return nil
	})
	n := float64(r.Targets) // 0/0 is NaN: no targets, no mean
	r.MeanLogProb, r.MeanH, r.MeanTopKMass = Num(logprob/n), Num(sumH/n), Num(sumMass/n)
	r.Loss, r.Correlation = Num(-logprob), Num(corr.Value())
	cuts := o.Thresholds.Cuts(probs, hs)
	r.Cuts = Cuts{Num(cuts.Prob), Num(cuts.H), Num(cuts.MinMass), o.Thresholds.String(), o.Estimator}
	return cuts, err
}

// conflicts is the second pass: everything that needs the cuts.
func conflicts(ctx context.Context, p *pass, o Options, cuts eaft.Cuts, vocab vocabulary, r *Report) error {
	r.Plane = newPlane(cuts.Prob, cuts.H)
	sources := map[string]*Source{}
	pairs := pairCounts{}
	worst := worstRows{n: o.Worst}
	var loss float64
	err := p.run(ctx, func(i int64, s *parquet.ScoresRow, t *parquet.TokensRow, counted []int) error {
		c := candidate{row: i, targets: len(counted), scores: s, tokens: t}
		for _, j := range counted {
			prob, h, mass := point(s, j, o.Estimator, r.K)
			r.Plane.add(float64(prob), float64(h))
			if cuts.Conflict(float64(prob), float64(h), mass) {
				c.conflicts = append(c.conflicts, j)
				c.loss -= float64(s.LogProb[j])
				pairs.add(s, j)
			}
		}
		n := int64(len(c.conflicts))
		r.Conflicts += n
		loss += c.loss
		if n > 0 {
			r.ConflictRows++
			worst.offer(c)
		}
		if t != nil {
			src := sources[t.Source]
			if src == nil {
				src = &Source{Source: Visible([]byte(t.Source))}
				sources[t.Source] = src
			}
			src.Rows++
			src.Targets += int64(len(counted))
			src.Conflicts += n
		}
		return nil
	})
	if err != nil {
		return err
	}
	r.ConflictLoss, r.ConflictRate = Num(loss), Num(float64(r.Conflicts)/float64(r.Targets))
	for _, s := range sources {
		s.ConflictRate = Num(float64(s.Conflicts) / float64(s.Targets))
		r.BySource = append(r.BySource, *s)
	}
	slices.SortFunc(r.BySource, func(a, b Source) int {
		return cmp.Or(-cmp.Compare(a.ConflictRate, b.ConflictRate), cmp.Compare(a.Source, b.Source))
	})
	for _, c := range worst.sorted() {
		r.WorstRows = append(r.WorstRows, c.describe(vocab, o.Estimator, r.K))
	}
	r.Pairs, r.PairsTotal = pairs.top(o.Pairs, vocab), len(pairs)
	return nil
}
