package scorer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"eaft/compute"
	"eaft/internal/cli"
	"eaft/internal/store"
	"eaft/internal/version"
	"eaft/model"
	"eaft/model/weights"
	"eaft/parquet"
)

// Run scores a dataset. A finished one of the same inputs and options is left as
// it is (again is true); of one that was stopped, only the missing shards are made.
func Run(ctx context.Context, dev compute.Device, c *weights.Checkpoint, o Options) (sum Summary, again bool, err error) {
	if err := o.check(); err != nil {
		return sum, false, err
	}
	spec, err := model.SpecOf(c)
	if err != nil {
		return sum, false, unusable(err)
	}
	if o.K > spec.Vocab {
		return sum, false, cli.Usagef("--k %d: the model's vocabulary has %d tokens", o.K, spec.Vocab)
	}
	if err := c.HasWeights(); err != nil {
		return sum, false, unusable(err)
	}
	in, err := openInputs(c, &o)
	if err != nil {
		return sum, false, err
	}
	r := &run{inputs: in, o: &o, spec: spec, meta: parquet.Meta{Schema: parquet.SchemaScores, Version: version.Version,
		Hashes: in.hashes, K: o.K, StoreTopK: o.StoreTopK, ISA: dev.ISA(), DType: o.DType.String(), Numerics: Numerics, Targets: string(o.Targets)}}
	if err := refuseOther(o.Out); err != nil {
		return sum, false, err
	}
	if err := store.MkdirAll(o.Out); err != nil {
		return sum, false, cli.Usagef("--out: %w", err)
	}
	if done, err := r.again(&sum); done || err != nil {
		return sum, done, err
	}
	if o.Shards != nil {
		return sum, false, r.some(ctx, dev, c)
	}
	release, err := acquire(o.Out)
	if err != nil {
		return sum, false, err
	}
	defer release()
	if done, err := r.again(&sum); done || err != nil {
		return sum, done, err // by a run that ended since
	}
	for _, dir := range []string{o.Out, store.Join(o.Out, parquet.PartialName)} {
		if err := store.CleanTemps(dir); err != nil {
			return sum, false, err
		}
	}
	if err := in.data.Verify(); err != nil {
		return sum, false, unusable(err)
	}
	sum, err = r.all(ctx, dev, c)
	return sum, false, err
}

// again reports whether the folder holds this dataset, finished, and reads its summary.
func (r *run) again(sum *Summary) (bool, error) {
	m, err := parquet.ReadManifest(r.o.Out)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil {
		*sum, err = r.finished(m)
	}
	return true, err
}

// unusable gives an error about the input the exit code for it.
func unusable(err error) error { return &cli.Error{Code: cli.ExitUsage, Err: err} }

// run is one pass over the dataset.
type run struct {
	*inputs
	o     *Options
	spec  model.Spec
	meta  parquet.Meta // of every shard, but for the ledger
	model *model.Model // loaded when the first shard is missing
	work  Work
	spent time.Duration
}

func (r *run) all(ctx context.Context, dev compute.Device, c *weights.Checkpoint) (sum Summary, err error) {
	m := &parquet.Manifest{Schema: r.meta.Schema, Version: r.meta.Version, Hashes: r.meta.Hashes, Tokens: r.relative,
		K: r.meta.K, StoreTopK: r.meta.StoreTopK, ISA: r.meta.ISA, DType: r.meta.DType, Numerics: r.meta.Numerics, Model: modelName(c, r.o.Adapter), Targets: r.meta.Targets, Limit: r.o.Limit}
	// All shards are looked at before the first is made: a folder of something
	// else is refused now and not after hours.
	infos := make([]*parquet.ShardInfo, len(r.data.Shards))
	ledgers := make([]parquet.Ledger, len(infos))
	begun, err := r.begun()
	if err != nil {
		return sum, err
	}
	var total, done int64
	for i := range infos {
		if infos[i], ledgers[i], err = r.kept(i); err != nil {
			return sum, err
		}
		total += r.take[i]
		if infos[i] != nil {
			done += r.take[i]
		} else {
			done += begun[i]
			if err := r.check(ctx, i); err != nil {
				return sum, err
			}
		}
	}
	r.goingOn(done, total)
	progress := cli.NewProgress(r.o.Log, "score", "rows", total, done)
	defer func() {
		if errors.Is(err, context.Canceled) {
			fmt.Fprintf(r.o.Log, "%d of %d shards are finished and kept, and what is scored of the next one\n", len(m.Shards), len(infos))
		}
	}()
	for i := range infos {
		if infos[i] == nil {
			if err := r.load(dev, c); err != nil {
				return sum, err
			}
			info, ledger, err := r.shard(ctx, i, progress)
			if err != nil {
				return sum, err
			}
			infos[i], ledgers[i] = &info, ledger
		}
		m.Shards = append(m.Shards, *infos[i])
		m.Ledger.Add(ledgers[i])
	}
	progress.Done()
	return r.finish(m)
}

// goingOn says how many of the rows that a run is to score an earlier one has scored.
func (r *run) goingOn(done, total int64) {
	if done > 0 {
		fmt.Fprintf(r.o.Log, "going on: %d of %d rows are scored\n", done, total)
	}
}

// load brings the model into memory when it is first needed.
func (r *run) load(dev compute.Device, c *weights.Checkpoint) (err error) {
	if r.model != nil {
		return nil
	}
	r.model, err = load(dev, c, r.o.Adapter, r.o.DType)
	return err
}

// check refuses a shard with a row that the model cannot score, before hours are
// spent on the rows in front of it.
func (r *run) check(ctx context.Context, i int) error {
	path := r.data.Shards[i]
	in, err := parquet.OpenTokens(path)
	if err != nil {
		return unusable(err)
	}
	defer in.Close()
	for range r.take[i] {
		var row parquet.TokensRow
		if err := in.Next(&row); err != nil {
			if errors.Is(err, io.EOF) {
				err = fmt.Errorf("%s: has fewer rows than %s says", path, parquet.ManifestName)
			}
			return unusable(err)
		}
		if err := checkRow(path, &row, r.spec); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// shard scores one shard, or takes the one that another run has finished meanwhile.
func (r *run) shard(ctx context.Context, i int, progress *cli.Progress) (info parquet.ShardInfo, ledger parquet.Ledger, err error) {
	p := r.partialOf(store.Base(r.data.Shards[i]))
	if info, ledger, err = r.make(ctx, i, p, progress); !errors.Is(err, errMade) {
		return info, ledger, err
	}
	have, ledger, err := r.kept(i)
	if err != nil {
		return info, ledger, err
	}
	if have == nil {
		return info, ledger, fmt.Errorf("%s: %w and taken it away again; run again", store.Join(r.o.Out, p.shard), errMade)
	}
	fmt.Fprintf(r.o.Log, "%s: another run has made this shard meanwhile; it is kept\n", store.Join(r.o.Out, p.shard))
	return *have, ledger, p.remove()
}

// make scores one shard; on any error nothing has its name, and of what was scored
// stays what p has saved.
func (r *run) make(ctx context.Context, i int, p *partial, progress *cli.Progress) (info parquet.ShardInfo, ledger parquet.Ledger, err error) {
	path := r.data.Shards[i]
	in, err := parquet.OpenTokens(path)
	if err != nil {
		return info, ledger, unusable(err)
	}
	defer in.Close()
	if want, err := r.data.ShardRows(i); err != nil || in.NumRows() != want {
		return info, ledger, unusable(errors.Join(err, fmt.Errorf("%s: has %d rows where %s says %d", path, in.NumRows(), parquet.ManifestName, want)))
	}
	w, err := parquet.CreateScores(store.Join(r.o.Out, store.Base(path)), r.o.StoreTopK)
	if err != nil {
		return info, ledger, err
	}
	defer func() {
		if err != nil {
			w.Abort()
		}
	}()
	began := time.Now()
	var ahead window
	flush := func(last bool) error {
		if err := r.score(ctx, path, &ahead, p, progress); err != nil {
			return err
		}
		if !last {
			if err := p.save(&ahead); err != nil {
				return err
			}
		}
		for k := range ahead.tasks {
			if err := w.Write(&ahead.tasks[k].out); err != nil {
				return err
			}
		}
		p.next(len(ahead.tasks))
		ahead = window{}
		return nil
	}
	for range r.take[i] {
		var row parquet.TokensRow
		if err := in.Next(&row); err != nil {
			if errors.Is(err, io.EOF) {
				err = fmt.Errorf("%s: has fewer rows than its footer says", path)
			}
			return info, ledger, unusable(err)
		}
		ahead.add(newTask(&row, r.o.positions(&row)))
		ledger.Add(parquet.Ledger{RowsIn: 1, RowsOut: 1, Tokens: int64(len(row.InputIDs)), Targets: trained(&row)})
		if ahead.full(r.o.Budget, r.o.StoreTopK) {
			if err := flush(false); err != nil {
				return info, ledger, err
			}
		}
	}
	if err := flush(true); err != nil {
		return info, ledger, err
	}
	r.spent += time.Since(began)
	meta := r.meta
	meta.Ledger = ledger
	if info, err = w.Commit(meta); err != nil {
		return info, ledger, err
	}
	return info, ledger, p.remove()
}

// score runs a window of the shard path, in batches of rows that begin alike, but for
// what p has of it, and lets p save it from time to time and when it is stopped.
func (r *run) score(ctx context.Context, path string, w *window, p *partial, progress *cli.Progress) error {
	restored, err := p.restore(w)
	if err != nil {
		return err
	}
	todo := w.order(!r.o.NoPrefixSharing)
	progress.Add(int64(len(w.tasks)-len(todo)-restored), "")
	for i := range w.tasks {
		if t := &w.tasks[i]; len(t.ids) == 0 {
			r.work.Tokens += int64(t.tokens)
		}
	}
	for len(todo) > 0 {
		if err := ctx.Err(); err != nil {
			return cmp.Or(p.save(w), err)
		}
		if p.due() {
			if err := p.save(w); err != nil {
				return err
			}
		}
		var b *batch
		b, todo = nextBatch(todo, r.o.Budget, !r.o.NoPrefixSharing)
		if err := b.run(r.model, r.o.K, r.o.StoreTopK); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		for _, t := range b.tasks {
			r.work.Tokens += int64(t.tokens)
		}
		r.work.Computed += int64(b.size)
		progress.Add(int64(len(b.tasks)), r.work.String())
	}
	if err := ctx.Err(); err != nil {
		return cmp.Or(p.save(w), err)
	}
	return nil
}

// finish copies the tokenizer, sums the shards up and writes the manifest last. It
// alone takes the folder of what was partly scored away: workers may save there.
func (r *run) finish(m *parquet.Manifest) (Summary, error) {
	if err := store.RemoveAll(store.Join(r.o.Out, parquet.PartialName)); err != nil {
		return Summary{}, err
	}
	if r.tokenizer != nil {
		if err := store.WriteFile(store.Join(r.o.Out, parquet.TokenizerName), r.tokenizer); err != nil {
			return Summary{}, err
		}
	}
	sum, err := r.summarize()
	if err != nil {
		return sum, err
	}
	if m.Summary, err = sum.json(); err != nil {
		return sum, err
	}
	sum.Work = r.work
	sum.TokensPerSecond = float64(r.work.Tokens) / max(r.spent.Seconds(), 1e-9)
	return sum, parquet.WriteManifest(r.o.Out, m)
}
