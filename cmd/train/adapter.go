package main

import (
	"eaft/internal/cli"
	"eaft/model"
	"eaft/model/weights"
)

// addAdapter gives m the adapter of a PEFT folder; "": none.
func addAdapter(m *model.Model, dir string) error {
	if dir == "" {
		return nil
	}
	c, err := weights.OpenAdapter(dir)
	if err == nil {
		defer c.Close()
		err = m.LoadAdapter(c)
	}
	if err != nil {
		return cli.Usagef("--adapter: %w", err)
	}
	return nil
}
