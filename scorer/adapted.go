package scorer

import (
	"eaft/compute"
	"eaft/internal/cli"
	"eaft/model"
	"eaft/model/weights"
	"eaft/parquet"
)

// identity is the hash by which scores name the model that made them, adapter included.
func identity(c, adapter *weights.Checkpoint) (string, error) {
	base, err := c.Hash()
	if err != nil {
		return "", unusable(err)
	}
	if adapter == nil {
		return base, nil
	}
	hash, err := adapter.Hash()
	if err != nil {
		return "", unusable(err)
	}
	return parquet.AdaptedHash(base, hash), nil
}

// load brings a model into memory, with its adapter if there is one.
func load(dev compute.Device, c, adapter *weights.Checkpoint, dtype compute.DType) (*model.Model, error) {
	m, err := model.Load(dev, c, model.Options{DType: dtype})
	if err != nil {
		return nil, unusable(err)
	}
	if adapter != nil {
		if err := m.LoadAdapter(adapter); err != nil {
			return nil, cli.Usagef("--adapter: %w", err)
		}
	}
	cli.SteadyHeap()
	return m, nil
}
