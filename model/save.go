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
// model's dtype, vectors in float32. Config, tokenizer and generation settings
// come from the checkpoint the model was made of; a GGUF's are converted. Of a
// model with adapters SaveAdapter and ExportFolder write what there is.
func (m *Model) Save(dir string, from *weights.Checkpoint) error {
	if m.lora != nil {
		return errors.New("the model has adapters: save those, and export them with the model that they are of")
	}
	spec, err := SpecOf(from)
	if err != nil {
		return err
	}
	if !reflect.DeepEqual(spec, m.spec) {
		return fmt.Errorf("%s: its architecture is not that of the model to be saved", from.Ref())
	}
	dtype := "F32"
	if m.dtype == compute.BF16 {
		dtype = "BF16"
	}
	return writeFolder(dir, from, &spec, m.merged, dtype, func(t tensorSpec, row int, dst []float32) error {
		m.readRow(dst, m.weights[t.name], row)
		return nil
	})
}

// writeFolder writes a Hugging Face folder: the weights of a Spec that read reads,
// matrices in dtype, and what goes with them. merged are the adapters in the weights.
//
// Every file is written whole or not at all, and config.json last, so that a
// folder left by a killed run is not taken for a model.
func writeFolder(dir string, from *weights.Checkpoint, s *Spec, merged []string, dtype string, read fillRow) error {
	if _, err := os.Stat(filepath.Join(dir, indexName)); err == nil {
		return fmt.Errorf("%s holds %s of another model; choose an empty folder", dir, indexName)
	}
	config, err := folderConfig(from, s, merged, dtype)
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
	var tensors []weights.Named
	for _, t := range s.tensors() {
		named := weights.Named{Name: t.name, DType: "F32", Shape: t.shape(), Read: func(row int, dst []float32) error { return read(t, row, dst) }}
		if t.kind == matrix {
			named.DType = dtype
		}
		tensors = append(tensors, named)
	}
	if err := weights.WriteSafetensors(filepath.Join(dir, "model.safetensors"), tensors, map[string]string{"format": "pt"}); err != nil {
		return err
	}
	return writeFile(dir, "config.json", config)
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
