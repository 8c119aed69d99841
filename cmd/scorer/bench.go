package main

import (
	"context"

	"github.com/spf13/pflag"

	"eaft/compute"
	"eaft/compute/cpu"
	"eaft/internal/cli"
	"eaft/scorer/bench"
)

const benchUsage = `Usage: scorer bench [flags]

Shows whether the engine does its work on this machine: what the processor and
the memory can do at most, measured now, and beside it what every part of
scoring, of one token's products and of a training step reaches. The tokens are
random. A quiet machine gives the better numbers.

  scorer bench --model M.gguf
  scorer bench --model M.gguf --json | jq .score.tokens_per_second

EAFT_CPU (generic, avx2, avx512, avx512bf16, amx) chooses the instruction set.`

func runBench(ctx context.Context, args []string, std cli.IO) error {
	fs := pflag.NewFlagSet("scorer bench", pflag.ContinueOnError)
	o := bench.DefaultOptions()
	fs.StringVar(&o.Model, "model", o.Model, cli.Models)
	dtype := fs.String("dtype", o.DType.String(), "precision of the operands of products: bf16 or f32")
	threads := fs.Int("threads", 0, "threads; 0: all cores")
	fs.IntVar(&o.Tokens, "tokens", o.Tokens, "tokens of a batch")
	fs.IntVar(&o.RowLength, "row-length", o.RowLength, "tokens of a row")
	fs.IntVar(&o.Passes, "passes", o.Passes, "passes of each kind; the median is shown")
	fs.BoolVar(&o.ForwardOnly, "forward-only", false, "no training step, which takes 18 bytes of memory for each parameter")
	asJSON := fs.Bool("json", false, "print JSON")
	if err := cli.Parse(fs, args, std, benchUsage); err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return cli.Usagef("unexpected argument %q; see scorer bench --help", fs.Arg(0))
	}
	if err := cli.CheckThreads(*threads); err != nil {
		return err
	}
	var err error
	if o.DType, err = compute.ParseDType(*dtype); err != nil {
		return cli.Usagef("--dtype: %w", err)
	}
	if err := o.Check(); err != nil {
		return err
	}
	dev, err := cpu.New(*threads)
	if err != nil {
		return &cli.Error{Code: cli.ExitUsage, Err: err}
	}
	c, _, done, err := openModel(ctx, o.Model, "", std)
	if err != nil {
		return err
	}
	defer done()
	r, err := bench.Run(ctx, dev, c, o)
	if err != nil {
		return err
	}
	if *asJSON {
		return r.JSON(std.Out)
	}
	return r.Text(std.Out)
}
