package train

import (
	"fmt"
	"slices"

	"eaft/eaft"
	"eaft/internal/cli"
	"eaft/model/weights"
	"eaft/parquet"
)

// inputs are what a run reads, checked against each other.
type inputs struct {
	tokens, scores *parquet.Dataset // scores nil without
	cuts           eaft.Cuts        // of the scores
	hashes         map[string]string
}

func openInputs(c *weights.Checkpoint, o *Options) (*inputs, error) {
	in := &inputs{hashes: map[string]string{}}
	if o.FromScratch && len(c.Names()) > 0 {
		return nil, cli.Usagef("--from-scratch: %s has weights, which would be ignored: leave the flag out, or name a folder with config.json and tokenizer only", c.Ref())
	}
	if !o.FromScratch && len(c.Names()) == 0 {
		return nil, cli.Usagef("%s has no weights: name a trained model, or use --from-scratch", c.Ref())
	}
	var err error
	if in.hashes["model"], err = c.Hash(); err != nil {
		return nil, &cli.Error{Code: cli.ExitUsage, Err: err}
	}
	if in.tokens, err = parquet.OpenDataset(o.Tokens, parquet.SchemaTokens); err != nil {
		return nil, &cli.Error{Code: cli.ExitUsage, Err: err}
	}
	if in.hashes["tokens"], err = contentHash(in.tokens); err != nil {
		return nil, err
	}
	if in.tokens.Foreign {
		fmt.Fprintf(o.Stderr, "warning: %s is not a dataset of ours: whether its ids are this model's cannot be checked\n", o.Tokens)
	}
	return in, nil
}

// contentHash is the identity of a dataset's rows; a foreign one's files are read for it.
func contentHash(d *parquet.Dataset) (string, error) {
	if d.Manifest != nil {
		return d.Manifest.ContentHash(), nil
	}
	m := &parquet.Manifest{}
	for _, path := range slices.Sorted(slices.Values(d.Shards)) {
		h, err := parquet.HashFile(path)
		if err != nil {
			return "", err
		}
		m.Shards = append(m.Shards, parquet.ShardInfo{SHA256: h})
	}
	return m.ContentHash(), nil
}

// join gives rows their base annotation.
func (in *inputs) join(rows []*row) error { return nil }
