package main

import (
	"context"
	"fmt"

	"github.com/spf13/pflag"

	"eaft/compute/cpu"
	"eaft/internal/cli"
	"eaft/scorer"
)

const mergeUsage = `Usage: scorer merge PART... --out DIR --tokens-out DIR

Puts the annotations of parts of a corpus together, and their tokens: what was
tokenized and scored on several machines becomes one dataset of each. The parts
must have been made alike, by the same model.

  scorer merge scores-0 scores-1 --out scores --tokens-out tok`

func runMerge(ctx context.Context, args []string, std cli.IO) error {
	fs := pflag.NewFlagSet("scorer merge", pflag.ContinueOnError)
	out := fs.String("out", "", "folder for the scores")
	tokens := fs.String("tokens-out", "", "folder for the tokens")
	if err := cli.Parse(fs, args, std, mergeUsage); err != nil {
		return err
	}
	switch {
	case *out == "":
		return cli.Usagef("--out is missing: name a folder for the scores")
	case *tokens == "":
		return cli.Usagef("--tokens-out is missing: name a folder for the tokens")
	}
	sum, err := scorer.Merge(ctx, fs.Args(), *out, *tokens, std.Err)
	if err != nil {
		return err
	}
	return sum.WriteText(std.Out)
}

const verifyUsage = `Usage: scorer verify SCORES [flags]

Checks the hashes of all shards, their metadata, counts and ledgers, that every
quantity lies in its range, and that each row scores the targets of its tokens.
With --sample N it scores N rows again and compares them bit for bit.

  scorer verify scores
  scorer verify scores --sample 20 --model M.gguf`

func runVerify(ctx context.Context, args []string, std cli.IO) error {
	fs := pflag.NewFlagSet("scorer verify", pflag.ContinueOnError)
	tokens := fs.String("tokens", "", "folder of the tokens that were scored (default: where the scores' manifest says)")
	sample := fs.Int64("sample", 0, "rows to score again")
	ref := fs.String("model", "", "with --sample: the model that scored")
	with := fs.String("adapter", "", "with --sample: the adapter that the model scored with")
	threads := fs.Int("threads", 0, "with --sample: threads; 0: all cores")
	if err := cli.Parse(fs, args, std, verifyUsage); err != nil {
		return err
	}
	switch {
	case fs.NArg() != 1:
		return cli.Usagef("want one folder of scores, got %d arguments; see scorer verify --help", fs.NArg())
	case *sample < 0:
		return cli.Usagef("--sample %d: want 0 or more", *sample)
	case *sample > 0 && *ref == "":
		return cli.Usagef("--sample needs --model, the one that scored")
	case *sample == 0 && (*ref != "" || *with != "" || *threads != 0):
		return cli.Usagef("--model, --adapter and --threads are for --sample; say how many rows to score again")
	}
	if err := cli.CheckThreads(*threads); err != nil {
		return err
	}
	v, err := scorer.Verify(ctx, fs.Arg(0), *tokens, std.Err)
	if err != nil {
		return err
	}
	if *sample > 0 {
		dev, err := cpu.New(*threads)
		if err != nil {
			return &cli.Error{Code: cli.ExitUsage, Err: err}
		}
		c, adapter, done, err := openModel(ctx, *ref, *with, std)
		if err != nil {
			return err
		}
		defer done()
		if err := scorer.Recompute(ctx, dev, c, adapter, fs.Arg(0), *tokens, *sample, &v, std.Err); err != nil {
			return err
		}
	}
	compared := "compared with their tokens"
	if !v.Aligned {
		compared = "not compared with their tokens, which the manifest does not name"
	}
	_, err = fmt.Fprintf(std.Out, "sound: %s, %s, %s, %s\n", cli.Count(int64(v.Shards), "shard"), cli.Count(v.Rows, "row"), cli.Count(v.Targets, "target"), compared)
	if err == nil && *sample > 0 {
		_, err = fmt.Fprintf(std.Out, "%s scored again, bit for bit the same\n", cli.Count(v.Recomputed, "row"))
	}
	return err
}
