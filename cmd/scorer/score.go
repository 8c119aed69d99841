package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/pflag"

	"eaft/compute"
	"eaft/compute/cpu"
	"eaft/internal/cli"
	"eaft/scorer"
)

const scoreUsage = `Usage: scorer score --model M --tokens DIR --out DIR [flags]

Writes a scores/1 dataset: for every trained token of a tokens/1 dataset how
likely the model finds it, and how sure the model is of what it would say.

  scorer score --model M.gguf --tokens tok --out scores
  scorer score --model M.gguf --adapter run/adapter --tokens tok --out scores-tuned

A finished dataset is left as it is; of one that was stopped only what is
missing is made. EAFT_CPU (generic, avx2, avx512, avx512bf16, amx)
chooses the instruction set.`

func runScore(ctx context.Context, args []string, std cli.IO) error {
	fs := pflag.NewFlagSet("scorer score", pflag.ContinueOnError)
	o := scorer.Options{Log: std.Err}
	ref := fs.String("model", "", cli.Models)
	adapter := fs.String("adapter", "", "folder of a LoRA adapter, as PEFT and train --lora write it, to score the model with")
	fs.StringVar(&o.Tokens, "tokens", "", "folder of the tokens dataset")
	fs.StringVar(&o.Out, "out", "", "folder for the scores")
	targets := fs.String("targets", string(scorer.Trained), "which tokens are scored: trained or all")
	dtype := fs.String("dtype", "bf16", "precision of the operands of products: bf16 or f32")
	fs.IntVar(&o.K, "k", 20, fmt.Sprintf("tokens in the top-K quantities, %d to %d", scorer.MinK, scorer.MaxK))
	fs.IntVar(&o.StoreTopK, "store-topk", 0, "store this many of the most likely tokens of each target, 1 to --k; 0: none")
	threads := fs.Int("threads", 0, "threads; 0: all cores")
	fs.Int64Var(&o.Limit, "limit", 0, "score only the first rows of the dataset; 0: all")
	fs.BoolVar(&o.NoPrefixSharing, "no-prefix-sharing", false, "compute what several rows begin with for each of them; slower, the same scores")
	shard := fs.String("shard", "", "score only these shards, 3/16 or 3,5/16, beside other workers; a run without closes the dataset")
	asJSON := fs.Bool("json", false, "print the summary as JSON")
	if err := cli.Parse(fs, args, std, scoreUsage); err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return cli.Usagef("unexpected argument %q; see scorer score --help", fs.Arg(0))
	}
	if *ref == "" {
		return cli.Usagef("--model is missing: %s", cli.Models)
	}
	if err := cli.CheckThreads(*threads); err != nil {
		return err
	}
	var err error
	if o.DType, err = compute.ParseDType(*dtype); err != nil {
		return cli.Usagef("--dtype: %w", err)
	}
	o.Targets = scorer.Targets(*targets)
	if *shard != "" {
		if o.Shards, o.ShardsOf, err = cli.ParseShards(*shard); err != nil {
			return err
		}
	}
	dev, err := cpu.New(*threads)
	if err != nil {
		return &cli.Error{Code: cli.ExitUsage, Err: err}
	}
	c, with, done, err := openModel(ctx, *ref, *adapter, std)
	if err != nil {
		return err
	}
	defer done()
	o.Adapter = with
	sum, again, err := scorer.Run(ctx, dev, c, o)
	if err != nil {
		return err
	}
	if o.Shards != nil && !again {
		return nil // there is no whole to sum up
	}
	if again {
		fmt.Fprintf(std.Err, "%s is finished already; nothing to do\n", o.Out)
	}
	if sum.Targets == 0 {
		fmt.Fprintf(std.Err, "warning: %s has no trained token in %d rows: there is nothing to inspect or to train on\n", o.Tokens, sum.Rows)
	}
	if sum.LowCorrelation() {
		fmt.Fprintf(std.Err, "warning: the entropies of the top %d tokens and of the whole vocabulary correlate by %.3f only (the paper on EAFT reports more than 0.999); --estimator full of inspect and train uses the whole distribution, a larger --k here comes closer\n", o.K, *sum.Correlation)
	}
	return printSummary(std, sum, again, *asJSON)
}

// printSummary ends with the speed, which only a run that scored something has.
func printSummary(std cli.IO, sum scorer.Summary, again, asJSON bool) error {
	peak := cli.PeakMemory()
	if asJSON {
		return json.NewEncoder(std.Out).Encode(struct {
			scorer.Summary
			TokensInRows    int64   `json:"tokens_in_rows"`
			TokensComputed  int64   `json:"tokens_computed"`
			TokensPerSecond float64 `json:"tokens_per_second"`
			PeakMemory      int64   `json:"peak_memory"`
		}{sum, sum.Work.Tokens, sum.Work.Computed, sum.TokensPerSecond, peak})
	}
	if err := sum.WriteText(std.Out); err != nil || again || sum.Work.Tokens == 0 {
		return err // what others had scored
	}
	_, err := fmt.Fprintf(std.Out, "speed         %v (rows that begin alike, ends without targets); %.0f tokens/s; peak memory %d MiB\n",
		sum.Work, sum.TokensPerSecond, peak>>20)
	return err
}
