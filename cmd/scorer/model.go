package main

import (
	"context"

	"eaft/internal/cli"
	"eaft/internal/hub"
	"eaft/model/weights"
)

// openModel opens the model that --model names, which may have to be fetched, and the
// adapter of --adapter, nil where that is empty. done closes both.
func openModel(ctx context.Context, ref, dir string, std cli.IO) (c, adapter *weights.Checkpoint, done func(), err error) {
	if err = hub.Get(ctx, ref, true, std.Err); err != nil {
		return nil, nil, nil, err
	}
	if c, err = weights.Open(ref); err != nil {
		return nil, nil, nil, &cli.Error{Code: cli.ExitUsage, Err: err}
	}
	if dir == "" {
		return c, nil, func() { c.Close() }, nil
	}
	if adapter, err = weights.OpenAdapter(dir); err != nil {
		c.Close()
		return nil, nil, nil, cli.Usagef("--adapter: %w", err)
	}
	return c, adapter, func() { adapter.Close(); c.Close() }, nil
}
