package scorer

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"io/fs"
	"slices"

	"eaft/internal/cli"
	"eaft/internal/store"
	"eaft/internal/version"
	"eaft/model/vocabulary"
	"eaft/parquet"
)

// part is one of the annotations that Merge puts together.
type part struct{ scores, tokens *parquet.Dataset }

// Merge writes the annotations of parts of a corpus, and the tokens they
// annotate, as one of each, in the order given. On an error nothing stays. log is
// told of parts whose tokenizers differ and whose vocabularies agree, and how far it is.
func Merge(ctx context.Context, parts []string, out, tokensOut string, log io.Writer) (sum Summary, err error) {
	if len(parts) < 2 {
		return sum, cli.Usagef("give two annotations at least to merge, got %d", len(parts))
	}
	var all []part
	for _, dir := range parts {
		p, err := openPart(dir)
		if err != nil {
			return sum, err
		}
		if len(all) > 0 {
			if err := all[0].matches(p, log); err != nil {
				return sum, err
			}
		}
		for _, q := range all {
			if same, err := p.sameRows(q); err != nil {
				return sum, unusable(err)
			} else if same {
				return sum, cli.Usagef("%s and %s annotate the same rows, which would be there twice: leave one out", q.scores.Dir, dir)
			}
		}
		all = append(all, p)
	}
	if store.Same(out, tokensOut) {
		return sum, cli.Usagef("--out and --tokens-out are both %s; choose two folders", out)
	}
	var undo []string
	defer func() {
		if err != nil {
			for _, dir := range undo {
				store.RemoveAll(dir)
			}
		}
	}()
	for _, dir := range []string{out, tokensOut} {
		if entries, err := store.ReadDir(dir); err == nil && len(entries) > 0 {
			return sum, cli.Usagef("%s is not empty; choose another folder or remove it", dir)
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return sum, cli.Usagef("%w", err)
		}
	}
	for _, dir := range []string{out, tokensOut} {
		if err := store.MkdirAll(dir); err != nil {
			return sum, err
		}
		undo = append(undo, dir)
	}
	return merge(ctx, all, out, tokensOut, log)
}

func openPart(dir string) (p part, err error) {
	if p.scores, err = parquet.OpenDataset(dir, parquet.SchemaScores); err != nil {
		return p, unusable(err)
	}
	where := store.Join(dir, parquet.ManifestName)
	if n := p.scores.Manifest.Limit; n > 0 {
		return p, cli.Usagef("%s: limit is %d: a trial of the first rows is no part; score all of them", where, n)
	}
	if err := p.scores.Verify(); err != nil {
		return p, unusable(err)
	}
	if p.tokens, err = tokensOf(p.scores, ""); err != nil {
		return p, err
	}
	if p.tokens == nil || p.tokens.Manifest == nil {
		return p, cli.Usagef("%s: its tokens have no manifest, so whether they are the ones that were scored cannot be told", where)
	}
	return p, nil
}

// sameRows says whether two parts have the same rows, however they are sharded.
func (p part) sameRows(q part) (bool, error) {
	a, b := p.tokens.Manifest, q.tokens.Manifest
	if a.ContentHash() == b.ContentHash() {
		return true, nil
	}
	if a.Ledger.RowsOut != b.Ledger.RowsOut || a.Ledger.Tokens != b.Ledger.Tokens {
		return false, nil
	}
	seed := maphash.MakeSeed()
	have, err := p.rowsHash(seed)
	if err != nil {
		return false, err
	}
	want, err := q.rowsHash(seed)
	return have == want, err
}

// rowsHash is the sum of the hashes of all rows, which their order does not change.
func (p part) rowsHash(seed maphash.Seed) (sum uint64, err error) {
	for _, path := range p.tokens.Shards {
		n, err := shardHash(path, seed)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

func shardHash(path string, seed maphash.Seed) (sum uint64, err error) {
	r, err := parquet.OpenTokens(path)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	for {
		var row parquet.TokensRow
		if err := r.Next(&row); errors.Is(err, io.EOF) {
			return sum, nil
		} else if err != nil {
			return 0, err
		}
		var h maphash.Hash
		h.SetSeed(seed)
		h.WriteString(row.ID)
		for _, ids := range [][]int32{row.InputIDs, row.Labels} {
			maphash.WriteComparable(&h, len(ids))
			for _, id := range ids {
				maphash.WriteComparable(&h, id)
			}
		}
		sum += h.Sum64()
	}
}

// matches refuses a part that was made in another way.
func (p part) matches(q part, log io.Writer) error {
	m, n := p.scores.Manifest, q.scores.Manifest
	for _, f := range []struct{ field, have, want string }{
		{"k", fmt.Sprint(n.K), fmt.Sprint(m.K)}, {"store_topk", fmt.Sprint(n.StoreTopK), fmt.Sprint(m.StoreTopK)}, {"isa", n.ISA, m.ISA}, {"dtype", n.DType, m.DType}, {"numerics", fmt.Sprint(n.Numerics), fmt.Sprint(m.Numerics)}, {"targets", n.Targets, m.Targets},
		{"hashes.model", n.Hashes["model"], m.Hashes["model"]},
		{"hashes.template of the tokens", q.tokens.Manifest.Hashes["template"], p.tokens.Manifest.Hashes["template"]},
	} {
		if f.have != f.want {
			return cli.Usagef("%s: %s is %q, but %q in %s; parts of one annotation are made alike", store.Join(q.scores.Dir, parquet.ManifestName), f.field, f.have, f.want, p.scores.Dir)
		}
	}
	return vocabulary.Same(p.scores, q.scores, log)
}

func merge(ctx context.Context, all []part, out, tokensOut string, log io.Writer) (sum Summary, err error) {
	n, rows := 0, int64(0)
	for _, p := range all {
		n += len(p.scores.Shards)
		rows += rowsOf(p.scores)
	}
	progress := cli.NewProgress(log, "merge", "rows", rows, 0)
	defer progress.Done()
	first := all[0]
	tm := &parquet.Manifest{Schema: parquet.SchemaTokens, Version: version.Version, Hashes: common(all, func(p part) *parquet.Manifest { return p.tokens.Manifest })}
	for _, p := range all {
		tm.Ledger.Add(p.tokens.Manifest.Ledger)
		for i, path := range p.tokens.Shards {
			info, err := copyShard(path, store.Join(tokensOut, parquet.ShardName(len(tm.Shards), n)))
			if err != nil {
				return sum, err
			}
			info.Rows = p.tokens.Manifest.Shards[i].Rows
			tm.Shards = append(tm.Shards, info)
		}
	}
	m := &parquet.Manifest{Schema: parquet.SchemaScores, Version: version.Version, K: first.scores.Manifest.K, StoreTopK: first.scores.Manifest.StoreTopK, ISA: first.scores.Manifest.ISA, DType: first.scores.Manifest.DType, Numerics: first.scores.Manifest.Numerics, Model: first.scores.Manifest.Model,
		Targets: first.scores.Manifest.Targets, Hashes: common(all, func(p part) *parquet.Manifest { return p.scores.Manifest })}
	m.Hashes["tokens"] = tm.ContentHash()
	if m.Tokens, err = relative(out, tokensOut); err != nil {
		return sum, err
	}
	for _, p := range all {
		for _, path := range p.scores.Shards {
			if err := ctx.Err(); err != nil {
				return sum, err
			}
			info, ledger, err := rewrite(path, store.Join(out, parquet.ShardName(len(m.Shards), n)), m)
			if err != nil {
				return sum, err
			}
			m.Shards = append(m.Shards, info)
			m.Ledger.Add(ledger)
			progress.Add(ledger.RowsOut, "")
		}
	}
	for _, dir := range []string{out, tokensOut} {
		data, err := store.ReadFile(store.Join(first.scores.Dir, parquet.TokenizerName))
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return sum, err
		}
		if err := store.WriteFile(store.Join(dir, parquet.TokenizerName), data); err != nil {
			return sum, err
		}
	}
	if err := parquet.WriteManifest(tokensOut, tm); err != nil {
		return sum, err
	}
	r := &run{inputs: &inputs{data: &parquet.Dataset{}}, o: &Options{Out: out, K: m.K, Targets: Targets(m.Targets)}}
	for _, s := range tm.Shards {
		r.data.Shards = append(r.data.Shards, store.Join(tokensOut, s.Name))
	}
	if sum, err = r.summarize(); err != nil {
		return sum, err
	}
	if m.Summary, err = sum.json(); err != nil {
		return sum, err
	}
	return sum, parquet.WriteManifest(out, m)
}

// common is the hashes that all parts share: what was made from the same. Of
// tokenizers, which have one vocabulary, it is the first part's.
func common(all []part, of func(part) *parquet.Manifest) map[string]string {
	hashes := map[string]string{}
	for name, h := range of(all[0]).Hashes {
		differs := slices.ContainsFunc(all, func(p part) bool { return of(p).Hashes[name] != h })
		if !differs || name == "tokenizer" || name == vocabulary.ModelTokenizer {
			hashes[name] = h
		}
	}
	return hashes
}

func copyShard(from, to string) (info parquet.ShardInfo, err error) {
	data, err := store.ReadFile(from)
	if err != nil {
		return info, err
	}
	if err := store.WriteFile(to, data); err != nil {
		return info, err
	}
	sum, err := store.Hash(to)
	return parquet.ShardInfo{Name: store.Base(to), Bytes: int64(len(data)), SHA256: sum}, err
}

// rewrite copies a shard of scores row by row: its metadata names other tokens now.
func rewrite(from, to string, m *parquet.Manifest) (info parquet.ShardInfo, l parquet.Ledger, err error) {
	meta, err := parquet.ReadMeta(from)
	if err != nil {
		return info, l, unusable(err)
	}
	r, err := parquet.OpenScores(from)
	if err != nil {
		return info, l, unusable(err)
	}
	defer r.Close()
	w, err := parquet.CreateScores(to, m.StoreTopK)
	if err != nil {
		return info, l, err
	}
	defer func() {
		if err != nil {
			w.Abort()
		}
	}()
	for {
		var row parquet.ScoresRow
		if err := r.Next(&row); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return info, l, unusable(err)
		}
		if err := w.Write(&row); err != nil {
			return info, l, err
		}
	}
	info, err = w.Commit(parquet.Meta{Schema: m.Schema, Version: m.Version, Hashes: m.Hashes, K: m.K, ISA: m.ISA, DType: m.DType, Numerics: m.Numerics, Targets: m.Targets, Ledger: meta.Ledger})
	return info, meta.Ledger, err
}
