package tokenize

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"eaft/internal/cli"
	"eaft/internal/store"
	"eaft/internal/version"
	"eaft/parquet"
)

// segment is a shard of every dataset of the run, made of one run of records.
// Beside its shards lie parts, which go when the run is finished: the rejects of
// each dataset, and what the removal of duplicates must know of them.
type segment struct {
	r      *run
	i      int
	shards []*shard  // by split
	seen   *partFile // nil: duplicates stay
}

// partFile is a file beside the shards.
type partFile struct {
	*bufio.Writer
	file *store.Writer
}

func createPart(path string) (*partFile, error) {
	f, err := store.Create(path)
	if err != nil {
		return nil, err
	}
	return &partFile{bufio.NewWriter(f), f}, nil
}

func (p *partFile) commit() error {
	if err := p.Flush(); err != nil {
		return err
	}
	f := p.file
	p.file = nil
	return f.Commit()
}

// abort does nothing after commit.
func (p *partFile) abort() {
	if p != nil && p.file != nil {
		p.file.Abort()
		p.file = nil
	}
}

// shard is one dataset's.
type shard struct {
	rows    *parquet.TokensWriter
	rejects *partFile
	ledger  parquet.Ledger
	report  Report
}

// Names of a segment's parts.
func (r *run) rejectsPart(split, i int) string {
	return store.Join(r.dirs[split], fmt.Sprintf("rejects-%05d-of-%05d.jsonl", i, r.count))
}

func (r *run) seenPart(i int) string {
	return store.Join(r.dirs[0], fmt.Sprintf("seen-%05d-of-%05d.bin", i, r.count))
}

func (r *run) shardPath(split, i int) string {
	return store.Join(r.dirs[split], parquet.ShardName(i, r.count))
}

func (r *run) newSegment(i int) (s *segment, err error) {
	s = &segment{r: r, i: i}
	defer func() {
		if err != nil {
			s.abort()
		}
	}()
	for split := range r.dirs {
		var d shard
		create := parquet.CreateTokens
		if r.o.Map[weightTarget] != "" { // in every shard, also where none of its rows has one
			create = parquet.CreateWeightedTokens
		}
		if d.rows, err = create(r.shardPath(split, i)); err != nil {
			return nil, err
		}
		s.shards = append(s.shards, &d)
		if d.rejects, err = createPart(r.rejectsPart(split, i)); err != nil {
			return nil, err
		}
	}
	if r.dedup != nil {
		if s.seen, err = createPart(r.seenPart(i)); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// fill takes the segment's records from jobs.
func (s *segment) fill(ctx context.Context, jobs <-chan *job, n int64, progress *cli.Progress) error {
	for n > 0 {
		var j *job
		select {
		case j = <-jobs:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if j == nil {
			return fmt.Errorf("internal error: %d records of shard %d never came", n, s.i)
		}
		<-j.done
		if j.err != nil {
			return j.err
		}
		for k := range j.results {
			if err := s.take(j.records[k], &j.results[k]); err != nil {
				return err
			}
			j.results[k] = result{}
		}
		n -= int64(len(j.records))
		progress.Add(int64(len(j.records)), "")
	}
	return nil
}

// take writes what became of a record and accounts for it.
func (s *segment) take(rec record, res *result) error {
	if res.err != nil {
		return res.err
	}
	d := s.shards[res.split]
	d.ledger.RowsIn++
	if res.why == nil && s.r.dedup != nil {
		var err error
		if res.why, err = s.r.dedup.see(rec.place, res.key, res.signature, s.seen); err != nil {
			return err
		}
	}
	if res.why != nil {
		return d.reject(rec, res.why)
	}
	d.ledger.Split += int64(len(res.pieces) - 1)
	for _, p := range res.pieces {
		if p.why != nil {
			if err := d.reject(rec, p.why); err != nil {
				return err
			}
			continue
		}
		d.ledger.RowsOut++
		if res.truncated {
			d.ledger.Truncated++
		}
		d.ledger.Tokens += int64(len(p.row.InputIDs))
		d.ledger.Targets += targets(p.row)
		d.report.count(s.r.l, p.row)
		if err := d.rows.Write(p.row); err != nil {
			return err
		}
	}
	return nil
}

func (d *shard) reject(rec record, why *reject) error {
	d.ledger.Add(parquet.Ledger{Dropped: map[string]int64{why.reason: 1}})
	d.report.example(why.reason, Example{rec.source, rec.row, why.detail})
	enc := json.NewEncoder(d.rejects)
	enc.SetEscapeHTML(false)
	return enc.Encode(struct {
		Source string `json:"source"`
		Row    int64  `json:"row"`
		Reason string `json:"reason"`
		Detail string `json:"detail"`
	}{rec.source, rec.row, why.reason, why.detail})
}

// commit names the parts first: a shard that is there says that they are too.
func (s *segment) commit() (err error) {
	defer func() {
		if err != nil {
			s.abort()
		}
	}()
	for _, d := range s.shards {
		if err := d.ledger.Check(); err != nil {
			return fmt.Errorf("internal error: shard %d: %w", s.i, err)
		}
		if err := d.rejects.commit(); err != nil {
			return err
		}
	}
	if s.seen != nil {
		if err := s.seen.commit(); err != nil {
			return err
		}
	}
	for split, d := range s.shards {
		summary, err := json.Marshal(&d.report)
		if err != nil {
			return err
		}
		info, err := d.rows.Commit(parquet.Meta{Schema: schema, Version: version.Version, Hashes: s.r.hashes[split], Ledger: d.ledger, Summary: summary})
		if err != nil {
			return err
		}
		if info.Rows != d.ledger.RowsOut {
			return fmt.Errorf("internal error: %s has %d rows, the ledger %d", info.Name, info.Rows, d.ledger.RowsOut)
		}
		s.r.sets[split].add(info, &d.ledger, &d.report)
	}
	return nil
}

func (s *segment) abort() {
	for _, d := range s.shards {
		d.rows.Abort()
		d.rejects.abort()
	}
	s.seen.abort()
}

// kept tells which segments an earlier run finished: all of their shards and
// parts are there, and made of the same things by the same version. A worker looks
// at its own only.
func (r *run) kept() ([]bool, error) {
	var have []map[string]int64 // by split
	for _, dir := range r.dirs {
		sizes, err := store.Sizes(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		have = append(have, sizes)
	}
	there := func(split int, path string) bool {
		_, ok := have[split][store.Base(path)]
		return ok
	}
	kept := make([]bool, r.count)
	for i := range kept {
		if r.o.Only != nil && !slices.Contains(r.o.Only, i) {
			continue
		}
		kept[i] = r.dedup == nil || there(0, r.seenPart(i))
		for split := range r.dirs {
			if !there(split, r.shardPath(split, i)) {
				kept[i] = false
				continue
			}
			meta, err := parquet.ReadMeta(r.shardPath(split, i))
			if err != nil {
				return nil, err
			}
			if err := r.same(split, meta.Schema, meta.Hashes); err != nil {
				return nil, err
			}
			kept[i] = kept[i] && there(split, r.rejectsPart(split, i)) && meta.Version == version.Version
		}
	}
	return kept, nil
}

// keep accounts for a segment that is there already.
func (r *run) keep(i int) error {
	if r.dedup != nil {
		if err := r.dedup.load(r.seenPart(i)); err != nil {
			return err
		}
	}
	for split := range r.dirs {
		path := r.shardPath(split, i)
		meta, err := parquet.ReadMeta(path)
		if err != nil {
			return err
		}
		report, err := readReport(meta.Summary)
		if err != nil {
			return fmt.Errorf("%s: metadata eaft.summary: %w", path, err)
		}
		st, err := store.Stat(path)
		if err != nil {
			return err
		}
		sum, err := store.Hash(path)
		if err != nil {
			return err
		}
		info := parquet.ShardInfo{Name: store.Base(path), Rows: meta.Ledger.RowsOut, Bytes: st.Size, SHA256: sum}
		r.sets[split].add(info, &meta.Ledger, report)
	}
	return nil
}
