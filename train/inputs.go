package train

import (
	"errors"
	"fmt"
	"io"

	"eaft/eaft"
	"eaft/internal/cli"
	"eaft/model/weights"
	"eaft/parquet"
	"eaft/tokenize/tokenizer"
)

// inputs are what a run reads, checked against each other.
type inputs struct {
	tokens, scores *parquet.Dataset // scores nil without
	cuts           eaft.Cuts        // of the scores
	hashes         map[string]string
	match          []float64          // mean weights of --match-step's run; nil without
	heldOut        []*parquet.Dataset // of Options.Eval
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
	if in.hashes["tokens"], err = in.tokens.ContentHash(); err != nil {
		return nil, err
	}
	if err := CheckTokens(c, in.tokens, o.Stderr); err != nil {
		return nil, err
	}
	if o.Scores != "" {
		if err := in.openScores(o); err != nil {
			return nil, err
		}
		if err := sameTokenizer(c, in.scores); err != nil {
			return nil, err
		}
	}
	if o.MatchStep != "" {
		if err := in.openMatch(o); err != nil {
			return nil, err
		}
	}
	if err := in.openHeldOut(c, o); err != nil {
		return nil, err
	}
	return in, nil
}

// CheckTokens refuses tokens of another tokenizer than the model's, and warns of
// a foreign dataset, which does not say what its ids are of.
func CheckTokens(c *weights.Checkpoint, d *parquet.Dataset, stderr io.Writer) error {
	if d.Foreign {
		fmt.Fprintf(stderr, "warning: %s has no %s: whether its ids are of this model's tokenizer cannot be checked\n", d.Dir, parquet.ManifestName)
		return nil
	}
	return sameTokenizer(c, d)
}

// sameTokenizer checks that the tokens are of the model's tokenizer, where both
// say which they have.
func sameTokenizer(c *weights.Checkpoint, d *parquet.Dataset) error {
	data, err := c.TokenizerJSON()
	if errors.Is(err, weights.ErrNoTokenizer) {
		return nil
	}
	if err != nil {
		return &cli.Error{Code: cli.ExitUsage, Err: err}
	}
	t, err := tokenizer.FromJSON(data)
	if err != nil {
		return cli.Usagef("%s: tokenizer.json: %w", c.Ref(), err)
	}
	have := d.Manifest.Hashes["tokenizer"]
	if want := t.Fingerprint(); have != "" && have != want {
		return cli.Usagef("%s/%s: hashes.tokenizer is %s, but the model's tokenizer is %s: tokenize with --model %s", d.Dir, parquet.ManifestName, have, want, c.Ref())
	}
	return nil
}
