package train

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"eaft/compute"
	"eaft/internal/cli"
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
	RecordName  = "run.json"
)

// Record is run.json.
type Record struct {
	Version string            `json:"version"`
	Options Options           `json:"options"`
	Hashes  map[string]string `json:"hashes"` // model, tokens, scores
	ISA     string            `json:"isa"`
	Ledger  parquet.Ledger    `json:"ledger"`
	Steps   int               `json:"steps"`
	Visits  []Visits          `json:"visits,omitempty"` // of each source, with --mix
}

// Run fine-tunes checkpoint on dev as o says and writes o.Out. When ctx is
// cancelled it stops after the micro-batch and returns ctx.Err(); the folder
// then holds nothing that a later stage accepts.
func Run(ctx context.Context, dev compute.Device, checkpoint *weights.Checkpoint, o Options) error {
	if err := o.Check(); err != nil {
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
	rec := Record{Version: version.Version, Options: o, Hashes: in.hashes, ISA: dev.ISA()}
	if done, err := finished(&o, &rec); done || err != nil {
		return err
	}
	spec, err := model.SpecOf(checkpoint)
	if err != nil {
		return &cli.Error{Code: cli.ExitUsage, Err: err}
	}
	rows, ledger, err := loadRows(in.tokens, o.MaxRows, spec.Vocab, spec.MaxPositions)
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return nothingToTrain(o.Tokens, ledger)
	}
	rec.Ledger = ledger
	if err := in.join(rows); err != nil {
		return err
	}
	steps, err := o.planned(rows, &rec)
	if err != nil {
		return err
	}
	if err := prepare(&o); err != nil {
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
	cli.SteadyHeap()
	if o.Memory > 0 {
		if err := m.FitMemory(o.Memory, largest(steps)); err != nil {
			return cli.Usagef("--memory: %w", err)
		}
	}
	s, err := loop(ctx, newTrainer(dev, m, &o), rows, steps, in, &rec)
	if err != nil {
		return err
	}
	if err := o.save(m, checkpoint); err != nil {
		return err
	}
	if err := writeJSON(filepath.Join(o.Out, SummaryName), s); err != nil {
		return err
	}
	if err := writeJSON(filepath.Join(o.Out, RecordName), rec); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(o.Out, unfinishedName)); err != nil {
		return err
	}
	return s.Table(o.Stdout)
}

// loop trains and writes the metrics and the audit.
func loop(ctx context.Context, t *trainer, rows []*row, steps []step, in *inputs, rec *Record) (*Summary, error) {
	f, err := os.Create(filepath.Join(t.o.Out, MetricsName))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewWriter(f)
	audit, err := newAudit(filepath.Join(t.o.Out, AuditName))
	if err != nil {
		return nil, err
	}
	defer audit.w.Abort()
	t.visit = audit.visit

	var total int64
	for _, s := range steps {
		for _, r := range s.rows {
			total += int64(len(r.ids))
		}
	}
	sum := newSummary(in, t.o.K)
	bar := cli.NewProgress(t.o.Stderr, "train", "tokens", total, 0)
	for i, s := range steps {
		mt, err := t.step(ctx, s, i+1, t.o.rateAt(i, len(steps)))
		if err != nil {
			return nil, err
		}
		line, err := json.Marshal(mt)
		if err != nil {
			return nil, err
		}
		lines.Write(append(line, '\n'))
		if err := lines.Flush(); err != nil {
			return nil, err
		}
		sum.add(mt)
		bar.Add(mt.Tokens, fmt.Sprintf("step %d/%d  loss %.4f  weight %.3f", i+1, len(steps), mt.Loss, mt.MeanWeight))
	}
	bar.Done()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return nil, err
	}
	sum.close(rows)
	return sum, audit.commit(rec, t.o)
}

// finished reports whether o.Out holds this very run, finished, and then prints
// its closing table. A finished run of something else is an error.
func finished(o *Options, now *Record) (bool, error) {
	data, err := os.ReadFile(filepath.Join(o.Out, RecordName))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var was Record
	if err := json.Unmarshal(data, &was); err != nil {
		return false, cli.Usagef("%s: %w; remove the folder or choose another --out", filepath.Join(o.Out, RecordName), err)
	}
	if err := was.same(now, o.Out); err != nil {
		return false, err
	}
	if data, err = os.ReadFile(filepath.Join(o.Out, SummaryName)); err != nil {
		return false, err
	}
	var s Summary
	if err := json.Unmarshal(data, &s); err != nil {
		return false, fmt.Errorf("%s: %w", filepath.Join(o.Out, SummaryName), err)
	}
	fmt.Fprintf(o.Stderr, "%s is finished already; nothing to do\n", o.Out)
	return true, s.Table(o.Stdout)
}

// same is the first difference between a finished run and the one asked for.
func (was *Record) same(now *Record, out string) error {
	a, b := fields(was), fields(now)
	for _, name := range b.names {
		if a.values[name] != b.values[name] {
			return cli.Usagef("%s holds a finished run with %s %s, not %s: remove the folder or choose another --out",
				out, name, show(a.values[name]), show(b.values[name]))
		}
	}
	return nil
}

// unfinishedName marks a folder as that of a run that has begun. What stands in
// a folder without it is somebody else's and is left alone.
const unfinishedName = "_unfinished"

// prepare removes what an unfinished run left in the folder, and marks it as
// this one's. It refuses a folder whose files no run of ours has begun.
func prepare(o *Options) error {
	mark := filepath.Join(o.Out, unfinishedName)
	_, err := os.Stat(mark)
	begun := err == nil
	left := false
	for _, name := range []string{MetricsName, SummaryName, AuditName, ModelName, AdapterName} {
		path := filepath.Join(o.Out, name)
		if _, err := os.Lstat(path); err != nil {
			continue
		}
		if !begun {
			return cli.Usagef("--out %s: %s is there already and is not of an unfinished run: choose another --out", o.Out, path)
		}
		left = true
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	if left {
		fmt.Fprintf(o.Stderr, "%s holds an unfinished run; starting anew\n", o.Out)
	}
	if err := os.MkdirAll(o.Out, 0o777); err != nil {
		return cli.Usagef("--out: %w", err)
	}
	if err := parquet.CleanTemps(o.Out); err != nil {
		return err
	}
	if err := parquet.WriteFileAtomic(mark, nil); err != nil {
		return cli.Usagef("--out: %w", err)
	}
	return nil
}

func writeJSON(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return parquet.WriteFileAtomic(path, append(data, '\n'))
}
