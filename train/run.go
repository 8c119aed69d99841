package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"eaft/compute"
	"eaft/internal/cli"
	"eaft/internal/store"
	"eaft/internal/version"
	"eaft/model"
	"eaft/model/weights"
	"eaft/parquet"
)

// Files of a run in its folder. Record is written last and completes the run.
const (
	MetricsName = "metrics.jsonl"
	AuditName   = "audit"
	ModelName   = "model"
	SummaryName = "summary.json"
	EventsName  = "tensorboard"
	RecordName  = "run.json"
)

// Record is run.json.
type Record struct {
	Version string            `json:"version"`
	Options Options           `json:"options"`
	Hashes  map[string]string `json:"hashes"` // model, tokens, scores, match_step, eval.NAME, tokenizer (of the ids), model_tokenizer
	ISA     string            `json:"isa"`
	// Numerics of the program, as Version and ISA are: of several that made a run
	// the last, and all of them are Engines.
	Numerics int            `json:"numerics"`
	Engines  []Engine       `json:"engines,omitempty"`
	Ledger   parquet.Ledger `json:"ledger"`
	Steps    int            `json:"steps"`
	Visits   []Visits       `json:"visits,omitempty"` // of each source, with --mix
}

// Run fine-tunes checkpoint on dev as o says and writes o.Out, going on from a
// checkpoint there as o.Resume says. When ctx is cancelled it stops after the
// micro-batch, drops the step that this belongs to, writes a checkpoint and
// returns ctx.Err(); the folder then holds nothing that a later stage accepts.
// Training that was stopped and went on with the same instruction set and Numerics
// ends with the bytes of training that was not, but for the clock's fields in the
// metrics.
func Run(ctx context.Context, dev compute.Device, checkpoint *weights.Checkpoint, o Options) (err error) {
	if err := o.Check(); err != nil {
		return err
	}
	if err := o.checkResume(); err != nil {
		return err
	}
	// As plain paths: what is written holds no name of a file:// URL.
	for _, name := range []*string{&o.Out, &o.Resume, &o.Model} {
		*name = store.Local(*name)
	}
	if err := checkOut(o.Out); err != nil {
		return err
	}
	dtype, err := compute.ParseDType(o.DType)
	if err != nil {
		return cli.Usagef("--dtype: %w", err)
	}
	in, err := openInputs(checkpoint, &o)
	if err != nil {
		return err
	}
	rec := Record{Version: version.Version, Options: o, Hashes: in.hashes, ISA: dev.ISA(), Numerics: Numerics}
	if done, err := finished(&o, &rec); done || err != nil {
		return err
	}
	spec, err := model.SpecOf(checkpoint)
	if err != nil {
		return &cli.Error{Code: cli.ExitUsage, Err: err}
	}
	if o.K > spec.Vocab {
		return cli.Usagef("--k %d: the model's vocabulary has %d tokens", o.K, spec.Vocab)
	}
	if err := in.verify(o.MaxRows); err != nil {
		return err
	}
	set, err := loadRows(in.tokens, o.MaxRows, spec.Vocab, spec.MaxPositions)
	if err != nil {
		return err
	}
	rows := set.rows
	if len(rows) == 0 {
		return set.nothingToTrain(o.Tokens)
	}
	rec.Ledger = set.ledger
	if err := in.join(rows); err != nil {
		return err
	}
	steps, err := o.planned(rows, &rec)
	if err != nil {
		return err
	}
	if err := in.matches(&o, len(steps)); err != nil {
		return err
	}
	ctx, r, err := o.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { err = r.close(err) }()
	l, err := acquire(o.dir)
	if err != nil {
		return err
	}
	defer l.release()
	if done, err := finished(&o, &rec); done || err != nil {
		return err // by a run that ended since
	}
	from, at, left, err := survey(&o, &rec)
	if err != nil {
		return err
	}
	if err := o.gate(set); err != nil {
		return err
	}
	m, err := model.Load(dev, checkpoint, model.Options{DType: dtype, Train: o.LoRA == 0, Moments: o.momentBytes, RandomInit: o.FromScratch, Seed: o.Seed})
	if err != nil {
		return &cli.Error{Code: cli.ExitUsage, Err: err}
	}
	if l := o.lora(); l != nil {
		if err := m.AddLoRA(*l); err != nil {
			return &cli.Error{Code: cli.ExitUsage, Err: err}
		}
	}
	reg, err := newRegular(dev, checkpoint, m, dtype, &o)
	if err != nil {
		return err
	}
	cli.SteadyHeap()
	held, err := openHeldOut(ctx, m, dev, checkpoint, &o, in)
	if err != nil {
		return err
	}
	if o.Memory > 0 {
		if err := o.fitMemory(m, reg, held, largest(steps)); err != nil {
			return cli.Usagef("--memory: %w", err)
		}
		if err := held.fitMerged(m, o.Memory); err != nil {
			return cli.Usagef("--memory: %w", err)
		}
	}
	// All that can be refused was: from here on the folder is this run's.
	l.begun = true
	if err := prepare(&o, set, left, at == nil); err != nil {
		return err
	}
	t := newTrainer(dev, m, &o)
	t.reg = reg
	c, err := begin(t, held, &rec, rows, steps, in, from, at)
	if err != nil {
		return err
	}
	defer c.close()
	if err := c.train(ctx); err != nil {
		return err
	}
	if err := c.finish(ctx, checkpoint); err != nil && errors.Is(err, ctx.Err()) {
		return c.stop(err)
	} else if err != nil {
		return c.rescue(err)
	}
	for _, name := range o.products() {
		fmt.Fprintf(o.Stderr, "%s is written\n", store.Join(o.Out, name))
	}
	return c.sum.Table(o.Stdout)
}

// products are the folders that a run is made for.
func (o *Options) products() (names []string) {
	if o.LoRA > 0 {
		names = append(names, AdapterName)
	}
	if o.LoRA == 0 || o.Merge {
		names = append(names, ModelName)
	}
	return names
}

// finished reports whether o.Out holds this very run, finished, and then prints
// its closing table. A finished run of something else is an error.
func finished(o *Options, now *Record) (bool, error) {
	data, err := store.ReadFile(store.Join(o.Out, RecordName))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var was Record
	if err := json.Unmarshal(data, &was); err != nil {
		return false, cli.Usagef("%s: %w; remove the folder or choose another --out", store.Join(o.Out, RecordName), err)
	}
	if err := was.same(now, o.Out+" holds a finished run", "remove the folder or choose another --out"); err != nil {
		return false, err
	}
	if data, err = store.ReadFile(store.Join(o.Out, SummaryName)); err != nil {
		return false, err
	}
	made := []string{filepath.Join(AuditName, parquet.ManifestName)}
	for _, name := range o.products() {
		made = append(made, filepath.Join(name, map[string]string{AdapterName: weights.AdapterConfig, ModelName: "config.json"}[name]))
	}
	for _, name := range made {
		if _, err := store.Stat(store.Join(o.Out, name)); err != nil {
			return false, cli.Usagef("%s says that the run is finished, but: %w; remove the folder or choose another --out", store.Join(o.Out, RecordName), err)
		}
	}
	var s Summary
	if err := json.Unmarshal(data, &s); err != nil {
		return false, fmt.Errorf("%s: %w", store.Join(o.Out, SummaryName), err)
	}
	if !store.IsURL(o.Out) { // of a run that was killed before it could
		if err := tidy(o.Out); err != nil {
			return false, err
		}
	}
	fmt.Fprintf(o.Stderr, "%s is finished already; nothing to do\n", o.Out)
	return true, s.Table(o.Stdout)
}

// same is the first difference between the run of a record and the one asked for,
// said of what holds it.
func (was *Record) same(now *Record, holder, remedy string) error {
	a, b := fields(was), fields(now)
	for _, name := range b.names {
		if a.values[name] != b.values[name] {
			return cli.Usagef("%s with %s %s, not %s: %s", holder, name, show(a.values[name]), show(b.values[name]), remedy)
		}
	}
	return nil
}

// complete writes the record and takes the mark of an unfinished run away.
func complete(o *Options, rec *Record) error {
	if err := writeJSON(filepath.Join(o.dir, RecordName), rec); err != nil {
		return err
	}
	return os.Remove(filepath.Join(o.dir, unfinishedName))
}

func writeJSON(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return store.WriteFile(path, append(data, '\n'))
}
