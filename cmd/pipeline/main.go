// Pipeline runs the stages one after another.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/pflag"

	"eaft/internal/cli"
	"eaft/pipeline"
)

const usage = `Usage: pipeline demo [--out DIR]

Runs tokenize, scorer and train on the corpus and the model that come with the
programs, and prints the conflict report and a table of SFT against EAFT.
Run again, it does only what is missing.

  pipeline demo --out demo-out`

func main() { os.Exit(cli.Main("pipeline", run)) }

func run(ctx context.Context, args []string, std cli.IO) error {
	fs := pflag.NewFlagSet("pipeline", pflag.ContinueOnError)
	out := fs.String("out", "demo-out", "folder for everything that the demo makes")
	if err := cli.Parse(fs, args, std, usage); err != nil {
		return err
	}
	if fs.NArg() != 1 || fs.Arg(0) != "demo" {
		return cli.Usagef("say what to run: pipeline demo (got %q); see pipeline --help", fmt.Sprint(fs.Args()))
	}
	dir, err := pipeline.Beside()
	if err != nil {
		return err
	}
	return pipeline.Demo(ctx, &pipeline.Runner{Dir: dir, Out: std.Out, Err: std.Err}, *out)
}
