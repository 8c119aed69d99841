package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"strings"

	"github.com/spf13/pflag"

	"eaft/internal/cli"
	"eaft/internal/store"
	"eaft/model/weights"
	"eaft/report"
	"eaft/train"
)

const auditUsage = `Usage: train audit RUN [flags]

Says what a finished run did to every target: which confident conflicts of the
base are resolved, how much loss and gradient the weights removed and where, and
which confident knowledge is lost. No model is computed with.

  train audit run
  train audit run --after scores-of-run/model     drift measured after training
  train audit run --html audit.html --json | jq .drift
  train audit run --fail-if "drift>0.01"          exit code 3 if it is

The numbers of --fail-if are those of --json, by their names: drift,
conflicts.persisting, by_class.digit.drift, epochs.0.sft_loss. All are explained
in docs/audit.md.`

func runAudit(ctx context.Context, args []string, std cli.IO) error {
	o := report.DefaultAuditOptions()
	fs := pflag.NewFlagSet("train audit", pflag.ContinueOnError)
	asJSON := fs.Bool("json", false, "print JSON instead of text")
	fs.StringVar(&o.Tokens, "tokens", "", "folder of the tokens that were trained (default: where the audit says)")
	fs.StringVar(&o.Scores, "scores", "", "folder of the base annotation (default: where the audit says)")
	fs.StringVar(&o.After, "after", "", "folder of scores of the same tokens by the trained model: drift and conflicts are measured with them")
	fs.Float64Var(&o.Confident, "confident", o.Confident, "the base is sure of a target with at least this probability, above 0.5")
	fs.Float64Var(&o.Lost, "lost", o.Lost, "a target that the base was sure of is lost below this probability")
	fs.IntVar(&o.Worst, "worst", o.Worst, "lost targets to show")
	html := fs.String("html", "", "write the report as a page to this file, too")
	failIf := fs.StringArray("fail-if", nil, `exit with code 3 if this holds, "drift>0.01"; may be given several times`)
	if err := cli.Parse(fs, args, std, auditUsage); err != nil {
		return err
	}
	if fs.NArg() != 1 {
		return cli.Usagef("want one folder of a run, got %d arguments; see train audit --help", fs.NArg())
	}
	o.Run, o.Log = fs.Arg(0), std.Err
	conditions, err := report.ParseConditions(*failIf, &report.Audit{})
	if err != nil {
		return cli.Usagef("--fail-if: %w", err)
	}
	if *html != "" {
		if err := store.Creatable(*html); err != nil {
			return cli.Usagef("--html: %w", err)
		}
	}
	if o.After != "" {
		if err := hashes(&o); err != nil {
			return err
		}
	}
	r, err := report.BuildAudit(ctx, o)
	if err != nil {
		return err
	}
	failed, err := report.Failed(r, conditions)
	if err != nil {
		return cli.Usagef("--fail-if: %w", err)
	}
	if *html != "" {
		var page bytes.Buffer
		if err := r.HTML(&page); err != nil {
			return err
		}
		if err := store.WriteFile(*html, page.Bytes()); err != nil {
			return err
		}
	}
	if *asJSON {
		err = report.JSON(std.Out, r)
	} else {
		err = r.Text(std.Out, std.Colours())
	}
	if err == nil && len(failed) > 0 {
		err = cli.Gatef("--fail-if: %s", strings.Join(failed, "; "))
	}
	return err
}

// hashes finds what the run has made, a model, an adapter or both, and says what
// --after must be scored with.
func hashes(o *report.AuditOptions) error {
	var missing error
	for _, made := range []struct {
		name string
		open func(string) (*weights.Checkpoint, error)
		hash *string
	}{{train.ModelName, weights.Open, &o.Model}, {train.AdapterName, weights.OpenAdapter, &o.Adapter}} {
		c, err := made.open(store.Join(o.Run, made.name))
		if err != nil {
			missing = cmp.Or(missing, err)
			continue
		}
		*made.hash, err = c.Hash()
		if err := errors.Join(err, c.Close()); err != nil {
			return err
		}
	}
	if o.Model == "" && o.Adapter == "" {
		return cli.Usagef("--after cannot be checked against the trained model: %w", missing)
	}
	return nil
}
