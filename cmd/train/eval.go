package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/pflag"

	"eaft/compute"
	"eaft/compute/cpu"
	"eaft/eval"
	"eaft/internal/cli"
	"eaft/model"
	"eaft/parquet"
	"eaft/train"
)

const evalUsage = `Usage: train eval --model M --tokens DIR

Prints the mean loss (nats) over the trained targets of a tokens/1 dataset, and
the share of them that the model would have said itself.

  train eval --model run/model --tokens heldout --json`

func evaluate(ctx context.Context, args []string, std cli.IO) error {
	fs := pflag.NewFlagSet("train eval", pflag.ContinueOnError)
	ref := fs.String("model", "", "model: a Hugging Face folder, a .gguf file, or demo")
	dir := fs.String("tokens", "", "folder of tokens")
	dt := fs.String("dtype", "bf16", "operands of products: bf16 or f32")
	threads := fs.Int("threads", 0, "threads; 0: all cores")
	asJSON := fs.Bool("json", false, "print JSON")
	if err := cli.Parse(fs, args, std, evalUsage); err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return cli.Usagef("argument %q is not expected; see train eval --help", fs.Arg(0))
	}
	if *dir == "" {
		return cli.Usagef("--tokens is missing: the folder that tokenize wrote")
	}
	dtype, err := compute.ParseDType(*dt)
	if err != nil {
		return cli.Usagef("--dtype: %w", err)
	}
	c, err := open(*ref)
	if err != nil {
		return err
	}
	defer c.Close()
	ds, err := parquet.OpenDataset(*dir, parquet.SchemaTokens)
	if err != nil {
		return &cli.Error{Code: cli.ExitUsage, Err: err}
	}
	if err := train.CheckTokens(c, ds, std.Err); err != nil {
		return err
	}
	dev, err := cpu.New(*threads)
	if err != nil {
		return err
	}
	m, err := model.Load(dev, c, model.Options{DType: dtype})
	if err != nil {
		return &cli.Error{Code: cli.ExitUsage, Err: err}
	}
	r, err := eval.HeldOut(ctx, m, ds)
	if err != nil {
		return err
	}
	if *asJSON {
		return json.NewEncoder(std.Out).Encode(r)
	}
	_, err = fmt.Fprintf(std.Out, "rows      %d\ntargets   %d\nloss      %.4f\naccuracy  %.4f\n", r.Rows, r.Targets, r.Loss, r.Accuracy)
	return err
}
