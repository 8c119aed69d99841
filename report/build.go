package report

import (
	"context"
	"errors"
	"io/fs"
	"math"

	"eaft/eaft"
	"eaft/internal/cli"
	"eaft/internal/store"
	"eaft/parquet"
)

// Build reads the dataset in memory that does not grow with it: once, and with
// cuts that are quantiles twice more, for the scores alone.
func Build(ctx context.Context, o Options) (*Report, error) {
	p, err := open(o)
	if err != nil {
		return nil, err
	}
	tokensDir := ""
	if p.tokens != nil {
		tokensDir = p.tokens.Dir
	}
	vocab, err := p.vocabulary()
	if err != nil {
		return nil, err
	}
	m := p.scores.Manifest
	defer p.begin(o, "inspect", 1)()
	cuts, err := findCuts(ctx, p, o, m.K)
	if err != nil {
		return nil, err
	}
	sum, err := count(ctx, p, &o, cuts, vocab)
	if err != nil {
		return nil, err
	}
	r := sum.report(tokensDir)
	if o.Calibration != "" {
		if r.Calibration, err = calibrate(ctx, o.Calibration, m); err != nil {
			return nil, err
		}
	}
	r.Made = Made{Visible([]byte(m.Model)), m.Hashes["model"], m.Hashes["tokens"], m.Hashes["tokenizer"], m.DType, m.ISA, m.Version}
	warn(r, m)
	return r, nil
}

// count looks at all targets.
func count(ctx context.Context, p *pass, o *Options, cuts eaft.Cuts, vocab *vocabulary) (*tally, error) {
	k := p.scores.Manifest.K
	parts := make([]*tally, len(p.scores.Shards))
	sum := newTally(o, k, cuts, vocab)
	return sum, p.run(ctx, false, func(i int) visit {
		parts[i] = newTally(o, k, cuts, vocab)
		return parts[i].visit
	}, func(i int) {
		sum.merge(parts[i])
		parts[i] = nil
	})
}

// report is the tally in words.
func (t *tally) report(tokensDir string) *Report {
	n := float64(t.all.targets) // 0/0 is NaN: no targets, no mean
	low, high := t.all.interval()
	r := &Report{
		Rows: t.all.rows, Targets: t.all.targets, MeanLogProb: Num(t.logprob.Value() / n), MeanH: Num(t.h.Value() / n), Correlation: Num(t.corr.Value()), MeanTopKMass: Num(t.mass.Value() / n),
		Cuts:      t.o.cuts(t.cuts),
		Conflicts: t.all.conflicts, ConflictRate: Num(float64(t.all.conflicts) / n), RateLow: low, RateHigh: high, Counted: "trained", K: t.k,
		ConflictRows: t.conflictRows, ConflictLoss: Num(t.conflictLoss), Loss: Num(-t.logprob.Value()),
		SureShare: Num(float64(t.sure) / n), FlatShare: Num(float64(t.flat) / n), MarkupShare: Num(t.markup / t.spare),
		Quantiles: Quantiles{quantiles(&t.probs), quantiles(&t.hs)},
		Plane:     t.grid.plane(t.cuts), Why: t.reasons(), Gates: t.gateList(), WhatIf: []WhatIf{},
		BySource: t.by[bySource].list(), ByRole: t.by[byRole].ordered(nil), ByTurn: t.by[byTurn].ordered([]string{}),
		ByPosition: t.by[byPosition].ordered(positionNames[:]), ByClass: t.by[byClass].ordered(classNames[:]),
		WorstRows: []Row{}, Pairs: t.topPairs(t.o.Pairs), PairsTotal: len(t.pairs.entries), PairsLost: t.pairs.lost, RepeatsLost: t.repeats.lost,
		Warnings: []string{}, Tokens: tokensDir, spelled: t.vocab.t != nil, grid: t.grid,
	}
	if !r.spelled {
		r.MarkupShare = Num(math.NaN())
	}
	for _, w := range t.whatIf {
		w.ConflictRate, w.ConflictLoss = Num(float64(w.Conflicts)/n), Num(w.loss)
		r.WhatIf = append(r.WhatIf, w.WhatIf)
	}
	for _, c := range t.worst.sorted() {
		r.WorstRows = append(r.WorstRows, c.describe(t.vocab, t.o.Estimator, t.k))
	}
	for _, c := range t.shown.sorted() {
		r.shown = append(r.shown, c.whole(t))
	}
	return r
}

// findCuts looks at the scores twice where the cuts are quantiles: for the
// place of each in the order of floats, and for its value.
func findCuts(ctx context.Context, p *pass, o Options, k int) (eaft.Cuts, error) {
	if o.Thresholds.Quantile == 0 {
		return o.Thresholds.Cuts(nil, nil), nil
	}
	type adder interface{ Add(float32) }
	look := func(begin func(i int) (probs, hs adder), end func(i int)) error {
		return p.run(ctx, true, func(i int) visit {
			probs, hs := begin(i)
			return func(_ int64, s *parquet.ScoresRow, _ *parquet.TokensRow, counted []int) error {
				for _, j := range counted {
					prob, h, _ := point(s, j, o.Estimator, k)
					probs.Add(prob)
					hs.Add(h)
				}
				return nil
			}
		}, end)
	}
	n := len(p.scores.Shards)
	var probs, hs eaft.Sketch
	sketches := make([][2]eaft.Sketch, n)
	err := look(func(i int) (adder, adder) { return &sketches[i][0], &sketches[i][1] }, func(i int) {
		probs.Merge(&sketches[i][0])
		hs.Merge(&sketches[i][1])
		sketches[i] = [2]eaft.Sketch{}
	})
	if err != nil || probs.N() == 0 {
		return o.Thresholds.Cuts(nil, nil), err
	}
	prob, h := probs.Exact(o.Thresholds.Quantile), hs.Exact(o.Thresholds.Quantile)
	exact := make([][2]*eaft.Exact, n)
	err = look(func(i int) (adder, adder) {
		exact[i] = [2]*eaft.Exact{prob.Fresh(), h.Fresh()}
		return exact[i][0], exact[i][1]
	}, func(i int) {
		prob.Merge(exact[i][0])
		h.Merge(exact[i][1])
		exact[i] = [2]*eaft.Exact{}
	})
	return eaft.Cuts{Prob: prob.Value(), H: h.Value(), MinMass: o.Thresholds.MinMass}, err
}

// open finds the scores and their tokens, and refuses a pair that differs.
func open(o Options) (*pass, error) {
	scores, err := dataset(o.Scores, parquet.SchemaScores)
	if err != nil {
		return nil, err
	}
	m := scores.Manifest
	if m == nil {
		return nil, cli.Usagef("%s: no %s: these are no scores of ours; make them with scorer", o.Scores, parquet.ManifestName)
	}
	if m.K < 2 {
		return nil, cli.Usagef("%s: k is %d, and gate entropies need 2 at least; score again in an empty folder", store.Join(o.Scores, parquet.ManifestName), m.K)
	}
	p := &pass{scores: scores, labels: m.Targets != "trained"}
	dir, asked := o.Tokens, o.Tokens != ""
	if !asked && m.Tokens != "" {
		dir = store.Resolve(o.Scores, m.Tokens)
	}
	if dir != "" {
		if _, err := store.Stat(dir); err == nil || asked || !errors.Is(err, fs.ErrNotExist) {
			if p.tokens, err = dataset(dir, parquet.SchemaTokens); err != nil {
				return nil, err
			}
		}
	}
	if p.tokens == nil {
		if p.labels {
			return nil, cli.Usagef("%s: targets is %q, so the labels of the tokens must say which targets are trained, and the tokens are not at %q; give their folder with --tokens", store.Join(o.Scores, parquet.ManifestName), m.Targets, dir)
		}
		return p, nil
	}
	if want := m.Hashes["tokens"]; want != "" {
		have, err := p.tokens.ContentHash()
		if err != nil {
			return nil, usage(err)
		}
		if have != want {
			return nil, cli.Usagef("%s: hashes.tokens is %s, but the tokens in %s are %s; give the tokens that were scored with --tokens, or score again", store.Join(o.Scores, parquet.ManifestName), want, dir, have)
		}
	}
	return p, p.counterparts()
}

// dataset opens one whose shards have the hashes that its manifest says.
func dataset(dir, schema string) (*parquet.Dataset, error) {
	d, err := parquet.OpenDataset(dir, schema)
	if err != nil {
		return nil, usage(err)
	}
	if err := d.Verify(); err != nil {
		return nil, usage(err)
	}
	return d, nil
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
	prob, h = eaft.Target{LogProb: s.LogProb[j], Entropy: s.Entropy[j], TopKEntropy: s.TopKEntropy[j], TopKMass: s.TopKMass[j]}.Point(est, k)
	return prob, h, float64(s.TopKMass[j])
}
