package main

import (
	"context"
	"path/filepath"

	"eaft/internal/cli"
	"eaft/internal/store"
	"eaft/pipeline"
)

const workUsage = `Usage: pipeline work RUN.YAML --stage S [--shard I/N]

Makes shards of a step of a run, on any machine that sees its folder: those that
nobody has made and nobody is making. With --shard I/N only those whose number
leaves I when divided by N, which is what a scheduler's array job gives; without,
whatever is left. A worker that dies loses its shards to others. When all shards
are there, pipeline run closes the step and goes on.

  pipeline work run.yaml --stage score --shard 3/16`

func runWork(ctx context.Context, args []string, std cli.IO) error {
	c := newCommand("work")
	c.waits()
	stage := c.fs.String("stage", "", "tokenize or score")
	shard := c.fs.String("shard", "0/1", "which shards, I/N")
	batch := c.fs.Int("batch", 0, "shards that are made with one loading of the model, at most; 0: the more the more are left")
	lease := leaseFlag(c.fs)
	p, err := c.open(args, std, workUsage)
	if err != nil {
		return err
	}
	if *stage == "" {
		return cli.Usagef("--stage is missing: tokenize or score")
	}
	if *batch < 0 {
		return cli.Usagef("--batch %d: use 1 or more, or 0", *batch)
	}
	if err := checkLease(*lease); err != nil {
		return err
	}
	slice, err := pipeline.ParseSlice(*shard)
	if err != nil {
		return err
	}
	p.Lease = *lease
	return p.Work(ctx, *stage, slice, *batch)
}

const submitUsage = `Usage: pipeline submit RUN.YAML --executor slurm|ray|airflow|kubernetes [flags]

Prints what the scheduler is given: arrays of workers for the stages that have
shards, and what closes them, each after the one before. Nothing is started.

  pipeline submit run.yaml --executor slurm > run.sh && sh run.sh
  pipeline submit run.yaml --executor kubernetes --image eaft:0.1.0 --claim data > run-jobs.yaml`

func runSubmit(ctx context.Context, args []string, std cli.IO) error {
	c := newCommand("submit")
	executor := c.fs.String("executor", "", "slurm, ray, airflow or kubernetes")
	var s pipeline.Submission
	c.fs.IntVar(&s.Array, "array", 0, "parts that the shards of a stage are divided in; 0: tokenize.shards")
	c.fs.StringVar(&s.Name, "name", "eaft", "name of the jobs")
	c.fs.StringVar(&s.Program, "program", "", "pipeline, where the workers have it (default: this one)")
	c.fs.StringVar(&s.File, "file", "", "the run's file, where the workers see it (default: where it is)")
	c.fs.StringVar(&s.Image, "image", "", "kubernetes: container with the four programs")
	c.fs.StringVar(&s.Claim, "claim", "", "kubernetes: volume claim that holds the folder of the run's file; none where that is in a bucket")
	c.fs.StringVar(&s.Secret, "secret", "", "kubernetes: secret whose entries, such as AWS_ACCESS_KEY_ID, are set in the environment")
	p, err := c.open(args, std, submitUsage)
	if err != nil {
		return err
	}
	s.Command = "pipeline submit " + store.Base(p.Path) + " --executor " + *executor
	if s.Program == "" {
		s.Program = filepath.Join(p.Runner.Dir, "pipeline")
	}
	if s.File == "" {
		s.File = p.Path
	}
	if s.File, err = store.Abs(s.File); err != nil {
		return err
	}
	return p.Submit(ctx, std.Out, *executor, s)
}
