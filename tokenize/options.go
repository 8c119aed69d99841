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
	Fail     Overlong = "error"    // stop
)

// Options of a run. The fields with JSON names decide the dataset's bytes.
type Options struct {
	Inputs  []string `json:"-"`
	Out     string   `json:"-"`
	Threads int      `json:"-"`

	PromptField     string   `json:"prompt_field,omitempty"`
	CompletionField string   `json:"completion_field,omitempty"`
	TextField       string   `json:"text_field,omitempty"`
	MessagesField   string   `json:"messages_field"`
	MaxLength       int      `json:"max_length,omitempty"` // tokens; 0: no limit
	Overlong        Overlong `json:"overlong"`
	Shards          int      `json:"shards"`
	MaxReject       float64  `json:"-"` // share of rows that may be dropped

	Log io.Writer `json:"-"`

	TrainOn TrainOn `json:"train_on"` // "": assistant
}

func (o *Options) check() error {
	switch {
	case len(o.Inputs) == 0:
		return cli.Usagef("no input file; see tokenize --help")
	case o.Out == "":
		return cli.Usagef("--out is missing: the folder for the dataset")
	case (o.PromptField == "") != (o.CompletionField == ""):
		return cli.Usagef("--prompt-field and --completion-field go together")
	case o.PromptField != "" && o.TextField != "":
		return cli.Usagef("--text-field does not go with --prompt-field: a row is one or the other")
	case o.Shards < 1 || o.Shards > 99999:
		return cli.Usagef("--shards %d: use 1 to 99999", o.Shards)
	case o.MaxLength < 0 || o.MaxLength == 1:
		return cli.Usagef("--max-length %d: use at least 2 tokens", o.MaxLength)
	case !(o.MaxReject >= 0 && o.MaxReject <= 1):
		return cli.Usagef("--max-reject %v: use a share between 0 and 1", o.MaxReject)
	}
	if err := o.TrainOn.check(); err != nil {
		return err
	}
	switch o.Overlong {
	case Drop, Truncate, Fail:
		return nil
	}
	return cli.Usagef("--overlong %q: use drop, truncate or error", o.Overlong)
}

// hash is over what decides the dataset beside its inputs.
func (o *Options) hash() (string, error) {
	data, err := json.Marshal(o)
	return hashOf(data), err
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
	trainOn   TrainOn
}

// NewLanguage prepares a tokenizer and a chat template (Jinja; "" for none).
func NewLanguage(tok *tokenizer.Tokenizer, source, bos, eos string) (*Language, error) {
	l := &Language{Tokenizer: tok, Template: source, BOS: bos, EOS: eos}
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
	l, err := NewLanguage(tok, source, bos, eos)
	if err != nil {
		return nil, cli.Usagef("model %s: %w", c.Ref(), err)
	}
	return l, nil
}
