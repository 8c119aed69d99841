// Package vocabulary tells whether the ids of a dataset mean the same tokens to a model.
package vocabulary

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"eaft/internal/cli"
	"eaft/internal/store"
	"eaft/model/weights"
	"eaft/parquet"
	"eaft/tokenize/tokenizer"
)

// ModelTokenizer is the name among a record's hashes of the model's tokenizer where
// the ids are of another one with the same vocabulary.
const ModelTokenizer = "model_tokenizer"

// tokenized is a tokenizer and where it is.
type tokenized struct {
	where string // a file or a model
	hash  string // its Fingerprint; "" of a model that cuts texts in an unknown way
	t     *tokenizer.Tokenizer
}

// Check refuses a dataset of tokens or scores whose ids are not those of the model's
// tokenizer, where both sides say which they have. Where the hashes differ, as
// those of a tokenizer.json and of the GGUF made of it do, the vocabularies are
// compared, and log is told that they agree.
//
// hash is that of the tokenizer that made the ids: the dataset's, else the model's,
// else "". model is the hash of the model's where that is another one, else "". A
// GGUF whose tokenizer.ggml.pre is not known has no hash, but a vocabulary.
func Check(c *weights.Checkpoint, d *parquet.Dataset, log io.Writer) (hash, model string, err error) {
	hash = recorded(d)
	data, whole, err := c.VocabularyJSON()
	if errors.Is(err, weights.ErrNoTokenizer) {
		return hash, "", nil
	}
	if err != nil {
		return "", "", &cli.Error{Code: cli.ExitUsage, Err: err}
	}
	t, err := tokenizer.FromJSON(data)
	if err != nil {
		return "", "", cli.Usagef("%s: %w", c.Ref(), err)
	}
	own, remedy := tokenized{c.Ref(), t.Fingerprint(), t}, "tokenize with --model "+c.Ref()
	if !whole {
		own.hash, remedy = "", "give the model that the tokens were made with"
	}
	if hash == "" || hash == own.hash {
		return own.hash, "", nil
	}
	return hash, own.hash, agree(d, own, remedy, log)
}

// Same refuses a dataset b whose ids are not those of a, as Check does.
func Same(a, b *parquet.Dataset, log io.Writer) error {
	if recorded(a) == recorded(b) {
		return nil
	}
	const remedy = "tokenize and score all parts with one --model"
	first, err := beside(a)
	if err != nil {
		return cli.Usagef("%s: hashes.tokenizer is %s, but %s in %s, and they cannot be compared: %w: %s",
			store.Join(b.Dir, parquet.ManifestName), cmp.Or(recorded(b), "none"), cmp.Or(recorded(a), "none"), a.Dir, err, remedy)
	}
	return agree(b, first, remedy, log)
}

// agree compares the vocabulary of d, whose hash is another one, with that of own.
func agree(d *parquet.Dataset, own tokenized, remedy string, log io.Writer) error {
	manifest := store.Join(d.Dir, parquet.ManifestName)
	refuse := func(format string, a ...any) error {
		return cli.Usagef("%s: hashes.tokenizer is %s, but that of %s is %s, and %w: %s", manifest, cmp.Or(recorded(d), "none"), own.where, cmp.Or(own.hash, "unknown, as its tokenizer.ggml.pre is"), fmt.Errorf(format, a...), remedy)
	}
	theirs, err := beside(d)
	if err != nil {
		return refuse("they cannot be compared: %w", err)
	}
	if x := tokenizer.CompareIDs(theirs.t, own.t); x != nil {
		return refuse("id %d is %s in %s and %s in %s (ids that differ: %d)", x.ID, x.A, parquet.TokenizerName, x.B, own.where, x.N)
	}
	fmt.Fprintf(log, "%s: hashes.tokenizer is not that of %s, but the vocabularies agree in all %d ids, which are used as they are\n",
		manifest, own.where, theirs.t.VocabSize())
	return nil
}

// beside is the tokenizer that lies beside d, if it is the one that made its ids.
func beside(d *parquet.Dataset) (tokenized, error) {
	path := store.Join(d.Dir, parquet.TokenizerName)
	data, err := store.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return tokenized{}, fmt.Errorf("%s is missing", path)
	}
	if err != nil {
		return tokenized{}, err
	}
	t, err := tokenizer.FromJSON(data)
	if err != nil {
		return tokenized{}, fmt.Errorf("%s: %w", path, err)
	}
	own := tokenized{path, t.Fingerprint(), t}
	if own.hash != recorded(d) {
		return tokenized{}, fmt.Errorf("%s has the hash %s", path, own.hash)
	}
	return own, nil
}

// recorded is the hash of the tokenizer that made the ids of d, "" if d does not say.
func recorded(d *parquet.Dataset) string {
	if d.Foreign {
		return ""
	}
	return d.Manifest.Hashes["tokenizer"]
}
