package report

import (
	"context"
	"errors"
	"io"
	"runtime"

	"eaft/internal/cli"
	"eaft/internal/store"
	"eaft/parquet"
)

// pass walks the scores, and beside them the tokens where there are any.
type pass struct {
	scores, tokens *parquet.Dataset // tokens may be nil
	labels         bool             // count only targets that the tokens' labels train
	progress       *cli.Progress    // of looks at all rows; nil: none
	looks          int64            // how often each row is looked at
	looked, shown  int64            // rows so far: looks at them, and what the progress counts
}

// visit gets a row's index in the dataset, its scores, its tokens (nil without)
// and the indices of the targets that count. It may keep what it gets.
type visit func(i int64, s *parquet.ScoresRow, t *parquet.TokensRow, counted []int) error

const otherTokens = "these scores annotate other tokens, give theirs with --tokens or score again"

// counterparts finds the tokens of each shard: they have its name.
func (p *pass) counterparts() error {
	if p.tokens == nil {
		return nil
	}
	for i, path := range p.scores.Shards {
		if i >= len(p.tokens.Shards) || store.Base(path) != store.Base(p.tokens.Shards[i]) {
			return cli.Usagef("%s: the shard has no tokens of its name in %s; %s", path, p.tokens.Dir, otherTokens)
		}
	}
	if n := len(p.scores.Shards); n < len(p.tokens.Shards) {
		return cli.Usagef("%s: the shard has no scores of its name in %s; %s", p.tokens.Shards[n], p.scores.Dir, otherTokens)
	}
	return nil
}

// run visits all rows, several shards at once. begin makes the visit of a
// shard; end gets it, in the order of shards and on the caller's goroutine,
// when the shard is done. light leaves the tokens aside where no label is needed.
func (p *pass) run(ctx context.Context, light bool, begin func(shard int) visit, end func(shard int)) error {
	first := make([]int64, len(p.scores.Shards)+1)
	for i, s := range p.scores.Manifest.Shards {
		first[i+1] = first[i] + s.Rows
	}
	return inOrder(ctx, len(p.scores.Shards), begin, func(ctx context.Context, i int, f visit) error {
		return p.shard(ctx, i, first[i], light && !p.labels, f)
	}, func(i int) {
		p.count(p.scores.Manifest.Shards[i].Rows)
		end(i)
	})
}

// begin shows the progress of a pass that looks at each row so often, and twice more
// where cuts are quantiles, until the function that it returns is called.
func (p *pass) begin(o Options, name string, looks int64) (done func()) {
	if o.Log == nil {
		return func() {}
	}
	if p.looks = looks; o.Thresholds.Quantile > 0 {
		p.looks += 2
	}
	var rows int64
	for _, s := range p.scores.Manifest.Shards {
		rows += s.Rows
	}
	p.progress = cli.NewProgress(o.Log, name, "rows", rows, 0)
	return p.progress.Done
}

// count adds looks at rows. A row that is looked at three times is one row.
func (p *pass) count(rows int64) {
	if p.progress == nil {
		return
	}
	p.looked += rows
	n := p.looked/p.looks - p.shown
	p.shown += n
	p.progress.Add(n, "")
}

// inOrder calls work for 0 to n-1, as many at once as there are threads, and
// end in order. begin runs on the caller's goroutine before work.
func inOrder(ctx context.Context, n int, begin func(int) visit, work func(context.Context, int, visit) error, end func(int)) error {
	ctx, cancel := context.WithCancel(ctx)
	results := make([]chan error, n)
	started := 0
	defer func() {
		cancel()
		for _, c := range results[:started] {
			if c != nil {
				<-c
			}
		}
	}()
	start := func() {
		if started == n {
			return
		}
		i, f, c := started, begin(started), make(chan error, 1)
		results[i] = c
		started++
		go func() { c <- work(ctx, i, f) }()
	}
	for range runtime.GOMAXPROCS(0) {
		start()
	}
	for i := range n {
		err := <-results[i]
		results[i] = nil
		if err != nil {
			return err
		}
		end(i)
		start()
	}
	return nil
}

func (p *pass) shard(ctx context.Context, shard int, first int64, alone bool, f visit) error {
	path := p.scores.Shards[shard]
	r, err := parquet.OpenScores(path)
	if err != nil {
		return usage(err)
	}
	defer r.Close()
	if n := p.scores.Manifest.Shards[shard].Rows; r.NumRows() != n {
		return cli.Usagef("%s: %d rows where the manifest says %d; score again in an empty folder", path, r.NumRows(), n)
	}
	if have, want := r.StoreTopK(), p.scores.Manifest.StoreTopK; have != want {
		return cli.Usagef("%s: metadata eaft.store_topk is %d where the manifest says %d; score again in an empty folder", path, have, want)
	}
	var tokens *parquet.TokensReader
	if p.tokens != nil && !alone {
		if tokens, err = p.openTokens(shard, r.NumRows()); err != nil {
			return err
		}
		defer tokens.Close()
	}
	for i := first; ; i++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		s := new(parquet.ScoresRow)
		if err := r.Next(s); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return usage(err)
		}
		var t *parquet.TokensRow
		if tokens != nil {
			t = new(parquet.TokensRow)
			if err := tokens.Next(t); err != nil {
				return usage(err)
			}
			if err := fits(path, i, s, p.tokens.Shards[shard], t); err != nil {
				return err
			}
		}
		counted := make([]int, 0, len(s.Pos))
		for j, pos := range s.Pos {
			if !p.labels || t.Labels[pos] != parquet.Ignore {
				counted = append(counted, j)
			}
		}
		if err := f(i, s, t, counted); err != nil {
			return err
		}
	}
}

// openTokens opens the tokens of a shard of scores with n rows, which are all
// of them but in a trial.
func (p *pass) openTokens(shard int, n int64) (*parquet.TokensReader, error) {
	path := p.tokens.Shards[shard]
	r, err := parquet.OpenTokens(path)
	if err != nil {
		return nil, usage(err)
	}
	if have := r.NumRows(); have < n || have > n && p.scores.Manifest.Limit == 0 {
		r.Close()
		return nil, cli.Usagef("%s: %d rows, but %s has %d; %s", path, have, p.scores.Shards[shard], n, otherTokens)
	}
	return r, nil
}

// fits refuses scores that do not annotate these tokens.
func fits(path string, i int64, s *parquet.ScoresRow, tokensPath string, t *parquet.TokensRow) error {
	if s.ID != t.ID {
		return cli.Usagef("%s: row %d: id is %q, but %s has %q; %s", path, i, s.ID, store.Base(tokensPath), t.ID, otherTokens)
	}
	for j, pos := range s.Pos {
		if pos < 1 || int(pos) >= len(t.InputIDs) {
			return cli.Usagef("%s: row %d (id %q): pos %d lies outside of the %d input_ids in %s; %s", path, i, s.ID, pos, len(t.InputIDs), tokensPath, otherTokens)
		}
		if s.Token[j] != t.InputIDs[pos] {
			return cli.Usagef("%s: row %d (id %q): token at pos %d is %d, but input_ids in %s has %d; %s", path, i, s.ID, pos, s.Token[j], tokensPath, t.InputIDs[pos], otherTokens)
		}
	}
	return nil
}
