package main

import (
	"context"

	"github.com/spf13/pflag"

	"eaft/internal/cli"
	"eaft/report"
)

const diffUsage = `Usage: scorer diff A B [flags]

Compares two annotations of the same tokens: before and after training, two
precisions, two models. Conflicts are counted at the cuts of A in both.

  scorer diff scores-base scores-tuned
  scorer diff scores-bf16 scores-f32 --json`

func runDiff(ctx context.Context, args []string, std cli.IO) error {
	fs := pflag.NewFlagSet("scorer diff", pflag.ContinueOnError)
	asJSON := fs.Bool("json", false, "print JSON instead of text")
	common := cutFlags(fs, std.Err)
	worst := fs.Int("worst", 10, "tokens and rows to show that B likes less")
	if err := cli.Parse(fs, args, std, diffUsage); err != nil {
		return err
	}
	if fs.NArg() != 2 {
		return cli.Usagef("want two folders of scores, got %d arguments; see scorer diff --help", fs.NArg())
	}
	o, err := common(fs.Arg(0))
	if err != nil {
		return err
	}
	if *worst < 0 {
		return cli.Usagef("--worst %d: want 0 or more", *worst)
	}
	o.Worst = *worst
	d, err := report.BuildDiff(ctx, o, fs.Arg(1))
	if err != nil {
		return err
	}
	if *asJSON {
		return report.JSON(std.Out, d)
	}
	return d.Text(std.Out, std.Colours())
}
