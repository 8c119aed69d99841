package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"eaft/eval"
	"eaft/internal/cli"
	"eaft/internal/store"
	"eaft/model/weights"
	"eaft/tokenize"
)

// withModel opens what every task needs, runs it, and completes the examples' file.
func (e *evaluation) withModel(run func(l *eval.Language, lang *tokenize.Language, lines *examples) error) (err error) {
	// Before the model is read, which may take minutes.
	if _, err := store.Stat(e.data); err != nil {
		return cli.Usagef("--data: %w; give the file to measure with", err)
	}
	if e.c, err = open(e.ctx, e.model, e.std); err != nil {
		return err
	}
	defer e.c.Close()
	lang, err := tokenize.LanguageOf(e.c)
	if err != nil {
		return err
	}
	l := &eval.Language{Tokenizer: lang.Tokenizer}
	_, noTemplate := lang.Prompt("a")
	switch {
	case e.chat && errors.Is(noTemplate, tokenize.ErrNoTemplate):
		return cli.Usagef("--chat: %s has no chat template: leave it out", e.c.Ref())
	case e.chat, e.task == "generate" && !e.fs.Changed("chat") && noTemplate == nil:
		l.Chat = lang.Prompt
	}
	if err := e.load(); err != nil {
		return err
	}
	cli.SteadyHeap()
	lines := &examples{path: e.out}
	if err := run(l, lang, lines); err != nil {
		return err
	}
	return lines.close()
}

func (e *evaluation) source() eval.Source {
	return eval.Source{Name: filepath.Base(e.data), Each: func(f func(key, raw []byte) error) error { return tokenize.EachRecord(e.data, f) }}
}

// examples collects the lines of --out, which is written when all are there.
type examples struct {
	path string
	b    bytes.Buffer
}

func addLine[T any](x *examples) func(T) error {
	if x.path == "" {
		return nil
	}
	return func(v T) error {
		enc := json.NewEncoder(&x.b)
		enc.SetEscapeHTML(false)
		return enc.Encode(v)
	}
}

func (x *examples) close() error {
	if x.path == "" {
		return nil
	}
	return store.WriteFile(x.path, x.b.Bytes())
}

// bar is the progress of a task, which begins when the task says of how many.
type bar struct {
	*cli.Progress
	err  io.Writer
	unit string
	at   int
}

func (e *evaluation) bar(unit string) *bar { return &bar{err: e.std.Err, unit: unit} }

func (b *bar) to(done, of int, note string) {
	if b.Progress == nil {
		b.Progress = cli.NewProgress(b.err, "eval", b.unit, int64(of), 0)
	}
	b.Add(int64(done-b.at), note)
	b.at = done
}

func (e *evaluation) choice() error {
	f, err := eval.ParseFields(e.fields)
	if err != nil {
		return err
	}
	return e.withModel(func(l *eval.Language, _ *tokenize.Language, lines *examples) error {
		t := &eval.Choice{Fields: f, Prompt: e.prompt, Texts: e.form == "texts", Labels: e.labels, Limit: e.limit}
		bar := e.bar("questions")
		r, err := t.Run(e.ctx, e.m, l, e.source(), addLine[eval.Chosen](lines), func(done, of int) { bar.to(done, of, "") })
		if err != nil {
			return err
		}
		bar.Done()
		return e.print(r, func(w io.Writer) {
			fmt.Fprintf(w, "questions  %d\nacc        %v  (the likeliest choice is right)\nacc_norm   %v  (the likeliest by character)\n", r.Questions, r.Accuracy, r.AccuracyNorm)
			if r.Truncated > 0 {
				fmt.Fprintf(w, "truncated  %d prompts, of which only the end fits the model\n", r.Truncated)
			}
			if len(r.Subjects) > 1 {
				fmt.Fprintf(w, "\n%-36s %9s  %-16s  %-16s\n", "subject", "questions", "acc", "acc_norm")
				for _, s := range r.Subjects {
					fmt.Fprintf(w, "%-36s %9d  %-16v  %-16v\n", s.Name, s.Questions, s.Accuracy, s.AccuracyNorm)
				}
			}
		})
	})
}

func (e *evaluation) match() error {
	f, err := eval.ParseFields(e.fields)
	if err != nil {
		return err
	}
	return e.withModel(func(l *eval.Language, lang *tokenize.Language, lines *examples) error {
		stop, err := endTokens(e.c, lang)
		if err != nil {
			return err
		}
		t := &eval.Match{Fields: f, Prompt: e.prompt, Limit: e.limit, MaxNew: e.maxNew, Slots: e.batch, Stop: stop}
		if l.Chat == nil {
			t.Until = eval.DefaultUntil
		}
		bar, began := e.bar("questions"), time.Now()
		r, err := t.Run(e.ctx, e.m, l, e.source(), addLine[eval.Matched](lines), func(done, of int, tokens int64) {
			bar.to(done, of, fmt.Sprintf("%.0f tokens/s", float64(tokens)/time.Since(began).Seconds()))
		})
		if err != nil {
			return err
		}
		bar.Done()
		fmt.Fprintf(e.std.Err, "%d tokens in %.1f s, prompts included: %.0f tokens/s\n", r.Tokens, time.Since(began).Seconds(), float64(r.Tokens)/time.Since(began).Seconds())
		return e.print(r, func(w io.Writer) {
			fmt.Fprintf(w, "questions  %d\nstrict     %v  (the number behind ####)\nflexible   %v  (the last number)\ntokens     %d\nunended    %d  (cut at --max-new-tokens)\n",
				r.Questions, r.Strict, r.Flexible, r.Tokens, r.Unended)
		})
	})
}

func (e *evaluation) perplexity() error {
	return e.withModel(func(l *eval.Language, _ *tokenize.Language, lines *examples) error {
		text, err := tokenize.ReadText(e.data, maxText)
		if err != nil {
			return err
		}
		t := &eval.Perplexity{Window: e.window, Stride: e.stride, MaxTokens: e.at}
		bar := e.bar("tokens")
		r, err := t.Run(e.ctx, e.m, l, text, addLine[eval.Window](lines), func(done, of int) { bar.to(done, of, "") })
		if err != nil {
			return err
		}
		bar.Done()
		return e.print(r, func(w io.Writer) {
			fmt.Fprintf(w, "tokens            %d\nwords             %d\nbytes             %d\nloss              %.4f  nats a token\n", r.Tokens, r.Words, r.Bytes, r.NLL/float64(r.Tokens))
			fmt.Fprintf(w, "token perplexity  %.4f\nword perplexity   %.4f\nbyte perplexity   %.4f\nbits per byte     %.4f\nwindow, stride    %d, %d tokens\n",
				r.TokenPerplexity, r.WordPerplexity, r.BytePerplexity, r.BitsPerByte, r.Window, r.Stride)
		})
	})
}

// maxText bounds a text that is encoded as a whole.
const maxText = 1 << 30

// endTokens are the ids that end an answer: eos_token_id of
// generation_config.json as transformers' generate has it, else of config.json,
// else the tokenizer's eos token.
func endTokens(c *weights.Checkpoint, l *tokenize.Language) ([]int32, error) {
	for _, name := range []string{"generation_config.json", "config.json"} {
		data, err := c.File(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, &cli.Error{Code: cli.ExitUsage, Err: err}
		}
		var v struct {
			EOS json.RawMessage `json:"eos_token_id"`
		}
		if err := json.Unmarshal(data, &v); err != nil {
			return nil, cli.Usagef("%s/%s: %w", c.Ref(), name, err)
		}
		var one int32
		var all []*int32 // nil: null
		switch {
		case len(v.EOS) == 0 || string(v.EOS) == "null":
		case json.Unmarshal(v.EOS, &one) == nil:
			return []int32{one}, nil
		case json.Unmarshal(v.EOS, &all) == nil && len(all) > 0 && !slices.Contains(all, nil):
			ids := make([]int32, len(all))
			for i, id := range all {
				ids[i] = *id
			}
			return ids, nil
		default:
			return nil, cli.Usagef("%s/%s: eos_token_id is %.60s: an id or a list of ids was expected", c.Ref(), name, v.EOS)
		}
	}
	if id, ok := l.Tokenizer.ID(l.EOS); ok && l.EOS != "" {
		return []int32{id}, nil
	}
	return nil, cli.Usagef("%s says of no token that it ends a text: add eos_token_id to generation_config.json", c.Ref())
}
