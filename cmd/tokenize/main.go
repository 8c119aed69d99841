// Tokenize turns SFT corpora into tokens/1 datasets.
package main

import (
	"context"
	"fmt"
	"os"
	"runtime"

	"github.com/spf13/pflag"

	"eaft/internal/cli"
	"eaft/internal/hub"
	"eaft/internal/store"
	"eaft/model"
	"eaft/model/weights"
	"eaft/tokenize"
	"eaft/tokenize/tokenizer"
)

const usage = `Usage: tokenize --model M --out DIR [flags] FILE...
       tokenize encode --model M < strings.jsonl     ids of JSON strings, one a line
       tokenize render --model M < chats.jsonl       what the chat template makes of them
       tokenize show DATASET [ROW]                   a row with its trained tokens marked

Writes a tokens/1 dataset from JSON Lines, JSON arrays and objects, CSV and
Parquet; .gz and .zst too. FILE is a file, a folder, a pattern, or - for standard
input. What a row is (messages, ShareGPT, Alpaca, prompt and completion, plain
text, tokens) is told from its fields and shown; --map says it otherwise.

  tokenize --model M.gguf --out tok train.jsonl
  tokenize --model M.gguf --map user=CONTEXTS+QUESTION,assistant=LONG_ANSWER --out tok pubmedqa.json

A finished dataset is left as it is; of one that was stopped only what is
missing is made.`

func main() { os.Exit(cli.Main("tokenize", run)) }

func run(ctx context.Context, args []string, std cli.IO) error {
	if len(args) > 0 {
		switch args[0] {
		case "encode":
			return encode(ctx, args[1:], std)
		case "render":
			return render(ctx, args[1:], std)
		case "show":
			return show(args[1:], std)
		}
	}
	fs := pflag.NewFlagSet("tokenize", pflag.ContinueOnError)
	lang := languageFlags(fs)
	trainOn := fs.String("train-on", string(tokenize.Assistant), "which turns of a chat are trained: assistant, last or all; a message's train field overrides it")
	o := tokenize.Options{Log: std.Err}
	fs.BoolVar(&o.NoSpecialTokens, "no-special-tokens", false, "no BOS before and no EOS after plain texts, and pairs of a model without a chat template")
	fs.StringVar(&o.Out, "out", "", "folder for the dataset")
	maps := fs.StringArray("map", nil, "which field is what, instead of what is detected: user=FIELD,assistant=FIELD and others; see docs/corpora.md")
	prompt := fs.String("prompt-field", "", "short for --map user=FIELD")
	completion := fs.String("completion-field", "", "short for --map assistant=FIELD")
	text := fs.String("text-field", "", "short for --map text=FIELD: plain text, all of it trained")
	messages := fs.String("messages-field", "", "short for --map messages=FIELD")
	fs.IntVar(&o.MaxLength, "max-length", 0, "longest row in tokens; 0: no limit")
	overlong := fs.String("over-length", string(tokenize.Drop), "what becomes of longer rows: drop, truncate, split or error")
	shuffle := fs.Uint64("shuffle", 0, "shuffle the rows with this seed")
	cli.NoDefault(fs, "shuffle")
	splits := fs.StringArray("split", nil, "make further datasets of a share of the rows, by content: held-out=2%")
	dedup := fs.StringArray("dedup", nil, "leave out rows that repeat: exact, or near=0.8 (least similarity)")
	fs.IntVar(&o.Shards, "shards", 0, "number of Parquet files; 0: one for each gigabyte of records")
	shard := fs.String("shard", "", "make only these shards, 3/16 or 3,5/16, beside other workers; a run without, with --shards 16, closes the dataset")
	fs.Float64Var(&o.MaxReject, "max-reject", 0.01, "share of rows that may be dropped before the run fails (exit code 3)")
	asJSON := fs.Bool("json", false, "print the report as JSON, one object a line for each dataset")
	fs.IntVar(&o.Threads, "threads", runtime.GOMAXPROCS(0), "threads that encode")
	if err := cli.Parse(fs, args, std, usage); err != nil {
		return err
	}
	o.TrainOn = tokenize.TrainOn(*trainOn)
	if o.Threads < 1 || o.Threads > cli.MaxThreads {
		return cli.Usagef("--threads %d: use 1 to %d", o.Threads, cli.MaxThreads)
	}
	for _, short := range [][2]string{{"user", *prompt}, {"assistant", *completion}, {"text", *text}, {"messages", *messages}} {
		if short[1] != "" {
			*maps = append(*maps, short[0]+"="+short[1])
		}
	}
	var err error
	if o.Map, err = tokenize.ParseMap(*maps); err != nil {
		return err
	}
	if o.Split, err = tokenize.ParseSplit(*splits); err != nil {
		return err
	}
	if o.Dedup, err = tokenize.ParseDedup(*dedup); err != nil {
		return err
	}
	if fs.Changed("shuffle") {
		o.Shuffle = shuffle
	}
	if *shard != "" {
		n := o.Shards
		if o.Only, o.Shards, err = cli.ParseShards(*shard); err != nil {
			return err
		}
		if n != 0 && n != o.Shards {
			return cli.Usagef("--shard %s and --shards %d do not fit", *shard, n)
		}
	}
	o.Inputs, o.Overlong, o.Stdin = fs.Args(), tokenize.Overlong(*overlong), std.In
	l, err := lang.load(ctx, std)
	if err != nil {
		return err
	}
	made, again, err := tokenize.Run(ctx, l, o)
	if err != nil {
		return err
	}
	if again {
		fmt.Fprintf(std.Err, "%s is finished already; nothing to do\n", o.Out)
	}
	log, logs := std.Err.(*cli.Log)
	for _, d := range made {
		switch {
		case *asJSON:
			err = tokenize.WriteJSON(std.Out, d)
		case logs:
			err = tokenize.LogJSON(log, d)
		default:
			err = tokenize.WriteText(std.Err, d)
		}
		if err != nil {
			return err
		}
		longest, err := d.Longest()
		if err != nil {
			return err
		}
		if lang.positions > 0 && longest > int64(lang.positions) {
			fmt.Fprintf(std.Err, "warning: %s: the longest row has %d tokens, the model takes %d; scorer score refuses longer rows, and train leaves them out: give --max-length %d, and --over-length drop, truncate or split, in another folder\n",
				d.Dir, longest, lang.positions, lang.positions)
		}
	}
	return nil
}

// language are the flags that name a tokenizer and a template.
type language struct {
	model, tokenizer, template *string
	positions                  int // tokens that the loaded model takes; 0: not known
}

// openModel opens a model without its weights; it may have to be fetched.
func openModel(ctx context.Context, ref string, std cli.IO) (*weights.Checkpoint, error) {
	if err := hub.Get(ctx, ref, false, std.Err); err != nil {
		return nil, err
	}
	c, err := weights.OpenSideFiles(ref)
	if err != nil {
		return nil, &cli.Error{Code: cli.ExitUsage, Err: err}
	}
	return c, nil
}

func languageFlags(fs *pflag.FlagSet) *language {
	return &language{
		model:     fs.String("model", "", "model whose tokenizer and chat template are used: "+cli.Models),
		tokenizer: fs.String("tokenizer", "", "tokenizer.json to use instead of the model's"),
		template:  fs.String("template", "", "chat template (Jinja) to use instead of the model's"),
	}
}

func (f *language) load(ctx context.Context, std cli.IO) (*tokenize.Language, error) {
	if *f.model == "" && *f.tokenizer == "" {
		return nil, cli.Usagef("--model is missing: %s; or give --tokenizer", cli.Models)
	}
	var source, toolUse, bos, eos string
	var tok *tokenizer.Tokenizer
	if *f.model != "" {
		c, err := openModel(ctx, *f.model, std)
		if err != nil {
			return nil, err
		}
		defer c.Close()
		if spec, err := model.SpecOf(c); err == nil { // else an architecture that is tokenized for only
			f.positions = spec.MaxPositions
		}
		if *f.tokenizer == "" && *f.template == "" {
			return tokenize.LanguageOf(c)
		}
		if source, bos, eos, err = c.ChatTemplate(); err != nil {
			return nil, &cli.Error{Code: cli.ExitUsage, Err: err}
		}
		if toolUse, err = c.ToolTemplate(); err != nil {
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
		data, err := store.ReadFile(*f.tokenizer)
		if err != nil {
			return nil, &cli.Error{Code: cli.ExitUsage, Err: err}
		}
		if tok, err = tokenizer.FromJSON(data); err != nil {
			return nil, cli.Usagef("%s: %w", *f.tokenizer, err)
		}
	}
	if *f.template != "" {
		data, err := store.ReadFile(*f.template)
		if err != nil {
			return nil, &cli.Error{Code: cli.ExitUsage, Err: err}
		}
		source, toolUse = string(data), ""
	}
	l, err := tokenize.NewLanguage(tok, source, toolUse, bos, eos)
	if err != nil {
		return nil, &cli.Error{Code: cli.ExitUsage, Err: err}
	}
	return l, nil
}
