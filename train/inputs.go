package train

import (
	"errors"
	"fmt"
	"io"

	"eaft/eaft"
	"eaft/internal/cli"
	"eaft/internal/store"
	"eaft/model/vocabulary"
	"eaft/model/weights"
	"eaft/parquet"
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
	if err := in.check(c, in.tokens, o.Stderr); err != nil {
		return nil, err
	}
	if _, err := c.TokenizerJSON(); errors.As(err, &weights.UnknownPre{}) && (o.LoRA == 0 || o.Merge) {
		fmt.Fprintf(o.Stderr, "warning: %v; %s is written without a tokenizer\n", err, store.Join(o.Out, ModelName))
	}
	if o.Scores != "" {
		if err := in.openScores(o); err != nil {
			return nil, err
		}
		// Scores of these tokens have their tokenizer, unless they say otherwise.
		if in.tokens.Foreign || in.scores.Manifest.Hashes["tokenizer"] != in.tokens.Manifest.Hashes["tokenizer"] {
			if err := in.check(c, in.scores, o.Stderr); err != nil {
				return nil, err
			}
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

// CheckTokens refuses tokens of another vocabulary than the model's, and warns of
// a foreign dataset, which does not say what its ids are of. modelHash is that of
// the model's tokenizer where another one with its vocabulary made the ids.
func CheckTokens(c *weights.Checkpoint, d *parquet.Dataset, stderr io.Writer) (modelHash string, err error) {
	if d.Foreign {
		fmt.Fprintf(stderr, "warning: %s has no %s: whether its ids are of this model's tokenizer cannot be checked\n", d.Dir, parquet.ManifestName)
		return "", nil
	}
	_, modelHash, err = vocabulary.Check(c, d, stderr)
	return modelHash, err
}

// check is CheckTokens for a run, whose record names both tokenizers.
func (in *inputs) check(c *weights.Checkpoint, d *parquet.Dataset, stderr io.Writer) error {
	modelHash, err := CheckTokens(c, d, stderr)
	if modelHash != "" {
		in.hashes[vocabulary.ModelTokenizer] = modelHash
	}
	return err
}
