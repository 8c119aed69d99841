package model

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"

	"eaft/compute"
	"eaft/internal/store"
	"eaft/model/weights"
)

// indexName lists the shards of a folder whose weights are in several files.
const indexName = "model.safetensors.index.json"

// Save writes a Hugging Face folder that transformers loads: matrices in the
// model's dtype, adapters merged into them, vectors in float32. Config, tokenizer and generation settings
// come from the checkpoint the model was made of; a GGUF's are converted.
//
// Every file is written whole or not at all, and config.json last, so that a
// folder left by a killed run is not taken for a model.
func (m *Model) Save(dir string, from *weights.Checkpoint) error {
	return m.save(dir, from, &merging{})
}

// SaveMerged is Save, and how much of the adapters' change the rounding to the
// model's dtype costs: the error's root mean square over the change's. 0 in
// float32; 1 where every weight stays what it was.
func (m *Model) SaveMerged(dir string, from *weights.Checkpoint) (float64, error) {
	var lost merging
	err := m.save(dir, from, &lost)
	return lost.share(), err
}

func (m *Model) save(dir string, from *weights.Checkpoint, lost *merging) error {
	spec, err := SpecOf(from)
	if err != nil {
		return err
	}
	if !reflect.DeepEqual(spec, m.spec) {
		return fmt.Errorf("%s: its architecture is not that of the model to be saved", from.Ref())
	}
	if _, err := os.Stat(filepath.Join(dir, indexName)); err == nil {
		return fmt.Errorf("%s holds %s of another model; choose an empty folder", dir, indexName)
	}
	config, err := m.config(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	if err := store.RemoveIfThere(filepath.Join(dir, "config.json")); err != nil {
		return err
	}
	if err := saveTokenizer(dir, from); err != nil {
		return err
	}
	if err := m.saveWeights(filepath.Join(dir, "model.safetensors"), lost); err != nil {
		return err
	}
	return writeFile(dir, "config.json", config)
}

func (m *Model) saveWeights(path string, lost *merging) error {
	tensors, adapters := make([]weights.Named, len(m.order)), m.adaptersByWeight()
	for i, w := range m.order {
		dtype := "F32"
		if w.kind == matrix && m.dtype == compute.BF16 {
			dtype = "BF16"
		}
		tensors[i] = weights.Named{
			Name: w.name, DType: dtype, Shape: w.shape(),
			Read: func(row int, dst []float32) error {
				m.readRow(dst, w, row)
				if ad := adapters[w]; ad != nil {
					m.merged(dst, ad, row, lost)
				}
				return nil
			},
		}
	}
	return weights.WriteSafetensors(path, tensors, map[string]string{"format": "pt"})
}

// readRow copies a row of a weight from the device. A matrix without a master
// is read as an embedding table is.
func (m *Model) readRow(dst []float32, w *weight, row int) {
	if w.value != nil {
		m.dev.Read(dst, w.value.Slice(row, row+1))
		return
	}
	x := m.dev.NewTensor(1, w.cols, compute.F32)
	m.dev.Embed(x, w.op, []int32{int32(row)})
	m.dev.Read(dst, x)
}

// writeFile puts data into dir/name by way of a temporary file, synced and
// renamed, so that the name never stands for half a file.
func writeFile(dir, name string, data []byte) error {
	f, err := os.CreateTemp(dir, "."+name+".tmp-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // in vain after the rename
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Join(dir, name), err)
	}
	return os.Rename(f.Name(), filepath.Join(dir, name))
}
