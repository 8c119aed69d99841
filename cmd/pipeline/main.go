// Pipeline makes a whole run, from corpora to a trained model and a report.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/pflag"

	"eaft/internal/cli"
	"eaft/pipeline"
)

const usage = `Usage: pipeline init --model M --corpus FILE
                                    writes a run.yaml that runs as it is
       pipeline plan RUN.YAML       says what would be made and why
       pipeline run RUN.YAML        makes what is missing of a run
       pipeline status RUN.YAML     says where it stands
       pipeline clean RUN.YAML      removes results that the run no longer refers to
       pipeline work RUN.YAML --stage score --shard 3/16
                                    makes shards of a stage, on any machine
       pipeline submit RUN.YAML --executor slurm
                                    prints what a scheduler is given
       pipeline demo                a run on a corpus and a model that come along

Every command has its own --help.

  pipeline init --model M.gguf --corpus train.jsonl
  pipeline run run.yaml
`

func main() { os.Exit(cli.Main("pipeline", run)) }

func run(ctx context.Context, args []string, std cli.IO) error {
	commands := map[string]func(context.Context, []string, cli.IO) error{
		"run": runRun, "plan": runPlan, "status": runStatus, "clean": runClean, "init": runInit, "demo": runDemo,
		"work": runWork, "submit": runSubmit,
	}
	if len(args) > 0 {
		if command := commands[args[0]]; command != nil {
			return command(ctx, args[1:], std)
		}
		if args[0] == "--help" || args[0] == "-h" || args[0] == "help" {
			_, err := fmt.Fprint(std.Out, usage)
			return err
		}
	}
	if len(args) == 0 {
		return cli.Usagef("say what to do: %s; see pipeline --help", names)
	}
	return cli.Usagef("%q is not one of %s; see pipeline --help", args[0], names)
}

const names = "init, plan, run, status, clean, work, submit and demo"

const demoUsage = `Usage: pipeline demo [--out DIR]

Runs tokenize, scorer and train on the corpus and the model that come with the
programs, and prints the conflict report and a table of SFT against EAFT.
Run again, it does only what is missing.

  pipeline demo --out demo-out`

func runDemo(ctx context.Context, args []string, std cli.IO) error {
	fs := pflag.NewFlagSet("pipeline demo", pflag.ContinueOnError)
	out := fs.String("out", "demo-out", "folder for everything that the demo makes")
	if err := cli.Parse(fs, args, std, demoUsage); err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return cli.Usagef("unexpected argument %q; see pipeline demo --help", fs.Arg(0))
	}
	r, err := runner(std)
	if err != nil {
		return err
	}
	return pipeline.Demo(ctx, r, *out)
}

// runner runs the programs that lie beside this one.
func runner(std cli.IO) (*pipeline.Runner, error) {
	dir, err := pipeline.Beside()
	return &pipeline.Runner{Dir: dir, Out: std.Out, Err: std.Err}, err
}
