package train

import (
	"os"
	"path/filepath"

	"eaft/internal/version"
	"eaft/parquet"
)

// audit writes a row of audit/1 for each visit of a training row.
type audit struct {
	dir    string
	w      *parquet.AuditWriter
	ledger parquet.Ledger
}

func newAudit(dir string) (*audit, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	w, err := parquet.CreateAudit(filepath.Join(dir, parquet.ShardName(0, 1)))
	return &audit{dir: dir, w: w}, err
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
	return a.w.Write(&out)
}

// commit completes the dataset; its ledger counts visits.
func (a *audit) commit(rec *Record, o *Options) error {
	meta := parquet.Meta{Schema: parquet.SchemaAudit, Version: version.Version, Hashes: rec.Hashes, K: o.K,
		ISA: rec.ISA, DType: o.DType, Targets: "trained", Ledger: a.ledger}
	info, err := a.w.Commit(meta)
	if err != nil {
		return err
	}
	return parquet.WriteManifest(a.dir, &parquet.Manifest{Schema: meta.Schema, Version: version.Version,
		Shards: []parquet.ShardInfo{info}, Hashes: rec.Hashes, Ledger: a.ledger, K: o.K, ISA: rec.ISA,
		DType: o.DType, Targets: meta.Targets,
		Tokens: beside(a.dir, o.Tokens), Scores: beside(a.dir, o.Scores)})
}
