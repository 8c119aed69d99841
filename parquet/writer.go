package parquet

import (
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"
	pq "github.com/parquet-go/parquet-go"

	"eaft/internal/store"
	"eaft/internal/version"
)

// A row group ends at this many bytes of values before encoding, or this many
// rows: it is what a writer, and a reader of one page per column, must hold.
const (
	rowGroupBytes = 4 << 20
	rowGroupRows  = 8192
)

// shardWriter streams rows of type T into a temporary file.
type shardWriter[T any] struct {
	schema  string
	tmp     *store.Writer
	pq      *pq.GenericWriter[T]
	one     [1]T
	rows    int64
	pending int // bytes in the open row group
	inGroup int
	err     error // first failure: nothing can be committed after it
	done    bool
}

// pageBytes is the size of a page before compression, with levels; what a row
// group of tokens has of a column fits. Of pages of 256 KB, which is the
// library's choice, zstd makes 7% more.
const pageBytes = 3 << 19

func newShardWriter[T any](path, schema string, level zstd.EncoderLevel) (*shardWriter[T], error) {
	tmp, err := store.Create(path)
	if err != nil {
		return nil, err
	}
	config := pq.DefaultWriterConfig()
	config.CreatedBy = writtenBy + version.Version + " (build " + version.Version + ")"
	config.Compression = newCodec(level)
	config.PageBufferSize = pageBytes
	// Bounds of texts would repeat them in the footer.
	config.SkipPageBounds = [][]string{{"text"}}
	return &shardWriter[T]{schema: schema, tmp: tmp, pq: pq.NewGenericWriter[T](tmp, config)}, nil
}

func (w *shardWriter[T]) write(row *T, size int) (err error) {
	if w.done {
		return fmt.Errorf("%s: write after commit or abort", w.tmp.Name())
	}
	if w.err != nil {
		return w.err
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
		if err != nil {
			w.err = fmt.Errorf("%s: row %d: %w", w.tmp.Name(), w.rows, err)
			err = w.err
		}
	}()
	w.one[0] = *row
	if _, err := w.pq.Write(w.one[:]); err != nil {
		return err
	}
	w.rows++
	w.pending += size
	w.inGroup++
	if w.pending >= rowGroupBytes || w.inGroup >= rowGroupRows {
		w.pending, w.inGroup = 0, 0
		return w.pq.Flush()
	}
	return nil
}

// Commit writes the footer with meta and gives the shard its name. On an error
// nothing is left behind.
func (w *shardWriter[T]) Commit(meta Meta) (info ShardInfo, err error) {
	if w.done {
		return ShardInfo{}, fmt.Errorf("%s: commit after commit or abort", w.tmp.Name())
	}
	if meta.Schema == "" {
		meta.Schema = w.schema
	}
	if err := w.finish(meta); err != nil {
		w.Abort()
		return ShardInfo{}, err
	}
	w.done = true
	if err := w.tmp.Commit(); err != nil {
		return ShardInfo{}, fmt.Errorf("%s: %w", w.tmp.Name(), err)
	}
	return ShardInfo{Name: store.Base(w.tmp.Name()), Rows: w.rows, Bytes: w.tmp.Size(), SHA256: w.tmp.Hash()}, nil
}

func (w *shardWriter[T]) finish(meta Meta) (err error) {
	if w.err != nil {
		return w.err
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%s: %v", w.tmp.Name(), r)
		}
	}()
	if meta.Schema != w.schema {
		return fmt.Errorf("%s: schema %s cannot be committed as %s", w.tmp.Name(), w.schema, meta.Schema)
	}
	pairs, err := meta.pairs()
	if err != nil {
		return fmt.Errorf("%s: %w", w.tmp.Name(), err)
	}
	for _, p := range pairs {
		w.pq.SetKeyValueMetadata(p.key, p.value)
	}
	if err := w.pq.Close(); err != nil {
		return fmt.Errorf("%s: %w", w.tmp.Name(), err)
	}
	return nil
}

// Abort removes what was written. It does nothing after Commit.
func (w *shardWriter[T]) Abort() {
	if !w.done {
		w.done = true
		w.tmp.Abort()
	}
}

// AuditWriter writes a shard of audit/1.
type AuditWriter struct{ *shardWriter[AuditRow] }

// CreateAudit starts a shard that Commit will name path.
func CreateAudit(path string) (*AuditWriter, error) {
	w, err := newShardWriter[AuditRow](path, SchemaAudit, zstd.SpeedDefault)
	return &AuditWriter{w}, err
}

// Write appends a row; after an error nothing can be committed.
func (w *AuditWriter) Write(r *AuditRow) error {
	if err := r.sameLens(); err != nil {
		return w.refuse(err)
	}
	return w.write(r, 64+len(r.ID)+32*len(r.Pos))
}

// refuse marks the shard as failed: a row is missing from it.
func (w *shardWriter[T]) refuse(err error) error {
	if w.err == nil {
		w.err = fmt.Errorf("%s: row %d: %w", w.tmp.Name(), w.rows, err)
	}
	return w.err
}

func sameLen(column string, got, want int) error {
	if got != want {
		return fmt.Errorf("column %s has %d entries where %d are needed", column, got, want)
	}
	return nil
}

func (r *ScoresRow) sameLens() error {
	n := len(r.Pos)
	return errors.Join(sameLen("token", len(r.Token), n), sameLen("logprob", len(r.LogProb), n),
		sameLen("entropy", len(r.Entropy), n), sameLen("topk_entropy", len(r.TopKEntropy), n),
		sameLen("topk_mass", len(r.TopKMass), n), sameLen("top1_logprob", len(r.Top1LogProb), n),
		sameLen("rank", len(r.Rank), n), sameLen("top1_id", len(r.Top1ID), n))
}

// topKLens checks that there are n likeliest tokens for each target.
func (r *ScoresRow) topKLens(n int) error {
	return errors.Join(sameLen("topk_id", len(r.TopKID), n*len(r.Pos)), sameLen("topk_logprob", len(r.TopKLogProb), n*len(r.Pos)))
}

func (r *AuditRow) sameLens() error {
	n, base := len(r.Pos), 0
	if len(r.BaseLogProb) > 0 { // without an annotation its lists are empty
		base = n
	}
	return errors.Join(sameLen("logprob", len(r.LogProb), n), sameLen("topk_entropy", len(r.TopKEntropy), n),
		sameLen("topk_mass", len(r.TopKMass), n), sameLen("weight", len(r.Weight), n), sameLen("base_logprob", len(r.BaseLogProb), base),
		sameLen("base_topk_entropy", len(r.BaseTopKEntropy), base), sameLen("base_topk_mass", len(r.BaseTopKMass), base))
}
