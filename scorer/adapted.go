package scorer

import (
	"path/filepath"

	"eaft/compute"
	"eaft/internal/cli"
	"eaft/internal/store"
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

// modelName is what people call the model: the name of its file or folder, without
// the way there, which is other on every machine, and that of the adapter.
func modelName(c, adapter *weights.Checkpoint) string {
	name := baseName(c.Ref())
	if adapter != nil {
		name += "+" + baseName(adapter.Ref())
	}
	return name
}

func baseName(ref string) string {
	if store.IsURL(ref) {
		return store.Base(ref)
	}
	if abs, err := filepath.Abs(store.Local(ref)); err == nil { // of . and ..
		ref = abs
	}
	return filepath.Base(ref)
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
