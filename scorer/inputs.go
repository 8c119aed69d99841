package scorer

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"eaft/internal/cli"
	"eaft/internal/store"
	"eaft/model/vocabulary"
	"eaft/model/weights"
	"eaft/parquet"
)

// inputs are a tokens dataset and a model that fit each other.
type inputs struct {
	data      *parquet.Dataset
	relative  string  // path of the tokens seen from the scores
	take      []int64 // rows of each shard to be scored
	hashes    map[string]string
	tokenizer []byte // tokenizer.json; nil if neither side has one
}

func openInputs(c *weights.Checkpoint, o *Options) (*inputs, error) {
	data, err := parquet.OpenDataset(o.Tokens, parquet.SchemaTokens)
	if err != nil {
		return nil, unusable(err)
	}
	if len(data.Shards) > 0 {
		// What all shards of a version have alike is seen before anything is loaded.
		first, err := parquet.OpenTokens(data.Shards[0])
		if err != nil {
			return nil, unusable(err)
		}
		if err := first.Close(); err != nil {
			return nil, err
		}
	}
	in := &inputs{data: data, hashes: map[string]string{}}
	if in.relative, err = relative(o.Out, o.Tokens); err != nil {
		return nil, err
	}
	if in.take, err = shares(data, o.Limit); err != nil {
		return nil, unusable(err)
	}
	if in.hashes["options"], err = o.hash(); err != nil {
		return nil, err
	}
	if in.hashes["model"], err = identity(c, o.Adapter); err != nil {
		return nil, err
	}
	if data.Foreign {
		fmt.Fprintf(o.Log, "warning: %s has no manifest: whether these tokens were made for this model cannot be verified\n", o.Tokens)
	}
	if in.hashes["tokens"], err = data.ContentHash(); err != nil {
		return nil, unusable(err)
	}
	return in, in.takeTokenizer(c, o)
}

// takeTokenizer compares the tokenizers of both sides and keeps the data's.
func (in *inputs) takeTokenizer(c *weights.Checkpoint, o *Options) error {
	hash, own, err := vocabulary.Check(c, in.data, o.Log)
	if err != nil {
		return err
	}
	if hash != "" {
		in.hashes["tokenizer"] = hash
	}
	if own != "" {
		in.hashes[vocabulary.ModelTokenizer] = own
	}
	in.tokenizer, err = store.ReadFile(store.Join(o.Tokens, parquet.TokenizerName))
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if in.tokenizer, err = c.TokenizerJSON(); errors.Is(err, weights.ErrNoTokenizer) {
		return nil
	}
	return err
}

// refuseOther keeps scores out of the folder of a run or of a model.
func refuseOther(out string) error {
	for _, name := range []string{"run.json", "_unfinished", "config.json"} {
		if _, err := store.Stat(store.Join(out, name)); err == nil {
			return cli.Usagef("--out %s holds something else (%s): choose another folder", out, name)
		}
	}
	return nil
}

// relative is the way from the scores to their tokens, as store.Rel gives it.
func relative(out, tokens string) (string, error) {
	same := store.Same(out, tokens)
	// Through a symbolic link it is the same folder too.
	if a, err := os.Stat(store.Local(out)); err == nil {
		if b, err := os.Stat(store.Local(tokens)); err == nil && os.SameFile(a, b) {
			same = true
		}
	}
	if same {
		return "", cli.Usagef("--out %s is the folder of the tokens; choose another", out)
	}
	return store.Rel(out, tokens)
}

// shares are how many rows of each shard the limit leaves.
func shares(data *parquet.Dataset, limit int64) ([]int64, error) {
	take := make([]int64, len(data.Shards))
	var before int64
	for i := range data.Shards {
		n, err := data.ShardRows(i)
		if err != nil {
			return nil, err
		}
		if limit > 0 {
			n = min(n, limit-before)
		}
		take[i] = n
		before += n
	}
	return take, nil
}

// same refuses what was made from other inputs or with other options. where is
// the file that says so.
func (r *run) same(where string, have parquet.Meta) error {
	want := r.meta
	for _, f := range []struct{ field, have, want, remedy string }{
		{"schema", have.Schema, want.Schema, ""},
		{"k", fmt.Sprint(have.K), fmt.Sprint(want.K), ""},
		{"store_topk", fmt.Sprint(have.StoreTopK), fmt.Sprint(want.StoreTopK), fmt.Sprintf("use --store-topk %d, ", have.StoreTopK)},
		{"isa", have.ISA, want.ISA, fmt.Sprintf("set EAFT_CPU=%s, ", have.ISA)},
		{"dtype", have.DType, want.DType, fmt.Sprintf("use --dtype %s (and EAFT_CPU=%s), ", have.DType, have.ISA)},
		{"numerics", fmt.Sprint(have.Numerics), fmt.Sprint(want.Numerics), fmt.Sprintf("scores of the two differ in their last bits; go on with the eaft that began (%s), ", cmp.Or(have.Version, "which is not said"))},
		{"targets", have.Targets, want.Targets, ""},
		{"model", have.Hashes["model"], want.Hashes["model"], ""},
		{"tokens", have.Hashes["tokens"], want.Hashes["tokens"], ""},
		{"tokenizer", have.Hashes["tokenizer"], want.Hashes["tokenizer"], ""},
		{vocabulary.ModelTokenizer, have.Hashes[vocabulary.ModelTokenizer], want.Hashes[vocabulary.ModelTokenizer], ""},
		{"options (--limit)", have.Hashes["options"], want.Hashes["options"], ""},
	} {
		if f.have != f.want {
			return cli.Usagef("%s: %s is %q, this run has %q; %schoose another --out or remove the folder", where, f.field, f.have, f.want, f.remedy)
		}
	}
	return nil
}

// finished checks a dataset that is complete and returns its summary. Other numerics
// are of no consequence to it: nothing is added.
func (r *run) finished(m *parquet.Manifest) (sum Summary, err error) {
	where := store.Join(r.o.Out, parquet.ManifestName)
	if m.Schema == r.meta.Schema && m.Limit != r.o.Limit {
		return sum, cli.Usagef("%s: limit is %d, this run has --limit %d (0: all rows); choose another --out or remove the folder", where, m.Limit, r.o.Limit)
	}
	if err := r.same(where, parquet.Meta{Schema: m.Schema, Hashes: m.Hashes,
		K: m.K, StoreTopK: m.StoreTopK, ISA: m.ISA, DType: m.DType, Numerics: r.meta.Numerics, Targets: m.Targets}); err != nil {
		return sum, err
	}
	if _, err := parquet.OpenDataset(r.o.Out, parquet.SchemaScores); err != nil {
		return sum, unusable(err)
	}
	err = json.Unmarshal(m.Summary, &sum)
	if err == nil && sum.Cuts != nil && sum.Rate == nil {
		err = errors.New("cuts without a conflict_rate")
	}
	if err != nil {
		return sum, cli.Usagef("%s: the field summary: %w; remove the file and run the stage again", store.Join(r.o.Out, parquet.ManifestName), err)
	}
	return sum, nil
}

// kept is a shard that an earlier run finished, or nil.
func (r *run) kept(i int) (*parquet.ShardInfo, parquet.Ledger, error) {
	path := store.Join(r.o.Out, store.Base(r.data.Shards[i]))
	st, err := store.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, parquet.Ledger{}, nil
	}
	if err != nil {
		return nil, parquet.Ledger{}, err
	}
	meta, err := parquet.ReadMeta(path)
	if err != nil {
		return nil, parquet.Ledger{}, unusable(err)
	}
	if err := r.same(path, meta); err != nil {
		return nil, parquet.Ledger{}, err
	}
	sum, err := store.Hash(path)
	return &parquet.ShardInfo{Name: store.Base(path), Rows: meta.Ledger.RowsOut, Bytes: st.Size, SHA256: sum}, meta.Ledger, err
}
