// Bench measures eaft and what one would run instead, in turn, on one machine
// in one run, and writes the tables of README.md and docs/benchmarks.md.
//
//	go run ./bench --model DIR --corpus train.jsonl --python PYTHON [--write]
//
// Scoring and training are measured through the programs in bin, which "make
// build" makes; see docs/benchmarks.md for what is measured and how.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/pflag"
)

// options are the command's flags.
type options struct {
	model, corpus, prompt, completion string
	python, gguf, bin, work           string
	rows, threads, rounds, stepTokens int
	batches, memoryRows, vocabularies []int
	write                             bool
	json                              string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	var o options
	fs := pflag.NewFlagSet("bench", pflag.ExitOnError)
	fs.SortFlags = false
	fs.StringVar(&o.model, "model", os.Getenv("BENCH_MODEL"), "folder of a Hugging Face model ($BENCH_MODEL)")
	fs.StringVar(&o.corpus, "corpus", os.Getenv("BENCH_CORPUS"), "JSON Lines of prompts and completions ($BENCH_CORPUS)")
	fs.StringVar(&o.prompt, "prompt-field", "question", "field of the prompt")
	fs.StringVar(&o.completion, "completion-field", "answer", "field of the completion")
	fs.StringVar(&o.python, "python", os.Getenv("BENCH_PYTHON"), "Python with torch and transformers ($BENCH_PYTHON); none: no rival")
	fs.StringVar(&o.gguf, "gguf", os.Getenv("BENCH_GGUF"), "the model as a GGUF, for llama.cpp ($BENCH_GGUF); none: without")
	fs.StringVar(&o.bin, "bin", "bin", "folder of eaft's programs")
	fs.StringVar(&o.work, "work", "", "folder for what is made on the way; none: a temporary one")
	fs.IntVar(&o.rows, "rows", 100, "rows of the corpus")
	fs.IntVar(&o.threads, "threads", 2, "threads")
	fs.IntVar(&o.rounds, "rounds", 3, "rounds; their median is shown")
	fs.IntVar(&o.stepTokens, "step-tokens", 4096, "tokens of an optimizer step")
	fs.IntSliceVar(&o.batches, "batches", []int{1024, 4096}, "tokens of the rival's batches; the faster of the first round stays")
	fs.IntSliceVar(&o.memoryRows, "memory-rows", nil, "also measure peak memory with so many rows, such as 100,400")
	fs.IntSliceVar(&o.vocabularies, "vocabularies", nil, "also measure peak memory with vocabularies of so many tokens, such as 98304,151936")
	fs.BoolVar(&o.write, "write", false, "write the tables into README.md and docs/benchmarks.md")
	fs.StringVar(&o.json, "json", "", "write all measurements to a file")
	if err := fs.Parse(os.Args[1:]); err != nil {
		return err
	}
	switch {
	case fs.NArg() > 0:
		return fmt.Errorf("unexpected argument %q", fs.Arg(0))
	case o.model == "":
		return errors.New("--model is missing: the folder of a Hugging Face model")
	case o.corpus == "":
		return errors.New("--corpus is missing: JSON Lines of prompts and completions")
	case o.rows < 1 || o.threads < 1 || o.rounds < 1 || o.stepTokens < 1 || len(o.batches) == 0:
		return errors.New("--rows, --threads, --rounds, --step-tokens and --batches: at least 1")
	}
	if o.work == "" {
		dir, err := os.MkdirTemp("", "eaft-bench-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		o.work = dir
	} else if err := os.MkdirAll(o.work, 0o777); err != nil {
		return err
	}
	b, err := newBench(ctx, &o)
	if err != nil {
		return err
	}
	if err := b.rounds(); err != nil {
		return err
	}
	if err := b.memory(); err != nil {
		return err
	}
	if o.json != "" {
		data, err := json.MarshalIndent(b.report, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(o.json, append(data, '\n'), 0o666); err != nil {
			return err
		}
	}
	short, long := b.report.short(), b.report.long()
	fmt.Print(long)
	if !o.write {
		return nil
	}
	isa := b.report.Versions["ISA"]
	if err := splice("README.md", isa, short); err != nil {
		return err
	}
	return splice(filepath.Join("docs", "benchmarks.md"), isa, long)
}
