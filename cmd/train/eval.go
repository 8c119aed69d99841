package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"eaft/compute"
	"eaft/compute/cpu"
	"eaft/eval"
	"eaft/internal/cli"
	"eaft/model"
	"eaft/model/weights"
	"eaft/parquet"
	"eaft/train"
)

const evalUsage = `Usage: train eval --model M --tokens DIR
       train eval --model M --task mc|generate|perplexity --data FILE

Measures a model. Tasks:

  heldout     mean loss (nats) over the trained targets of a tokens/1 dataset, and
              the share of them that the model would have said itself
  mc          multiple choice by log-likelihood: acc and acc_norm
  generate    greedy answers to questions, of which the number must be right
  perplexity  of a plain text, by token, word and byte

Records are read from JSON lines, arrays and objects, CSV and Parquet, gzip and
zstd too; --map says which fields are what where the usual names are not there.
docs/evaluation.md defines every number.

  train eval --model run/model --tokens heldout --json
  train eval --model run/model --task mc --data mmlu.jsonl --out chosen.jsonl
  train eval --model run/model --task mc --data pubmedqa.json --labels yes,no,maybe
  train eval --model run/model --task generate --data gsm8k.jsonl --limit 50
  train eval --model run/model --task perplexity --data test.txt`

// evalTasks are the tasks and the flags that belong to some of them.
var evalTasks = []struct {
	name  string
	flags []string
	run   func(e *evaluation) error
}{
	{"heldout", []string{"tokens"}, (*evaluation).heldOut},
	{"mc", []string{"data", "limit", "out", "map", "prompt", "chat", "labels", "form"}, (*evaluation).choice},
	{"generate", []string{"data", "limit", "out", "map", "prompt", "chat", "max-new-tokens", "batch"}, (*evaluation).match},
	{"perplexity", []string{"data", "out", "window", "stride", "max-tokens"}, (*evaluation).perplexity},
}

// maxNewTokens is more than any model has positions.
const maxNewTokens = 1 << 24

// evaluation is one call of train eval.
type evaluation struct {
	ctx context.Context
	std cli.IO
	fs  *pflag.FlagSet

	task, model, adapter, tokens, data, out, dtype string
	threads, limit                                 int
	json                                           bool

	fields             []string
	prompt, form       string
	labels             []string
	chat               bool
	maxNew, batch      int
	window, stride, at int

	operands compute.DType // of dtype
	c        *weights.Checkpoint
	m        *model.Model
}

func evaluate(ctx context.Context, args []string, std cli.IO) error {
	e := &evaluation{ctx: ctx, std: std, fs: pflag.NewFlagSet("train eval", pflag.ContinueOnError)}
	fs := e.fs
	fs.StringVar(&e.model, "model", "", "model: "+cli.Models)
	fs.StringVar(&e.adapter, "adapter", "", "PEFT adapter folder beside the model")
	fs.StringVar(&e.task, "task", "heldout", "heldout, mc, generate or perplexity")
	fs.StringVar(&e.tokens, "tokens", "", "heldout: folder of tokens")
	fs.StringVar(&e.data, "data", "", "file of records, or of plain text for perplexity")
	fs.IntVar(&e.limit, "limit", 0, "use the first N records only; 0: all")
	fs.StringVar(&e.out, "out", "", "file for a line of JSON for each example")
	fs.StringArrayVar(&e.fields, "map", nil, "WHAT=FIELD, repeatable: question, answer, choices (or columns: choices=A,B,C,D), context, subject, id")
	fs.StringVar(&e.prompt, "prompt", "", "prompt with {question}, {choices}, {context}, {subject}; empty: the task's own")
	fs.BoolVar(&e.chat, "chat", false, "ask through the model's chat template; the default of generate where there is one (--chat=false: raw)")
	cli.NoDefault(fs, "chat")
	fs.StringVar(&e.form, "form", "letters", "mc: letters (choose among A, B, ...) or texts (among the choices themselves)")
	fs.StringSliceVar(&e.labels, "labels", nil, "mc: the choices of every record, such as yes,no,maybe")
	fs.IntVar(&e.maxNew, "max-new-tokens", 256, "generate: tokens of an answer, at most")
	fs.IntVar(&e.batch, "batch", 16, "generate: answers at a time; the results do not depend on it")
	fs.IntVar(&e.window, "window", 0, "perplexity: tokens of a window; 0: 2048, or the model's positions")
	fs.IntVar(&e.stride, "stride", 0, "perplexity: tokens from one window to the next; 0: half a window")
	fs.IntVar(&e.at, "max-tokens", 0, "perplexity: use the first N tokens only; 0: all")
	fs.StringVar(&e.dtype, "dtype", "bf16", "operands of products: bf16 or f32")
	fs.IntVar(&e.threads, "threads", 0, "threads; 0: all cores")
	fs.BoolVar(&e.json, "json", false, "print JSON")
	if err := cli.Parse(fs, args, std, evalUsage); err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return cli.Usagef("argument %q is not expected; see train eval --help", fs.Arg(0))
	}
	run, err := e.check()
	if err != nil {
		return err
	}
	return run(e)
}

// check finds the task, and refuses flags of another.
func (e *evaluation) check() (run func(*evaluation) error, err error) {
	var names []string
	var own, others []string
	for _, t := range evalTasks {
		names = append(names, t.name)
		if t.name == e.task {
			own, run = t.flags, t.run
		} else {
			others = append(others, t.flags...)
		}
	}
	if run == nil {
		return nil, cli.Usagef("--task %q is none of %s", e.task, strings.Join(names, ", "))
	}
	for _, f := range others {
		if e.fs.Changed(f) && !slices.Contains(own, f) {
			return nil, cli.Usagef("--%s is not of task %s", f, e.task)
		}
	}
	if e.operands, err = compute.ParseDType(e.dtype); err != nil {
		return nil, cli.Usagef("--dtype: %w", err)
	}
	switch {
	case e.tokens == "" && e.task == "heldout":
		return nil, cli.Usagef("--tokens is missing: the folder that tokenize wrote")
	case e.data == "" && e.task != "heldout":
		return nil, cli.Usagef("--data is missing: the file to measure with")
	case e.form != "letters" && e.form != "texts":
		return nil, cli.Usagef("--form %q: use letters or texts", e.form)
	case e.labels != nil && (e.fs.Changed("form") || len(e.labels) < 2):
		return nil, cli.Usagef("--labels are 2 or more, and are the choices themselves: leave --form out")
	}
	for _, f := range []struct {
		name  string
		value int
		zero  string // what 0 means
	}{{"limit", e.limit, "all"}, {"max-tokens", e.at, "all"}, {"window", e.window, "the model's positions, at most 2048"}, {"stride", e.stride, "half a window"}} {
		if f.value < 0 {
			return nil, cli.Usagef("--%s %d: at least 1, or 0 for %s", f.name, f.value, f.zero)
		}
	}
	switch {
	case e.maxNew < 1 || e.maxNew > maxNewTokens:
		return nil, cli.Usagef("--max-new-tokens %d: a number from 1 to %d", e.maxNew, maxNewTokens)
	case e.batch < 1:
		return nil, cli.Usagef("--batch %d: at least 1", e.batch)
	}
	if err := cli.CheckThreads(e.threads); err != nil {
		return nil, err
	}
	return run, eval.CheckPrompt(e.prompt)
}

// load opens the model. The caller closes e.c.
func (e *evaluation) load() error {
	dev, err := cpu.New(e.threads)
	if err != nil {
		return &cli.Error{Code: cli.ExitUsage, Err: err}
	}
	if e.m, err = model.Load(dev, e.c, model.Options{DType: e.operands}); err != nil {
		return &cli.Error{Code: cli.ExitUsage, Err: err}
	}
	return addAdapter(e.m, e.adapter)
}

func (e *evaluation) heldOut() (err error) {
	if e.c, err = open(e.ctx, e.model, e.std); err != nil {
		return err
	}
	defer e.c.Close()
	ds, err := parquet.OpenDataset(e.tokens, parquet.SchemaTokens)
	if err != nil {
		return &cli.Error{Code: cli.ExitUsage, Err: err}
	}
	if _, err := train.CheckTokens(e.c, ds, e.std.Err); err != nil {
		return err
	}
	if err := ds.Verify(); err != nil {
		return &cli.Error{Code: cli.ExitUsage, Err: err}
	}
	if err := e.load(); err != nil {
		return err
	}
	r, err := eval.HeldOut(e.ctx, e.m, ds)
	if err != nil {
		return err
	}
	if why := r.LeftOut(); why != "" {
		fmt.Fprintf(e.std.Err, "warning: %s\n", why)
	}
	return e.print(r, func(w io.Writer) {
		fmt.Fprintf(w, "rows      %d\ntargets   %d\nloss      %.4f  nats a target, the mean of -ln p\naccuracy  %.4f  of the targets are the model's likeliest token\n", r.Rows, r.Targets, r.Loss, r.Accuracy)
	})
}

// print writes a result as JSON or as a table.
func (e *evaluation) print(result any, table func(w io.Writer)) error {
	if e.json {
		return json.NewEncoder(e.std.Out).Encode(result)
	}
	var b strings.Builder
	table(&b)
	_, err := io.WriteString(e.std.Out, b.String())
	return err
}
