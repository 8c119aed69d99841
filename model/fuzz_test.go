package model_test

import (
	"os"
	"path/filepath"
	"testing"

	"eaft/compute"
	"eaft/compute/cpu"
	"eaft/internal/bound"
	"eaft/model"
	"eaft/model/weights"
)

// FuzzConfig: a config.json beside weights that it does or does not fit is refused
// or makes a model that scores.
func FuzzConfig(f *testing.F) {
	dev, err := cpu.New(1)
	if err != nil {
		f.Fatal(err)
	}
	for i, v := range variants {
		data, err := os.ReadFile(filepath.Join("testdata", v, "config.json"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, byte(i))
	}
	f.Fuzz(func(t *testing.T, config []byte, variant byte) {
		bound.Memory(t, len(config))
		dir := t.TempDir()
		from, err := filepath.Abs(filepath.Join("testdata", variants[int(variant)%len(variants)]))
		if err != nil {
			t.Fatal(err)
		}
		files, err := filepath.Glob(filepath.Join(from, "model*safetensors*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if err := os.Symlink(file, filepath.Join(dir, filepath.Base(file))); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, "config.json"), config, 0o666); err != nil {
			t.Fatal(err)
		}
		c, err := weights.Open(dir)
		if err != nil {
			return
		}
		defer c.Close()
		scores(t, dev, c)
	})
}

// FuzzGGUFHeader: the same of a GGUF file's metadata and tensors.
func FuzzGGUFHeader(f *testing.F) {
	dev, err := cpu.New(1)
	if err != nil {
		f.Fatal(err)
	}
	for _, v := range []string{"llama3", "qwen3"} {
		data, err := os.ReadFile(filepath.Join("testdata", v, "model.gguf"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		bound.Memory(t, len(data))
		path := filepath.Join(t.TempDir(), "x.gguf")
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
		c, err := weights.Open(path)
		if err != nil {
			return
		}
		defer c.Close()
		scores(t, dev, c)
	})
}

// scores loads a checkpoint if it is whole and scores a row with it.
func scores(t *testing.T, dev compute.Device, c *weights.Checkpoint) {
	m, err := model.Load(dev, c, model.Options{})
	if err != nil {
		return
	}
	ids := []int32{0, int32(m.Spec().Vocab - 1), 0, 0}
	s, err := m.Score(model.Batch{IDs: ids, CuSeqlens: []int32{0, 4}}, []int32{1, 3}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.LogProb) != 2 {
		t.Fatalf("%d targets are scored", len(s.LogProb))
	}
}
