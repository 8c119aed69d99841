package main

import (
	"eaft/internal/cli"
	"eaft/model/weights"
)

// openModel opens the model that --model names and the adapter of --adapter, nil
// where that is empty. done closes both.
func openModel(ref, dir string) (c, adapter *weights.Checkpoint, done func(), err error) {
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
