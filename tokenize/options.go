// Package tokenize turns SFT corpora into tokens/1 datasets: it renders each row
// with the model's own chat template, encodes the text once, and marks by
// position what is trained.
package tokenize

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"eaft/internal/cli"
	"eaft/model/weights"
	"eaft/tokenize/template"
	"eaft/tokenize/tokenizer"
)

// Overlong says what becomes of rows over MaxLength.
type Overlong string

const (
	Drop     Overlong = "drop"     // leave the row out and count it
	Truncate Overlong = "truncate" // cut its end off and count it
	Split    Overlong = "split"    // cut the row into several
	Fail     Overlong = "error"    // stop
)

// maxShards is what the five digits of a shard's name can count.
const maxShards = 99999

// Options of a run. The fields with JSON names decide the dataset's bytes.
type Options struct {
	Inputs  []string  `json:"-"`
	Out     string    `json:"-"`
	Threads int       `json:"-"`
	Stdin   io.Reader `json:"-"` // what the input "-" is; nil: there is none

	Map       map[string]string `json:"map,omitempty"`        // see ParseMap; nil: layouts are detected
	MaxLength int               `json:"max_length,omitempty"` // tokens; 0: no limit
	Overlong  Overlong          `json:"over_length"`
	Shuffle   *uint64           `json:"shuffle,omitempty"` // seed; nil: the order of the inputs
	Split     []Share           `json:"split,omitempty"`
	Dedup     *Dedup            `json:"dedup,omitempty"`
	Shards    int               `json:"shards"` // 0: one for each gigabyte of records
	MaxReject float64           `json:"-"`      // share of rows that may be dropped

	// Only are the shards to be made, for workers that share a run of Shards; nil:
	// all, and the manifest. A run without closes what they made.
	Only []int `json:"-"`

	Log io.Writer `json:"-"`

	TrainOn TrainOn `json:"train_on"` // "": assistant
	// NoSpecialTokens leaves plain texts without BOS and EOS.
	NoSpecialTokens bool `json:"no_special_tokens,omitempty"`
}

func (o *Options) check() error {
	switch {
	case len(o.Inputs) == 0:
		return cli.Usagef("no input file; see tokenize --help")
	case o.Out == "":
		return cli.Usagef("--out is missing: the folder for the dataset")
	case o.Shards < 0 || o.Shards > maxShards:
		return cli.Usagef("--shards %d: use 1 to %d, or 0 for one a gigabyte", o.Shards, maxShards)
	case o.Only != nil && o.Dedup != nil:
		return cli.Usagef("--shard: whether a row repeats another is known when all before it are read; leave --dedup out, or --shard")
	case o.MaxLength < 0 || o.MaxLength == 1:
		return cli.Usagef("--max-length %d: use 2 or more tokens, or 0 for no limit", o.MaxLength)
	case !(o.MaxReject >= 0 && o.MaxReject <= 1):
		return cli.Usagef("--max-reject %v: use a share between 0 and 1", o.MaxReject)
	}
	if err := o.TrainOn.check(); err != nil {
		return err
	}
	switch o.Overlong {
	case Drop, Truncate, Split, Fail:
		return mapping(o.Map).check()
	}
	return cli.Usagef("--over-length %q: use drop, truncate, split or error", o.Overlong)
}

// hash is over what decides a split's dataset beside its inputs.
func (o *Options) hash(split string) (string, error) {
	data, err := json.Marshal(o)
	return hashOf(append(data, split...)), err
}

func hashOf(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Language is what renders and encodes rows.
type Language struct {
	Tokenizer *tokenizer.Tokenizer
	Template  string // the template's source; "" for none
	BOS, EOS  string
	chat      *chat
	toolUse   *Language // with the model's template for rows with tools; nil: they have the same
	trainOn   TrainOn
	bounds    bounds
}

// NewLanguage prepares a tokenizer and a chat template (Jinja; "" for none), and one for
// rows with tools ("": the same).
func NewLanguage(tok *tokenizer.Tokenizer, source, toolUse, bos, eos string) (*Language, error) {
	l, err := newLanguage(tok, source, bos, eos)
	if err != nil || toolUse == "" {
		return l, err
	}
	if l.toolUse, err = newLanguage(tok, toolUse, bos, eos); err != nil {
		return nil, fmt.Errorf("tool_use: %w", err)
	}
	return l, nil
}

func newLanguage(tok *tokenizer.Tokenizer, source, bos, eos string) (*Language, error) {
	l := &Language{Tokenizer: tok, Template: source, BOS: bos, EOS: eos, bounds: boundsOf(tok, eos)}
	if strings.TrimSpace(source) == "" {
		return l, nil
	}
	t, err := template.Parse(source)
	if err != nil {
		return nil, fmt.Errorf("chat template: %w", err)
	}
	l.chat, err = newChat(t, l)
	return l, err
}

// templateHash is over the templates of rows without and with tools.
func (l *Language) templateHash() string {
	if l.toolUse == nil {
		return hashOf([]byte(l.Template))
	}
	return hashOf([]byte(l.Template + "\x00" + l.toolUse.Template))
}

// LanguageOf is a model's tokenizer and template.
func LanguageOf(c *weights.Checkpoint) (*Language, error) {
	data, err := c.TokenizerJSON()
	if errors.Is(err, weights.ErrNoTokenizer) {
		return nil, cli.Usagef("model %s: %w; give one with --tokenizer", c.Ref(), err)
	}
	if err != nil {
		return nil, &cli.Error{Code: cli.ExitUsage, Err: err}
	}
	tok, err := tokenizer.FromJSON(data)
	if err != nil {
		return nil, cli.Usagef("model %s: %w", c.Ref(), err)
	}
	source, bos, eos, err := c.ChatTemplate()
	if err != nil {
		return nil, &cli.Error{Code: cli.ExitUsage, Err: err}
	}
	toolUse, err := c.ToolTemplate()
	if err != nil {
		return nil, &cli.Error{Code: cli.ExitUsage, Err: err}
	}
	l, err := NewLanguage(tok, source, toolUse, bos, eos)
	if err != nil {
		return nil, cli.Usagef("model %s: %w", c.Ref(), err)
	}
	return l, nil
}
