package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/spf13/pflag"

	"eaft/compute/cpu"
	"eaft/internal/cli"
	"eaft/internal/hub"
	"eaft/internal/store"
	"eaft/model/weights"
	"eaft/pipeline"
)

const fields = `
A field of the file is overruled by the environment (EAFT_MODEL, EAFT_OUT,
EAFT_CORPORA, EAFT_CPU, EAFT_WORKERS, and for flags of stages
EAFT_TRAIN_MAX_GRAD_NORM=1), and both by --set train.max-grad-norm=1. The value
null takes it away. docs/pipeline.md tells what the fields are.`

// command are the flags of all commands on a run's file.
type command struct {
	fs   *pflag.FlagSet
	set  *[]string
	wait *bool
	jobs *int
}

func newCommand(name string) *command {
	fs := pflag.NewFlagSet("pipeline "+name, pflag.ContinueOnError)
	return &command{fs: fs, set: fs.StringArray("set", nil, "set a field of the run's file, such as train.lr=1e-5; may be given several times")}
}

// open parses the arguments and reads the file they name.
func (c *command) open(args []string, std cli.IO, usage string) (*pipeline.Pipeline, error) {
	if err := cli.Parse(c.fs, args, std, usage+"\n"+fields); err != nil {
		return nil, err
	}
	if c.fs.NArg() != 1 {
		return nil, cli.Usagef("want one file such as run.yaml, got %d arguments; see %s --help", c.fs.NArg(), c.fs.Name())
	}
	over, err := pipeline.ParseSet(*c.set)
	if err != nil {
		return nil, err
	}
	r, err := runner(std)
	if err != nil {
		return nil, err
	}
	environment, err := pipeline.FromEnvironment(os.Environ(), r.Flags)
	if err != nil {
		return nil, err
	}
	over = append(environment, over...)
	if c.jobs != nil && c.fs.Changed("workers") {
		over = append(over, pipeline.Override{Path: []string{"workers"}, Value: strconv.Itoa(*c.jobs), Where: "--workers"})
	}
	config, err := pipeline.Load(c.fs.Arg(0), over, r.Flags)
	if err != nil {
		return nil, err
	}
	p := &pipeline.Pipeline{Config: config, Runner: r, ISA: isa, ModelHash: func(ref string) (string, error) { return modelHash(config.Dir, ref) }, Set: *c.set}
	for _, o := range environment {
		p.Environment = append(p.Environment, o.Set())
	}
	if c.wait != nil {
		p.Wait = *c.wait
	}
	return p, nil
}

func (c *command) waits() {
	c.wait = c.fs.Bool("wait", false, "wait for another pipeline in the folder to end, instead of refusing")
}

// isa is what the device of this machine says it computes with.
func isa(name string) (string, error) {
	was, had := os.LookupEnv("EAFT_CPU")
	defer func() {
		if had {
			os.Setenv("EAFT_CPU", was)
		} else {
			os.Unsetenv("EAFT_CPU")
		}
	}()
	os.Setenv("EAFT_CPU", name)
	d, err := cpu.New(1)
	if err != nil {
		return "", err
	}
	return d.ISA(), nil
}

// modelHash is the hash of a model's weights, its path being relative to the
// run's file.
func modelHash(dir, ref string) (string, error) {
	if !store.IsURL(dir) {
		back, err := os.Getwd()
		if err != nil {
			return "", err
		}
		if err := os.Chdir(dir); err != nil {
			return "", err
		}
		defer os.Chdir(back)
	}
	c, err := weights.Open(ref)
	if err != nil {
		return "", &cli.Error{Code: cli.ExitUsage, Err: err}
	}
	defer c.Close()
	h, err := c.Hash()
	if err != nil {
		return "", &cli.Error{Code: cli.ExitUsage, Err: err}
	}
	return h, nil
}

const runUsage = `Usage: pipeline run RUN.YAML [flags]

Tokenizes the corpora, scores them, reports the conflicts, applies the gates,
trains and evaluates, as the file says. What is finished stays as it is; what
was changed runs again with all that depends on it. Stopped at any moment, even
by kill -9, it goes on when it is run again.

Exit codes: 0 done, 1 failed, 2 wrong use or unusable input, 3 a gate said no,
75 stopped by a signal with everything saved.

  pipeline run run.yaml
  pipeline run run.yaml --set train.lr=1e-5 --metrics /var/lib/node_exporter/eaft.prom`

func runRun(ctx context.Context, args []string, std cli.IO) error {
	c := newCommand("run")
	c.waits()
	c.jobs = c.fs.Int("workers", 1, "processes that share the shards of a stage, instead of the file's workers")
	until := c.fs.String("until", "", "stop after this step, such as tokenize")
	verify := c.fs.Bool("verify", false, "read the shards of finished steps and compare their hashes; make again what differs")
	metrics := c.fs.String("metrics", "", "write OpenMetrics text to this file, for node_exporter's textfile collector")
	lease := leaseFlag(c.fs)
	p, err := c.open(args, std, runUsage)
	if err != nil {
		return err
	}
	for name, value := range map[string]string{"until": *until, "metrics": *metrics} {
		if value == "" && c.fs.Changed(name) { // a variable of a script that is not set, probably
			return cli.Usagef("--%s is empty; leave it out, or give it a value", name)
		}
	}
	if err := checkLease(*lease); err != nil {
		return err
	}
	p.Until, p.Verify, p.Metrics, p.Lease = *until, *verify, *metrics, *lease
	return p.Run(ctx)
}

func leaseFlag(fs *pflag.FlagSet) *time.Duration {
	return fs.Duration("lease", 30*time.Second, "a worker that has shown no life for so long has lost its shards to others")
}

func checkLease(lease time.Duration) error {
	if lease <= 0 {
		return cli.Usagef("--lease %v: use a time such as 30s", lease)
	}
	return nil
}

const planUsage = `Usage: pipeline plan RUN.YAML [flags]

Prints for each step whether it is done, or would run, and why: which option,
file, model or step before it changed since the folder was last run.

  pipeline plan run.yaml --set score.dtype=f32`

func runPlan(ctx context.Context, args []string, std cli.IO) error {
	c := newCommand("plan")
	verify := c.fs.Bool("verify", false, "read the shards of finished steps and compare their hashes")
	p, err := c.open(args, std, planUsage)
	if err != nil {
		return err
	}
	p.Verify = *verify
	plan, err := p.Checked(ctx)
	if err != nil {
		return err
	}
	return pipeline.WritePlan(std.Out, plan)
}

const statusUsage = `Usage: pipeline status RUN.YAML [--json]

Prints where the run stands: each step's state, time, peak memory, rows and
tokens, and who is at work.

  pipeline status run.yaml --json | jq '.steps[] | {name, state}'`

func runStatus(ctx context.Context, args []string, std cli.IO) error {
	c := newCommand("status")
	asJSON := c.fs.Bool("json", false, "print JSON")
	p, err := c.open(args, std, statusUsage)
	if err != nil {
		return err
	}
	st, err := p.Status(ctx)
	if err != nil {
		return err
	}
	if *asJSON {
		return st.JSON(std.Out)
	}
	return st.Text(std.Out)
}

const cleanUsage = `Usage: pipeline clean RUN.YAML [--dry-run]

Removes the results of steps that the file, as it is now, does not refer to, and
prints what it removed. What the file names as an input stays, such as the model
that an earlier training made. Other files are never touched.

  pipeline clean run.yaml --dry-run`

func runClean(ctx context.Context, args []string, std cli.IO) error {
	c := newCommand("clean")
	c.waits()
	dry := c.fs.Bool("dry-run", false, "only print what would be removed")
	p, err := c.open(args, std, cleanUsage)
	if err != nil {
		return err
	}
	return p.Clean(ctx, *dry, std.Out)
}

const initUsage = `Usage: pipeline init --model M --corpus FILE [RUN.YAML]

Writes a run's file, run.yaml unless named, that runs as it is. Every flag of
every stage stands in it as a comment.

  pipeline init --model M.gguf --corpus train.jsonl`

func runInit(ctx context.Context, args []string, std cli.IO) error {
	fs := pflag.NewFlagSet("pipeline init", pflag.ContinueOnError)
	model := fs.String("model", "", cli.Models)
	corpora := fs.StringArray("corpus", nil, "a file, a folder or a pattern of files; may be given several times")
	if err := cli.Parse(fs, args, std, initUsage); err != nil {
		return err
	}
	path := "run.yaml"
	switch fs.NArg() {
	case 0:
	case 1:
		path = fs.Arg(0)
	default:
		return cli.Usagef("want one file to write, got %d arguments; see pipeline init --help", fs.NArg())
	}
	if *model != "" && !store.IsURL(*model) { // of a bucket all would be fetched; plan looks
		if err := hub.Get(ctx, *model, false, std.Err); err != nil {
			return &cli.Error{Code: cli.Code(err), Err: fmt.Errorf("--model: %w", err)}
		}
		c, err := weights.OpenSideFiles(*model)
		if err != nil {
			return cli.Usagef("--model: %w", err)
		}
		c.Close()
	}
	r, err := runner(std)
	if err != nil {
		return err
	}
	if err := pipeline.Init(path, *model, *corpora, r.Flags); err != nil {
		return err
	}
	fmt.Fprintf(std.Err, "%[1]s is written; what it would do: pipeline plan %[1]s\n", path)
	return nil
}
