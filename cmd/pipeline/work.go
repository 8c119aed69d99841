package main

import (
	"context"

	"eaft/internal/cli"
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
	batch := c.fs.Int("batch", 8, "shards that are made with one loading of the model, at most")
	lease := leaseFlag(c.fs)
	p, err := c.open(args, std, workUsage)
	if err != nil {
		return err
	}
	if *stage == "" {
		return cli.Usagef("--stage is missing: tokenize or score")
	}
	if *batch < 1 {
		return cli.Usagef("--batch %d: use 1 or more", *batch)
	}
	if *lease <= 0 {
		return cli.Usagef("--lease %v: use a time such as 30s", *lease)
	}
	slice, err := pipeline.ParseSlice(*shard)
	if err != nil {
		return err
	}
	p.Lease = *lease
	return p.Work(ctx, *stage, slice, *batch)
}
