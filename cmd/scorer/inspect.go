package main

import (
	"context"
	"os"

	"github.com/spf13/pflag"
	"golang.org/x/term"

	"eaft/eaft"
	"eaft/internal/cli"
	"eaft/report"
)

const inspectUsage = `Usage: scorer inspect SCORES [flags]

Shows the confident conflicts of annotated data: tokens to which the model gives
little probability although it is sure of another one. No model is needed.

Example:
  scorer inspect scores --thresholds "p<=0.05,h<=0.1" --worst 5
  scorer inspect scores --json | jq .conflict_rate`

func runInspect(ctx context.Context, args []string, std cli.IO) error {
	fs := pflag.NewFlagSet("scorer inspect", pflag.ContinueOnError)
	asJSON := fs.Bool("json", false, "print JSON instead of text")
	tokens := fs.String("tokens", "", "folder of the tokens that were scored (default: where the scores' manifest says)")
	thresholds := fs.String("thresholds", eaft.DefaultThresholds().String(), `cuts of a conflict: "p<=0.05,h<=0.1", or the lowest "q=0.15" of each`)
	minMass := fs.Float64("min-mass", eaft.DefaultMinMass, "smallest top-K mass that counts as confidence, from 0 to 1")
	estimator := fs.String("estimator", string(eaft.Renorm), "gate entropy h: renorm, trunc or full")
	worst := fs.Int("worst", 10, "rows to show")
	pairs := fs.Int("pairs", 20, "pairs of expected and given tokens to show")
	if err := cli.Parse(fs, args, std, inspectUsage); err != nil {
		return err
	}
	if fs.NArg() != 1 {
		return cli.Usagef("want one folder of scores, got %d arguments; see scorer inspect --help", fs.NArg())
	}
	t, err := eaft.ParseThresholds(*thresholds)
	if err != nil {
		return cli.Usagef("--thresholds: %w", err)
	}
	t.MinMass = *minMass
	est, err := eaft.ParseEstimator(*estimator)
	switch {
	case err != nil:
		return cli.Usagef("--estimator: %w", err)
	case !(*minMass >= 0 && *minMass <= 1):
		return cli.Usagef("--min-mass %v: want a number from 0 to 1", *minMass)
	case *worst < 0:
		return cli.Usagef("--worst %d: want 0 or more", *worst)
	case *pairs < 0:
		return cli.Usagef("--pairs %d: want 0 or more", *pairs)
	}
	r, err := report.Build(ctx, report.Options{Scores: fs.Arg(0), Tokens: *tokens, Thresholds: t, Estimator: est, Worst: *worst, Pairs: *pairs})
	if err != nil {
		return err
	}
	if *asJSON {
		return report.JSON(std.Out, r)
	}
	f, ok := std.Out.(*os.File)
	colour := ok && os.Getenv("NO_COLOR") == "" && term.IsTerminal(int(f.Fd()))
	return report.Text(std.Out, r, colour)
}
