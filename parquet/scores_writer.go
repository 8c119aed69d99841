package parquet

import "github.com/klauspost/compress/zstd"

// ScoresWriter writes a shard of scores/1. One of plain and wide is set.
type ScoresWriter struct {
	storeTopK int
	plain     *shardWriter[ScoresRow]
	wide      *shardWriter[scoresTopKRow]
}

// CreateScores starts a shard that Commit will name path, with the storeTopK
// likeliest tokens of each target; 0: without their columns.
func CreateScores(path string, storeTopK int) (w *ScoresWriter, err error) {
	w = &ScoresWriter{storeTopK: storeTopK}
	if storeTopK > 0 {
		w.wide, err = newShardWriter[scoresTopKRow](path, SchemaScores, zstd.SpeedDefault)
	} else {
		w.plain, err = newShardWriter[ScoresRow](path, SchemaScores, zstd.SpeedDefault)
	}
	return w, err
}

// Write appends a row; after an error nothing can be committed.
func (w *ScoresWriter) Write(r *ScoresRow) error {
	err := r.sameLens()
	if err == nil {
		err = r.topKLens(w.storeTopK)
	}
	size := 64 + len(r.ID) + (36+8*w.storeTopK)*len(r.Pos)
	switch {
	case w.wide == nil && err != nil:
		return w.plain.refuse(err)
	case w.wide == nil:
		return w.plain.write(r, size)
	case err != nil:
		return w.wide.refuse(err)
	}
	return w.wide.write(&scoresTopKRow{*r, r.TopKID, r.TopKLogProb}, size)
}

// Commit writes the footer with meta and gives the shard its name. On an error
// nothing is left behind.
func (w *ScoresWriter) Commit(meta Meta) (ShardInfo, error) {
	meta.StoreTopK = w.storeTopK
	if w.wide != nil {
		return w.wide.Commit(meta)
	}
	return w.plain.Commit(meta)
}

// Abort removes what was written. It does nothing after Commit.
func (w *ScoresWriter) Abort() {
	if w.wide != nil {
		w.wide.Abort()
	} else {
		w.plain.Abort()
	}
}
