package report

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"eaft/eaft"
	"eaft/internal/cli"
	"eaft/internal/store"
	"eaft/parquet"
)

// Diff compares two annotations of the same tokens: A before, B after. Standard
// errors take the rows for independent, not the targets of a row.
type Diff struct {
	Rows            int64        `json:"rows"`
	Targets         int64        `json:"targets"`
	Cuts            Cuts         `json:"cuts"` // of A, for both
	MeanLogProbA    Num          `json:"mean_logprob_a"`
	MeanLogProbB    Num          `json:"mean_logprob_b"`
	DeltaLogProb    Estimate     `json:"delta_logprob"`    // B - A, nats
	PerplexityRatio Num          `json:"perplexity_ratio"` // of B to A
	DeltaProb       Estimate     `json:"delta_prob"`
	RMSDeltaProb    Num          `json:"rms_delta_prob"`
	DeltaEntropy    Estimate     `json:"delta_entropy"`
	SameTop1        Estimate     `json:"same_top1"` // share of the targets
	Correlation     Num          `json:"logprob_correlation"`
	MaxAbsDelta     Num          `json:"max_abs_delta_logprob"`
	ConflictsA      int64        `json:"conflicts_a"`
	ConflictsB      int64        `json:"conflicts_b"`
	Resolved        int64        `json:"resolved"` // in A alone
	New             int64        `json:"new"`      // in B alone
	Kept            int64        `json:"kept"`
	WorstTokens     []DiffToken  `json:"worst_tokens"` // the largest falls of logprob
	WorstRows       []DiffRow    `json:"worst_rows"`   // by the sum
	DeltaQuantiles  DeltaChanges `json:"delta_prob_quantiles"`
}

// Estimate is a mean over the targets and its standard error.
type Estimate struct {
	Mean Num `json:"mean"`
	SE   Num `json:"se"`
}

// DeltaChanges are quantiles of the probabilities' falls and rises: of the
// targets whose probability fell, by how much, and of those where it rose.
type DeltaChanges struct {
	Fell  int64      `json:"fell"`
	Rose  int64      `json:"rose"`
	Falls []Quantile `json:"falls"`
	Rises []Quantile `json:"rises"`
}

// DiffToken is a target that B likes less than A.
type DiffToken struct {
	Row     int64  `json:"row"`
	ID      string `json:"id"`
	Pos     int32  `json:"pos"`
	Text    string `json:"text"`
	ProbA   Num    `json:"prob_a"`
	ProbB   Num    `json:"prob_b"`
	TopA    string `json:"top1_a"`
	TopB    string `json:"top1_b"`
	logprob float64
	ids     [3]int32
}

// DiffRow is a row that B likes less than A.
type DiffRow struct {
	Row          int64  `json:"row"`
	ID           string `json:"id"`
	Targets      int    `json:"targets"`
	DeltaLogProb Num    `json:"delta_logprob"` // sum over the targets
}

// clustered sums a quantity of targets by rows.
type clustered struct {
	sum, n, ss, sn, nn float64
	rows               float64
}

func (c *clustered) add(sum float64, n int) {
	x := float64(n)
	c.sum += sum
	c.n += x
	c.ss += sum * sum
	c.sn += sum * x
	c.nn += x * x
	c.rows++
}

func (c *clustered) merge(o *clustered) {
	c.sum += o.sum
	c.n += o.n
	c.ss += o.ss
	c.sn += o.sn
	c.nn += o.nn
	c.rows += o.rows
}

// estimate is the ratio's linearised standard error: the square root of
// sum over rows of (S - n mean)^2, over N, with the usual R/(R-1); undefined from less
// than two rows.
func (c *clustered) estimate() Estimate {
	m := c.sum / c.n
	if c.rows < 2 {
		return Estimate{Num(m), Num(nan)}
	}
	v := (c.ss - 2*m*c.sn + m*m*c.nn) / (c.n * c.n) * c.rows / (c.rows - 1)
	return Estimate{Num(m), Num(math.Sqrt(math.Max(0, v)))}
}

// worstOf keeps the n least of what it is offered, in order.
type worstOf[T any] struct {
	n       int
	list    []T
	compare func(a, b T) int
}

func (w *worstOf[T]) offer(x T) {
	if len(w.list) >= w.n && (w.n == 0 || w.compare(x, w.list[w.n-1]) >= 0) {
		return
	}
	at, _ := slices.BinarySearchFunc(w.list, x, w.compare)
	w.list = slices.Insert(w.list, at, x)
	w.list = w.list[:min(w.n, len(w.list))]
}

type diffTally struct {
	o                                *Options
	k                                int
	cuts                             eaft.Cuts
	a, b, delta, prob, entropy, same clustered
	square, largest                  float64
	corr                             eaft.Correlation
	conflictsA, conflictsB, kept     int64
	fell, rose                       eaft.Sketch
	tokens                           worstOf[DiffToken]
	rows                             worstOf[DiffRow]
}

func newDiffTally(o *Options, k int, cuts eaft.Cuts) *diffTally {
	return &diffTally{o: o, k: k, cuts: cuts,
		tokens: worstOf[DiffToken]{n: o.Worst, compare: func(a, b DiffToken) int {
			return cmp.Or(cmp.Compare(a.logprob, b.logprob), cmp.Compare(a.Row, b.Row), cmp.Compare(a.Pos, b.Pos))
		}},
		rows: worstOf[DiffRow]{n: o.Worst, compare: func(a, b DiffRow) int {
			return cmp.Or(cmp.Compare(a.DeltaLogProb, b.DeltaLogProb), cmp.Compare(a.Row, b.Row))
		}}}
}

func (t *diffTally) row(i int64, a, b *parquet.ScoresRow, counted []int) {
	var la, lb, delta, prob, entropy, same float64
	for _, j := range counted {
		pa, ha, ma := point(a, j, t.o.Estimator, t.k)
		pb, hb, mb := point(b, j, t.o.Estimator, t.k)
		x, y := float64(a.LogProb[j]), float64(b.LogProb[j])
		d, dp := y-x, math.Exp(y)-math.Exp(x)
		la, lb, delta, prob = la+x, lb+y, delta+d, prob+dp
		entropy += float64(b.Entropy[j]) - float64(a.Entropy[j])
		t.square += dp * dp
		t.largest = math.Max(t.largest, math.Abs(d))
		t.corr.Add(x, y)
		if a.Top1ID[j] == b.Top1ID[j] {
			same++
		}
		ca, cb := t.cuts.Conflict(float64(pa), float64(ha), ma), t.cuts.Conflict(float64(pb), float64(hb), mb)
		if ca {
			t.conflictsA++
		}
		if cb {
			t.conflictsB++
		}
		if ca && cb {
			t.kept++
		}
		switch {
		case dp < 0:
			t.fell.Add(float32(-dp))
		case dp > 0:
			t.rose.Add(float32(dp))
		}
		if d < 0 {
			t.tokens.offer(DiffToken{Row: i, ID: a.ID, Pos: a.Pos[j], ProbA: Num(math.Exp(x)), ProbB: Num(math.Exp(y)), logprob: d, ids: [3]int32{a.Token[j], a.Top1ID[j], b.Top1ID[j]}})
		}
	}
	n := len(counted)
	if n == 0 {
		return
	}
	t.a.add(la, n)
	t.b.add(lb, n)
	t.delta.add(delta, n)
	t.prob.add(prob, n)
	t.entropy.add(entropy, n)
	t.same.add(same, n)
	if delta < 0 {
		t.rows.offer(DiffRow{i, a.ID, n, Num(delta)})
	}
}

func (t *diffTally) merge(o *diffTally) {
	for i, c := range [...]*clustered{&t.a, &t.b, &t.delta, &t.prob, &t.entropy, &t.same} {
		c.merge([...]*clustered{&o.a, &o.b, &o.delta, &o.prob, &o.entropy, &o.same}[i])
	}
	t.square += o.square
	t.largest = math.Max(t.largest, o.largest)
	t.corr.Merge(&o.corr)
	t.conflictsA += o.conflictsA
	t.conflictsB += o.conflictsB
	t.kept += o.kept
	t.fell.Merge(&o.fell)
	t.rose.Merge(&o.rose)
	for _, x := range o.tokens.list {
		t.tokens.offer(x)
	}
	for _, x := range o.rows.list {
		t.rows.offer(x)
	}
}

// BuildDiff compares o.Scores with the annotation in after. The cuts are
// those of o.Scores.
func BuildDiff(ctx context.Context, o Options, after string) (*Diff, error) {
	p, err := open(o)
	if err != nil {
		return nil, err
	}
	second, err := dataset(after, parquet.SchemaScores)
	if err != nil {
		return nil, err
	}
	if err := sameTokens(p.scores, second); err != nil {
		return nil, err
	}
	vocab, err := p.vocabulary()
	if err != nil {
		return nil, err
	}
	defer p.begin(o, "diff", 1)()
	k := p.scores.Manifest.K
	cuts, err := findCuts(ctx, p, o, k)
	if err != nil {
		return nil, err
	}
	sum := newDiffTally(&o, k, cuts)
	parts := make([]*diffTally, len(p.scores.Shards))
	readers := make([]*parquet.ScoresReader, len(parts))
	defer func() {
		for _, r := range readers {
			if r != nil {
				r.Close()
			}
		}
	}()
	var rows int64
	for _, s := range p.scores.Manifest.Shards {
		rows += s.Rows
	}
	err = p.run(ctx, false, func(shard int) visit {
		parts[shard] = newDiffTally(&o, k, cuts)
		return func(i int64, a *parquet.ScoresRow, _ *parquet.TokensRow, counted []int) (err error) {
			if readers[shard] == nil {
				if readers[shard], err = parquet.OpenScores(second.Shards[shard]); err != nil {
					return usage(err)
				}
			}
			b := new(parquet.ScoresRow)
			if err := readers[shard].Next(b); errors.Is(err, io.EOF) {
				return cli.Usagef("%s: it ends before row %d", second.Shards[shard], i)
			} else if err != nil {
				return usage(err)
			}
			if a.ID != b.ID || !slices.Equal(a.Pos, b.Pos) || !slices.Equal(a.Token, b.Token) {
				return cli.Usagef("%s: row %d (id %q) scores other targets than %s (id %q); diff compares two annotations of the same tokens", second.Shards[shard], i, b.ID, p.scores.Shards[shard], a.ID)
			}
			parts[shard].row(i, a, b, counted)
			return nil
		}
	}, func(shard int) {
		sum.merge(parts[shard])
		parts[shard] = nil
		if r := readers[shard]; r != nil {
			r.Close()
		}
	})
	if err != nil {
		return nil, err
	}
	return sum.diff(rows, vocab), nil
}

// sameTokens refuses annotations that cannot be of the same tokens.
func sameTokens(a, b *parquet.Dataset) error {
	field := func(name, have, want string) error {
		if have == want {
			return nil
		}
		return cli.Usagef("%s: %s is %q, but %q in %s; diff compares two annotations of the same tokens", store.Join(b.Dir, parquet.ManifestName), name, have, want, a.Dir)
	}
	m, n := a.Manifest, b.Manifest
	err := cmp.Or(field("hashes.tokens", n.Hashes["tokens"], m.Hashes["tokens"]), field("targets", n.Targets, m.Targets),
		field("k", fmt.Sprint(n.K), fmt.Sprint(m.K)), field("limit", fmt.Sprint(n.Limit), fmt.Sprint(m.Limit)), field("number of shards", fmt.Sprint(len(n.Shards)), fmt.Sprint(len(m.Shards))))
	for i := range m.Shards {
		if err == nil {
			err = cmp.Or(field("name of the shard", n.Shards[i].Name, m.Shards[i].Name), field("rows of "+m.Shards[i].Name, fmt.Sprint(n.Shards[i].Rows), fmt.Sprint(m.Shards[i].Rows)))
		}
	}
	return err
}

func (t *diffTally) diff(rows int64, vocab *vocabulary) *Diff {
	d := &Diff{Rows: rows, Targets: int64(t.a.n), Cuts: t.o.cuts(t.cuts),
		MeanLogProbA: t.a.estimate().Mean, MeanLogProbB: t.b.estimate().Mean, DeltaLogProb: t.delta.estimate(), DeltaProb: t.prob.estimate(),
		DeltaEntropy: t.entropy.estimate(), SameTop1: t.same.estimate(), RMSDeltaProb: Num(math.Sqrt(t.square / t.a.n)), Correlation: Num(t.corr.Value()),
		MaxAbsDelta: Num(t.largest), ConflictsA: t.conflictsA, ConflictsB: t.conflictsB, Kept: t.kept, Resolved: t.conflictsA - t.kept, New: t.conflictsB - t.kept,
		WorstTokens: []DiffToken{}, WorstRows: []DiffRow{}, DeltaQuantiles: DeltaChanges{t.fell.N(), t.rose.N(), quantiles(&t.fell), quantiles(&t.rose)}}
	if d.Targets == 0 {
		d.MaxAbsDelta = Num(nan)
	}
	d.PerplexityRatio = Num(math.Exp(-float64(d.DeltaLogProb.Mean)))
	for _, x := range t.tokens.list {
		x.ID, x.Text, x.TopA, x.TopB = Visible([]byte(x.ID)), vocab.token(x.ids[0]), vocab.token(x.ids[1]), vocab.token(x.ids[2])
		d.WorstTokens = append(d.WorstTokens, x)
	}
	for _, x := range t.rows.list {
		x.ID = Visible([]byte(x.ID))
		d.WorstRows = append(d.WorstRows, x)
	}
	return d
}

// Text writes d for people.
func (d *Diff) Text(w io.Writer, colour bool) error {
	t := &text{colour: colour}
	t.f("%s\n\n", t.paint(bold, fmt.Sprintf("%s targets of %s rows, before (A) and after (B)", thousands(d.Targets), thousands(d.Rows))))
	line := func(name string, e Estimate, note string) {
		t.f("  %-30s %11s +- %-10s %s\n", name, num(e.Mean), num(e.SE), note)
	}
	line("mean change of log p", d.DeltaLogProb, fmt.Sprintf("(%s to %s)", num(d.MeanLogProbA), num(d.MeanLogProbB)))
	line("mean change of p", d.DeltaProb, fmt.Sprintf("(root mean square %s)", num(d.RMSDeltaProb)))
	line("mean change of entropy", d.DeltaEntropy, "(nats)")
	line("same top token", d.SameTop1, "(share)")
	t.f("  %-30s %11s\n", "perplexity, B to A", num(d.PerplexityRatio))
	t.f("  %-30s %11s\n", "log p in A ~ log p in B", num(d.Correlation)+"   (correlation)")
	t.f("  %-30s %11s\n", "largest change of log p", num(d.MaxAbsDelta))
	t.f("  +- is the standard error, rows taken as independent\n\n")
	t.f("  conflicts at A's cuts (p <= %s, h <= %s): %s in A, %s in B\n", num(d.Cuts.Prob), num(d.Cuts.H), thousands(d.ConflictsA), thousands(d.ConflictsB))
	t.f("  %s resolved, %s kept, %s new\n", thousands(d.Resolved), thousands(d.Kept), thousands(d.New))
	if len(d.WorstTokens) > 0 {
		t.title("Worst regressions", "targets whose log p fell most")
		t.f("  %-32s %6s  %s %8s %8s  %s\n", "row", "pos", pad("token", 16), "p in A", "p in B", "top in B")
		for _, x := range d.WorstTokens {
			t.f("  %s %6d  %s %8s %8s  %s\n", pad(fmt.Sprintf("%d %s", x.Row, x.ID), 32), x.Pos, pad(x.Text, 16), percent(float64(x.ProbA)), percent(float64(x.ProbB)), clip(x.TopB, 20))
		}
		if len(d.WorstRows) > 0 { // tokens may fall in rows that rise
			t.f("\n  %-50s %8s %12s\n", "row, by its sum", "tokens", "log p")
		}
		for _, x := range d.WorstRows {
			t.f("  %s %8d %12.3f\n", pad(fmt.Sprintf("%d %s", x.Row, x.ID), 50), x.Targets, float64(x.DeltaLogProb))
		}
	}
	_, err := w.Write(t.b.Bytes())
	return err
}
