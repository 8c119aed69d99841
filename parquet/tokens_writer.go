package parquet

import (
	"errors"

	"github.com/klauspost/compress/zstd"
)

// TokensWriter writes a shard of tokens/1. One of plain and weighted is set.
type TokensWriter struct {
	plain    *shardWriter[TokensRow]
	weighted *shardWriter[weightedRow]
}

// CreateTokens starts a shard that Commit will name path, without the column weight.
func CreateTokens(path string) (*TokensWriter, error) {
	w, err := newShardWriter[TokensRow](path, SchemaTokens, zstd.SpeedFastest)
	return &TokensWriter{plain: w}, err
}

// CreateWeightedTokens starts a shard with the column weight.
func CreateWeightedTokens(path string) (*TokensWriter, error) {
	w, err := newShardWriter[weightedRow](path, SchemaTokens, zstd.SpeedFastest)
	return &TokensWriter{weighted: w}, err
}

// Write appends a row; after an error nothing can be committed.
func (w *TokensWriter) Write(r *TokensRow) error {
	n, m := len(r.InputIDs), len(r.TokenStart)
	err := errors.Join(sameLen("labels", len(r.Labels), n), sameLen("token_end", len(r.TokenEnd), m))
	if err == nil && r.Weight != nil && w.weighted == nil {
		err = errors.New("the row has a weight, which a shard without that column would lose")
	}
	size := 64 + len(r.ID) + len(r.Source) + len(r.Text) + 8*n + 8*m + 24*len(r.Spans)
	switch {
	case w.weighted == nil && err != nil:
		return w.plain.refuse(err)
	case w.weighted == nil:
		return w.plain.write(r, size)
	case err != nil:
		return w.weighted.refuse(err)
	}
	return w.weighted.write(&weightedRow{*r, r.Weight}, size+4)
}

// Commit writes the footer with meta and gives the shard its name. On an error
// nothing is left behind.
func (w *TokensWriter) Commit(meta Meta) (ShardInfo, error) {
	if w.weighted != nil {
		return w.weighted.Commit(meta)
	}
	return w.plain.Commit(meta)
}

// Abort removes what was written. It does nothing after Commit.
func (w *TokensWriter) Abort() {
	if w.weighted != nil {
		w.weighted.Abort()
	} else {
		w.plain.Abort()
	}
}
