package tokenize

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"eaft/internal/cli"
	"eaft/internal/version"
	"eaft/parquet"
)

const schema = "tokens/1"

// Run makes the dataset and returns its manifest. A finished dataset of the same
// inputs and options is left as it is (again is true); of one that was stopped,
// only the missing shards are made.
func Run(ctx context.Context, l *Language, o Options) (m *parquet.Manifest, again bool, err error) {
	if err := o.check(); err != nil {
		return nil, false, err
	}
	sources, err := countRecords(o.Inputs)
	if err != nil {
		return nil, false, err
	}
	options, err := o.hash()
	if err != nil {
		return nil, false, err
	}
	list, err := json.Marshal(sourceHashes(sources))
	if err != nil {
		return nil, false, err
	}
	r := &run{l: l.training(o.TrainOn), o: &o, sources: sources, hashes: map[string]string{
		"tokenizer": l.Tokenizer.Fingerprint(), "template": hashOf([]byte(l.Template)), "source": hashOf(list), "options": options,
	}}
	if err := os.MkdirAll(o.Out, 0o755); err != nil {
		return nil, false, err
	}
	m, err = parquet.ReadManifest(o.Out)
	if err == nil {
		if err := r.same(m.Schema, m.Hashes); err != nil {
			return nil, false, err
		}
		if _, err := parquet.OpenDataset(o.Out, schema); err != nil {
			return nil, false, err
		}
		return m, true, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, false, err
	}
	if err := parquet.CleanTemps(o.Out); err != nil {
		return nil, false, err
	}
	m, err = r.shards(ctx)
	return m, false, err
}

func sourceHashes(sources []source) [][2]string {
	var out [][2]string
	for _, s := range sources {
		out = append(out, [2]string{s.name, s.hash})
	}
	return out
}

// run is one pass over the inputs.
type run struct {
	l       *Language
	o       *Options
	sources []source
	hashes  map[string]string
}

// same refuses a folder that holds something made otherwise.
func (r *run) same(have string, hashes map[string]string) error {
	if have != schema {
		return cli.Usagef("%s: holds a %s dataset; choose another --out", r.o.Out, have)
	}
	for _, name := range []string{"source", "tokenizer", "template", "options"} {
		if hashes[name] != r.hashes[name] {
			return cli.Usagef("%s: was made with another %s; choose another --out or remove the folder", r.o.Out, name)
		}
	}
	return nil
}

func (r *run) shards(ctx context.Context) (*parquet.Manifest, error) {
	var total int64
	for _, s := range r.sources {
		total += s.records
	}
	if int64(r.o.Shards) > total {
		return nil, cli.Usagef("--shards %d: there are %d records", r.o.Shards, total)
	}
	m := &parquet.Manifest{Schema: schema, Version: version.Version, Hashes: r.hashes}
	progress := cli.NewProgress(r.o.Log, "tokenize", "rows", total, 0)
	next := r.records()
	defer next.stop()
	for i := range r.o.Shards {
		n := int64(r.o.Shards)
		size := total*(int64(i)+1)/n - total*int64(i)/n
		info, ledger, err := r.kept(i)
		if errors.Is(err, fs.ErrNotExist) {
			info, ledger, err = r.shard(ctx, i, size, next, progress)
		} else if err == nil {
			err = next.skip(size)
		}
		if err != nil {
			return nil, err
		}
		m.Shards = append(m.Shards, info)
		m.Ledger.Add(ledger)
	}
	progress.Done()
	return m, r.finish(m)
}

func (r *run) rejectsPart(i int) string {
	return filepath.Join(r.o.Out, fmt.Sprintf("rejects-%05d-of-%05d.jsonl", i, r.o.Shards))
}

// kept is a shard that an earlier run finished; fs.ErrNotExist if there is none.
func (r *run) kept(i int) (info parquet.ShardInfo, ledger parquet.Ledger, err error) {
	path := filepath.Join(r.o.Out, parquet.ShardName(i, r.o.Shards))
	st, err := os.Stat(path)
	if err != nil {
		return info, ledger, err
	}
	if _, err := os.Stat(r.rejectsPart(i)); err != nil {
		return info, ledger, err
	}
	meta, err := parquet.ReadMeta(path)
	if err != nil {
		return info, ledger, err
	}
	if err := r.same(meta.Schema, meta.Hashes); err != nil {
		return info, ledger, err
	}
	sum, err := parquet.HashFile(path)
	return parquet.ShardInfo{Name: filepath.Base(path), Rows: meta.Ledger.RowsOut, Bytes: st.Size(), SHA256: sum}, meta.Ledger, err
}

// result is one record, encoded or refused.
type result struct {
	row       *parquet.TokensRow
	truncated bool
	err       error
}

// batch is how many records the workers share at a time.
const batch = 256

func (r *run) shard(ctx context.Context, i int, size int64, next *records, progress *cli.Progress) (info parquet.ShardInfo, ledger parquet.Ledger, err error) {
	w, err := parquet.CreateTokens(filepath.Join(r.o.Out, parquet.ShardName(i, r.o.Shards)))
	if err != nil {
		return info, ledger, err
	}
	defer func() {
		if err != nil {
			w.Abort()
		}
	}()
	var rejects bytes.Buffer
	for done := int64(0); done < size; {
		if err := ctx.Err(); err != nil {
			return info, ledger, err
		}
		work, err := next.take(min(batch, size-done))
		if err != nil {
			return info, ledger, err
		}
		for k, res := range r.encodeAll(work) {
			ledger.RowsIn++
			var why *reject
			if errors.As(res.err, &why) {
				ledger.Add(parquet.Ledger{Dropped: map[string]int64{why.reason: 1}})
				if err := writeReject(&rejects, work[k], why); err != nil {
					return info, ledger, err
				}
				continue
			}
			if res.err != nil {
				return info, ledger, &cli.Error{Code: cli.ExitUsage, Err: res.err}
			}
			ledger.RowsOut++
			ledger.Tokens += int64(len(res.row.InputIDs))
			ledger.Targets += targets(res.row)
			if res.truncated {
				ledger.Truncated++
			}
			if err := w.Write(res.row); err != nil {
				return info, ledger, err
			}
		}
		done += int64(len(work))
		progress.Add(int64(len(work)), "")
	}
	// The rejects come first: a shard that is there says that they are too.
	if err := parquet.WriteFileAtomic(r.rejectsPart(i), rejects.Bytes()); err != nil {
		return info, ledger, err
	}
	info, err = w.Commit(parquet.Meta{Schema: schema, Version: version.Version, Hashes: r.hashes, Ledger: ledger})
	return info, ledger, err
}

// encodeAll spreads records over the threads; results keep the records' order.
func (r *run) encodeAll(work []record) []result {
	out := make([]result, len(work))
	threads := min(r.o.Threads, len(work))
	var wg sync.WaitGroup
	for t := range threads {
		wg.Go(func() {
			for k := t; k < len(work); k += threads {
				out[k].row, out[k].truncated, out[k].err = r.l.encode(r.o, work[k].raw, work[k].source, work[k].row)
			}
		})
	}
	wg.Wait()
	return out
}

func writeReject(w io.Writer, rec record, why *reject) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(struct {
		Source string `json:"source"`
		Row    int64  `json:"row"`
		Reason string `json:"reason"`
		Detail string `json:"detail"`
	}{rec.source, rec.row, why.reason, why.detail})
}

// finish applies the gate, gathers the rejects and writes the manifest last.
func (r *run) finish(m *parquet.Manifest) error {
	if err := m.Ledger.Check(); err != nil {
		return err
	}
	path := filepath.Join(r.o.Out, "rejects.jsonl")
	var all bytes.Buffer
	for i := range r.o.Shards {
		part, err := os.ReadFile(r.rejectsPart(i))
		if err != nil {
			return err
		}
		all.Write(part)
	}
	if err := parquet.WriteFileAtomic(path, all.Bytes()); err != nil {
		return err
	}
	dropped := m.Ledger.RowsIn - m.Ledger.RowsOut
	if share := float64(dropped) / float64(m.Ledger.RowsIn); share > r.o.MaxReject {
		return cli.Gatef("%d of %d rows cannot be used (%.1f%%; --max-reject is %.1f%%): %s; each is named in %s. Mend them, or allow more with --max-reject",
			dropped, m.Ledger.RowsIn, 100*share, 100*r.o.MaxReject, Reasons(m.Ledger.Dropped), path)
	}
	if m.Ledger.RowsOut == 0 {
		return cli.Usagef("no row can be used: %s; each is named in %s", Reasons(m.Ledger.Dropped), path)
	}
	if err := parquet.WriteFileAtomic(filepath.Join(r.o.Out, "_tokenizer.json"), r.l.Tokenizer.JSON()); err != nil {
		return err
	}
	if err := parquet.WriteManifest(r.o.Out, m); err != nil {
		return err
	}
	for i := range r.o.Shards {
		if err := os.Remove(r.rejectsPart(i)); err != nil {
			return err
		}
	}
	return nil
}

// Reasons spells a count by reason, the reasons in order.
func Reasons(dropped map[string]int64) string {
	var b bytes.Buffer
	for i, reason := range slices.Sorted(maps.Keys(dropped)) {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%d %s", dropped[reason], reason)
	}
	return b.String()
}
