package main

import (
	"bytes"
	"context"
	"io"
	"strings"

	"github.com/spf13/pflag"

	"eaft/eaft"
	"eaft/internal/cli"
	"eaft/internal/store"
	"eaft/report"
)

const inspectUsage = `Usage: scorer inspect SCORES [flags]

Shows the confident conflicts of annotated data: tokens to which the model gives
little probability although it is sure of another one. No model is needed.

Example:
  scorer inspect scores --thresholds "p<=0.05,h<=0.1" --worst 5
  scorer inspect scores --json | jq .conflict_rate
  scorer inspect scores --html report.html
  scorer inspect scores --fail-if "conflict_rate>0.03"    exit code 3 if it is
  scorer inspect scores --row train.jsonl:15              one row (or --row 15), token by token

The numbers of --fail-if are those of --json, by their names: by_class.digit.conflict_rate,
gates.eaft.loss_kept, why.content.share. All are explained in docs/report.md.`

func runInspect(ctx context.Context, args []string, std cli.IO) error {
	fs := pflag.NewFlagSet("scorer inspect", pflag.ContinueOnError)
	asJSON := fs.Bool("json", false, "print JSON instead of text")
	common := cutFlags(fs, std.Err)
	worst := fs.Int("worst", 10, "rows to show")
	pairs := fs.Int("pairs", 20, "pairs of expected and given tokens to show")
	html := fs.String("html", "", "write the report as a page to this file, too")
	shown := fs.Int("html-rows", 500, "rows to show in the page, those with the largest conflict loss")
	calibration := fs.String("calibration", "", "scores of ordinary text by the same model, to say how well it is calibrated")
	whatIf := fs.StringArray("what-if", nil, `other cuts to count with, "p=0.1,h=0.05"; may be given several times`)
	failIf := fs.StringArray("fail-if", nil, `exit with code 3 if this holds, "conflict_rate>0.03"; may be given several times`)
	rowID := fs.String("row", "", "show one row instead, by its id or number: each token's p, h, rank and what was expected")
	if err := cli.Parse(fs, args, std, inspectUsage); err != nil {
		return err
	}
	if fs.NArg() != 1 {
		return cli.Usagef("want one folder of scores, got %d arguments; see scorer inspect --help", fs.NArg())
	}
	o, err := common(fs.Arg(0))
	switch {
	case err != nil:
		return err
	case *worst < 0:
		return cli.Usagef("--worst %d: want 0 or more", *worst)
	case *pairs < 0:
		return cli.Usagef("--pairs %d: want 0 or more", *pairs)
	case *shown < 0:
		return cli.Usagef("--html-rows %d: want 0 or more", *shown)
	}
	o.Worst, o.Pairs, o.Calibration = *worst, *pairs, *calibration
	for _, w := range *whatIf {
		c, err := report.ParseWhatIf(w)
		if err != nil {
			return cli.Usagef("--what-if: %w", err)
		}
		o.WhatIf = append(o.WhatIf, c)
	}
	conditions, err := report.ParseConditions(*failIf, &report.Report{})
	if err != nil {
		return cli.Usagef("--fail-if: %w", err)
	}
	colour := std.Colours()
	if fs.Changed("row") {
		for _, f := range []string{"html", "html-rows", "calibration", "what-if", "fail-if", "worst", "pairs"} {
			if fs.Changed(f) {
				return cli.Usagef("--%s says something about a report, and --row shows one row instead; leave one of them out", f)
			}
		}
		r, err := report.FindRow(ctx, o, *rowID)
		if err != nil {
			return err
		}
		if *asJSON {
			return report.JSON(std.Out, r)
		}
		return r.Text(std.Out, colour)
	}
	if *html != "" {
		if err := store.Creatable(*html); err != nil {
			return cli.Usagef("--html: %w", err)
		}
		o.Shown = *shown
	} else if fs.Changed("html-rows") {
		return cli.Usagef("--html-rows needs --html FILE")
	}
	r, err := report.Build(ctx, o)
	if err != nil {
		return err
	}
	// Before anything is written: a number that is not there is wrong use.
	failed, err := report.Failed(r, conditions)
	if err != nil {
		return cli.Usagef("--fail-if: %w", err)
	}
	if *html != "" {
		var page bytes.Buffer
		if err := report.HTML(&page, r); err != nil {
			return err
		}
		if err := store.WriteFile(*html, page.Bytes()); err != nil {
			return err
		}
	}
	if *asJSON {
		err = report.JSON(std.Out, r)
	} else {
		err = report.Text(std.Out, r, colour)
	}
	if err == nil && len(failed) > 0 {
		err = cli.Gatef("--fail-if: %s", strings.Join(failed, "; "))
	}
	return err
}

// cutFlags are the flags of all commands that look for conflicts; the function
// it returns checks them.
func cutFlags(fs *pflag.FlagSet, log io.Writer) func(scores string) (report.Options, error) {
	tokens := fs.String("tokens", "", "folder of the tokens that were scored (default: where the scores' manifest says)")
	thresholds := fs.String("thresholds", eaft.DefaultThresholds().String(), `cuts of a conflict: "p<=0.05,h<=0.1", or the lowest "q=0.15" of each`)
	minMass := fs.Float64("min-mass", eaft.DefaultMinMass, "smallest top-K mass that counts as confidence, from 0 to 1")
	estimator := fs.String("estimator", string(eaft.Renorm), "gate entropy h: renorm, trunc or full")
	return func(scores string) (o report.Options, err error) {
		o = report.Options{Scores: scores, Tokens: *tokens, Log: log}
		if o.Thresholds, err = eaft.ParseThresholds(*thresholds); err != nil {
			return o, cli.Usagef("--thresholds: %w", err)
		}
		o.Thresholds.MinMass = *minMass
		if o.Estimator, err = eaft.ParseEstimator(*estimator); err != nil {
			return o, cli.Usagef("--estimator: %w", err)
		}
		if !(*minMass >= 0 && *minMass <= 1) {
			return o, cli.Usagef("--min-mass %v: want a number from 0 to 1", *minMass)
		}
		return o, nil
	}
}
