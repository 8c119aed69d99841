package scorer

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"

	"eaft/compute/cpu"
	"eaft/internal/bound"
	"eaft/internal/store"
	"eaft/parquet"
)

// FuzzKept: whatever an earlier run left, a shard or a manifest, it is gone on
// with or refused, and Verify has an answer.
func FuzzKept(f *testing.F) {
	few := rows(vocab(f))[:4]
	tokens, whole := dataset(f, few, 1, ""), filepath.Join(f.TempDir(), "scores")
	dev, err := cpu.New(1)
	if err != nil {
		f.Fatal(err)
	}
	c := open(f, llama)
	o := options(tokens, whole)
	o.Log = io.Discard
	if _, _, err := Run(context.Background(), dev, c, o); err != nil {
		f.Fatal(err)
	}
	name := parquet.ShardName(0, 1)
	shard, err := os.ReadFile(filepath.Join(whole, name))
	if err != nil {
		f.Fatal(err)
	}
	m, err := parquet.ReadManifest(whole)
	if err != nil {
		f.Fatal(err)
	}
	// A shard of this very run but for its rows, which are of longer tokens.
	long := few[3]
	few[3].InputIDs, few[3].Labels = append(few[3].InputIDs, 1, 2), append(few[3].Labels, 1, 2)
	other := filepath.Join(f.TempDir(), "other")
	p := o
	p.Tokens, p.Out = dataset(f, few, 1, ""), other
	if _, _, err := Run(context.Background(), dev, c, p); err != nil {
		f.Fatal(err)
	}
	few[3] = long
	longer := again(f, filepath.Join(other, name), filepath.Join(whole, name))
	for _, s := range []string{"", `{}`, `null`, `{"cuts":{}}`, `{"cuts":null,"conflicts":-1}`, `{"cuts":{"prob":0.1,"h":0.2,"min_mass":0.9},"conflict_rate":0.1,"rows":9223372036854775807}`, `[]`, `{"cuts":{"prob":"x"}}`} {
		f.Add(shard, []byte(s))
		f.Add(longer, []byte(s))
		f.Add(shard[:len(shard)/2], []byte(s))
	}
	f.Fuzz(func(t *testing.T, shard, summary []byte) {
		bound.Memory(t, len(shard)+len(summary))
		o := o
		o.Out = t.TempDir()
		path := filepath.Join(o.Out, name)
		if err := os.WriteFile(path, shard, 0o666); err != nil {
			t.Fatal(err)
		}
		if sum, _, err := Run(context.Background(), dev, c, o); err == nil {
			if err := sum.WriteText(io.Discard); err != nil {
				t.Fatal(err)
			}
			Verify(context.Background(), o.Out, tokens, io.Discard)
		}
		// The same as of a finished run, which says this of it.
		if err := os.WriteFile(path, shard, 0o666); err != nil {
			t.Fatal(err)
		}
		sum, err := store.Hash(path)
		if err != nil {
			t.Fatal(err)
		}
		mf := *m
		mf.Summary = summary
		mf.Shards = []parquet.ShardInfo{{Name: name, Rows: m.Shards[0].Rows, Bytes: int64(len(shard)), SHA256: sum}}
		if parquet.WriteManifest(o.Out, &mf) != nil {
			return // a summary that is no JSON
		}
		if sum, _, err := Run(context.Background(), dev, c, o); err == nil {
			if err := sum.WriteText(io.Discard); err != nil {
				t.Fatal(err)
			}
		}
		Verify(context.Background(), o.Out, tokens, io.Discard)
	})
}

// again writes the rows of the shard at path with the metadata of the one at as.
func again(f *testing.F, path, as string) []byte {
	meta, err := parquet.ReadMeta(as)
	if err != nil {
		f.Fatal(err)
	}
	r, err := parquet.OpenScores(path)
	if err != nil {
		f.Fatal(err)
	}
	defer r.Close()
	to := filepath.Join(f.TempDir(), "x.parquet")
	w, err := parquet.CreateScores(to, 0)
	if err != nil {
		f.Fatal(err)
	}
	for range r.NumRows() {
		var row parquet.ScoresRow
		if err := r.Next(&row); err != nil {
			f.Fatal(err)
		}
		if err := w.Write(&row); err != nil {
			f.Fatal(err)
		}
	}
	if _, err := w.Commit(meta); err != nil {
		f.Fatal(err)
	}
	data, err := os.ReadFile(to)
	if err != nil {
		f.Fatal(err)
	}
	return data
}
