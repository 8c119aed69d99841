package weights

import (
	"errors"
	"fmt"
	"io/fs"

	"eaft/internal/store"
)

// Files of a folder that PEFT writes.
const (
	AdapterConfig  = "adapter_config.json"
	AdapterWeights = "adapter_model.safetensors"
)

// OpenAdapter opens a PEFT adapter folder, which may be in a bucket: Config is
// adapter_config.json, the tensors are those of adapter_model.safetensors.
func OpenAdapter(dir string) (*Checkpoint, error) {
	fsys, load := folder(dir)
	c := &Checkpoint{ref: dir, fsys: fsys, tensors: map[string]tensor{}}
	var err error
	if c.config, err = c.File(AdapterConfig); err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s: %w", store.Join(dir, AdapterConfig), err)
		}
		if _, err := c.File("adapter/" + AdapterConfig); err == nil {
			return nil, fmt.Errorf("%s: no %s is in this folder; the adapter of a run is %s", dir, AdapterConfig, store.Join(dir, "adapter"))
		}
		if _, err := store.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s: no such folder; give one of an adapter that PEFT or train --lora has written", dir)
		}
		return nil, fmt.Errorf("%s: no %s is in this folder; it is no adapter that PEFT or this program has written", dir, AdapterConfig)
	}
	name := store.Join(dir, AdapterWeights)
	data, done, err := load(AdapterWeights)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	c.close, c.files = []func() error{done}, []weightFile{{AdapterWeights, data, true}}
	if err := readSafetensors(name, data, c.tensors); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}
