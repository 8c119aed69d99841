package train

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"eaft/internal/store"
	"eaft/internal/version"
	"eaft/parquet"
)

// auditTargets is how many targets a shard of the audit has before it ends with
// their step. The rows of the last, open shard are in memory, some 24 bytes a
// target, and in every checkpoint. Tests make it smaller.
var auditTargets = 1 << 19

// audit writes a row of audit/1 for each visit of a training row. Where shards
// end depends on the plan alone, so that their names and bytes are the same
// whenever a run was stopped.
type audit struct {
	dir    string
	meta   parquet.Meta // of the shards, but for the ledger
	shards int          // that the plan makes
	// Where the manifest says that tokens and scores are; scores "" without.
	tokens, scores string
	auditState
	open []parquet.AuditRow // of the open shard
	// Of the step in progress, which may be dropped.
	step   []parquet.AuditRow
	ledger parquet.Ledger
}

// auditState is what a checkpoint says of the audit, beside the open rows.
type auditState struct {
	Sealed []parquet.ShardInfo `json:"sealed"`
	Ledger parquet.Ledger      `json:"ledger"` // of the sealed shards; counts visits
	Open   parquet.Ledger      `json:"open"`   // of the open shard
}

func newAudit(rec *Record, o *Options, steps []step) *audit {
	a := &audit{dir: filepath.Join(o.dir, AuditName), meta: parquet.Meta{Schema: parquet.SchemaAudit, Version: version.Version,
		Hashes: rec.Hashes, K: o.K, ISA: rec.ISA, DType: o.DType, Targets: "trained"}}
	at := store.Join(o.Out, AuditName)
	a.tokens, a.scores = beside(at, o.Tokens), beside(at, o.Scores)
	n := 0
	for _, s := range steps {
		if n == 0 {
			a.shards++
		}
		for _, r := range s.rows {
			n += len(r.pos)
		}
		if n >= auditTargets {
			n = 0
		}
	}
	return a
}

func (a *audit) visit(s step, n int, r *row, weight []float32) error {
	out := parquet.AuditRow{ID: r.id, Epoch: int32(s.epoch), Step: int32(n), Pos: r.pos,
		LogProb: r.logp, TopKEntropy: r.topk, Weight: weight}
	if r.base != nil {
		out.BaseLogProb, out.BaseTopKEntropy = r.base.logp, r.base.topk
		out.BaseTopKMass = r.base.mass
	}
	out.TopKMass = r.mass
	a.ledger.Add(parquet.Ledger{RowsIn: 1, RowsOut: 1, Tokens: int64(len(r.ids)), Targets: int64(len(r.pos))})
	a.step = append(a.step, out)
	return nil
}

// keep makes the step's visits part of the audit.
func (a *audit) keep() error {
	a.open = append(a.open, a.step...)
	a.Open.Add(a.ledger)
	a.drop()
	if a.Open.Targets >= int64(auditTargets) {
		return a.seal()
	}
	return nil
}

// drop forgets the visits of the step in progress.
func (a *audit) drop() {
	clear(a.step)
	a.step, a.ledger = a.step[:0], parquet.Ledger{}
}

// seal writes the open shard.
func (a *audit) seal() error {
	meta := a.meta
	meta.Ledger = a.Open
	info, err := writeAudit(filepath.Join(a.dir, parquet.ShardName(len(a.Sealed), a.shards)), a.open, meta)
	if err != nil {
		return err
	}
	a.Sealed = append(a.Sealed, info)
	a.Ledger.Add(a.Open)
	clear(a.open)
	a.open, a.Open = a.open[:0], parquet.Ledger{}
	return nil
}

func writeAudit(path string, rows []parquet.AuditRow, meta parquet.Meta) (parquet.ShardInfo, error) {
	w, err := parquet.CreateAudit(path)
	if err != nil {
		return parquet.ShardInfo{}, err
	}
	defer w.Abort()
	for i := range rows {
		if err := w.Write(&rows[i]); err != nil {
			return parquet.ShardInfo{}, err
		}
	}
	return w.Commit(meta)
}

// commit completes the dataset.
func (a *audit) commit() error {
	if len(a.open) > 0 {
		if err := a.seal(); err != nil {
			return err
		}
	}
	return parquet.WriteManifest(a.dir, &parquet.Manifest{Schema: a.meta.Schema, Version: a.meta.Version,
		Shards: a.Sealed, Hashes: a.meta.Hashes, Ledger: a.Ledger, K: a.meta.K, ISA: a.meta.ISA,
		DType: a.meta.DType, Targets: a.meta.Targets,
		Tokens: a.tokens, Scores: a.scores})
}

// begin empties the audit's folder but for the sealed shards.
func (a *audit) begin() error {
	if err := os.MkdirAll(a.dir, 0o777); err != nil {
		return err
	}
	entries, err := os.ReadDir(a.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		keep := false
		for _, s := range a.Sealed {
			keep = keep || s.Name == e.Name()
		}
		if !keep {
			if err := os.RemoveAll(filepath.Join(a.dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// restore reads the open rows of a checkpoint.
func (a *audit) restore(path string, s auditState) error {
	r, err := parquet.OpenAudit(path)
	if err != nil {
		return err
	}
	defer r.Close()
	a.auditState = s
	for {
		var row parquet.AuditRow
		if err := r.Next(&row); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		a.open = append(a.open, row)
	}
	if int64(len(a.open)) != s.Open.RowsOut {
		return fmt.Errorf("%s: %d rows, not %d", path, len(a.open), s.Open.RowsOut)
	}
	return a.begin()
}

// check reports sealed shards that are not as they were.
func (s auditState) check(dir string) error {
	for _, shard := range s.Sealed {
		path := filepath.Join(dir, shard.Name)
		got, err := store.Hash(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return damaged(path + " is missing")
		case err != nil:
			return err
		case got != shard.SHA256:
			return damaged(path + " was changed")
		}
	}
	return nil
}
