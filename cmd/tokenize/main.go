// Tokenize turns SFT corpora into tokens/1 datasets.
package main

import (
	"context"
	"fmt"
	"os"
	"runtime"

	"github.com/spf13/pflag"

	"eaft/internal/cli"
	"eaft/model/weights"
	"eaft/parquet"
	"eaft/tokenize"
	"eaft/tokenize/tokenizer"
)

const usage = `Usage: tokenize [flags] FILE...
       tokenize encode --model M < strings.jsonl     ids of JSON strings, one a line
       tokenize render --model M < chats.jsonl       what the chat template makes of them
       tokenize show DATASET [ROW]                   a row with its trained tokens marked

Reads JSON Lines (or a JSON array) and writes a tokens/1 dataset. A row is a
chat (messages), or the fields that you name, or tokens (input_ids).

  tokenize --model M.gguf --prompt-field question --completion-field answer --out tok train.jsonl

A finished dataset is left as it is; of one that was stopped only what is
missing is made.`

func main() { os.Exit(cli.Main("tokenize", run)) }

func run(ctx context.Context, args []string, std cli.IO) error {
	if len(args) > 0 {
		switch args[0] {
		case "encode":
			return encode(args[1:], std)
		case "render":
			return render(args[1:], std)
		case "show":
			return show(args[1:], std)
		}
	}
	fs := pflag.NewFlagSet("tokenize", pflag.ContinueOnError)
	lang := languageFlags(fs)
	trainOn := fs.String("train-on", string(tokenize.Assistant), "which turns of a chat are trained: assistant, last or all; a message's train field overrides it")
	o := tokenize.Options{Log: std.Err}
	fs.StringVar(&o.Out, "out", "", "folder for the dataset")
	fs.StringVar(&o.PromptField, "prompt-field", "", "field of the prompt, rendered as the user's turn")
	fs.StringVar(&o.CompletionField, "completion-field", "", "field of the completion, rendered as the assistant's turn")
	fs.StringVar(&o.TextField, "text-field", "", "field of plain text, all of it trained")
	fs.StringVar(&o.MessagesField, "messages-field", "messages", "field of a chat")
	fs.IntVar(&o.MaxLength, "max-length", 0, "longest row in tokens; 0: no limit")
	overlong := fs.String("overlong", string(tokenize.Drop), "what becomes of longer rows: drop, truncate or error")
	fs.IntVar(&o.Shards, "shards", 1, "number of Parquet files")
	fs.Float64Var(&o.MaxReject, "max-reject", 0.01, "share of rows that may be dropped before the run fails (exit code 3)")
	fs.IntVar(&o.Threads, "threads", runtime.GOMAXPROCS(0), "threads that encode")
	if err := cli.Parse(fs, args, std, usage); err != nil {
		return err
	}
	o.TrainOn = tokenize.TrainOn(*trainOn)
	if o.Threads < 1 {
		return cli.Usagef("--threads %d: use at least 1", o.Threads)
	}
	o.Inputs, o.Overlong = fs.Args(), tokenize.Overlong(*overlong)
	l, err := lang.load()
	if err != nil {
		return err
	}
	m, again, err := tokenize.Run(ctx, l, o)
	if err != nil {
		return err
	}
	if again {
		fmt.Fprintf(std.Err, "%s is finished already; nothing to do\n", o.Out)
	}
	return summary(std, m)
}

func summary(std cli.IO, m *parquet.Manifest) error {
	g := m.Ledger
	_, err := fmt.Fprintf(std.Out, "rows      %d of %d\ntokens    %d\ntrained   %d (%.1f%%)\n",
		g.RowsOut, g.RowsIn, g.Tokens, g.Targets, 100*float64(g.Targets)/float64(max(g.Tokens, 1)))
	if g.Truncated > 0 {
		fmt.Fprintf(std.Out, "truncated %d rows\n", g.Truncated)
	}
	if len(g.Dropped) > 0 {
		fmt.Fprintf(std.Out, "dropped   %s (see rejects.jsonl)\n", tokenize.Reasons(g.Dropped))
	}
	return err
}

// language are the flags that name a tokenizer and a template.
type language struct{ model, tokenizer, template *string }

func languageFlags(fs *pflag.FlagSet) language {
	return language{
		fs.String("model", "", "model whose tokenizer and chat template are used: a Hugging Face folder, a .gguf file, or demo"),
		fs.String("tokenizer", "", "tokenizer.json to use instead of the model's"),
		fs.String("template", "", "chat template (Jinja) to use instead of the model's"),
	}
}

func (f language) load() (*tokenize.Language, error) {
	if *f.model == "" && *f.tokenizer == "" {
		return nil, cli.Usagef("--model or --tokenizer is missing")
	}
	var source, bos, eos string
	var tok *tokenizer.Tokenizer
	if *f.model != "" {
		c, err := weights.Open(*f.model)
		if err != nil {
			return nil, &cli.Error{Code: cli.ExitUsage, Err: err}
		}
		defer c.Close()
		if *f.tokenizer == "" && *f.template == "" {
			return tokenize.LanguageOf(c)
		}
		if source, bos, eos, err = c.ChatTemplate(); err != nil {
			return nil, &cli.Error{Code: cli.ExitUsage, Err: err}
		}
		if *f.tokenizer == "" {
			l, err := tokenize.LanguageOf(c)
			if err != nil {
				return nil, err
			}
			tok = l.Tokenizer
		}
	}
	if *f.tokenizer != "" {
		data, err := os.ReadFile(*f.tokenizer)
		if err != nil {
			return nil, &cli.Error{Code: cli.ExitUsage, Err: err}
		}
		if tok, err = tokenizer.FromJSON(data); err != nil {
			return nil, cli.Usagef("%s: %w", *f.tokenizer, err)
		}
	}
	if *f.template != "" {
		data, err := os.ReadFile(*f.template)
		if err != nil {
			return nil, &cli.Error{Code: cli.ExitUsage, Err: err}
		}
		source = string(data)
	}
	l, err := tokenize.NewLanguage(tok, source, bos, eos)
	if err != nil {
		return nil, &cli.Error{Code: cli.ExitUsage, Err: err}
	}
	return l, nil
}
