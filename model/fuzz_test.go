package model_test

import (
	"os"
	"path/filepath"
	"strings"
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

// FuzzAdapter: whatever a folder of an adapter holds, it is refused, or the model
// scores with it.
func FuzzAdapter(f *testing.F) {
	dev := newDevice(f, 1)
	dir := f.TempDir()
	must(f, withAdapters(f, dev, "llama", someLoRA, compute.F32).SaveAdapter(dir, "llama"))
	config, err := os.ReadFile(filepath.Join(dir, weights.AdapterConfig))
	must(f, err)
	whole, err := os.ReadFile(filepath.Join(dir, weights.AdapterWeights))
	must(f, err)
	for _, c := range []struct{ old, new string }{{"", ""}, {`"r": 4`, `"r": 5`}, {`"r": 4`, `"r": 1000000000`}, {`"lora_alpha": 12`, `"lora_alpha": 1e308`}, {`"q_proj"`, `"lm_head"`},
		{`"target_modules": [`, `"target_modules": ["q_proj", `}, {`"target_modules"`, `"Target_modules"`}, {"{", "["}} {
		f.Add([]byte(strings.Replace(string(config), c.old, c.new, 1)), whole)
	}
	f.Add([]byte(`{"peft_type":"LORA","bias":"none","r":4,"lora_alpha":1,"target_modules":"all-linear"}`), whole)
	f.Add([]byte(`{"peft_type":"LORA","bias":"none","r":4,"lora_alpha":1,"target_modules":["up_proj"]}`), whole)
	f.Add([]byte(`{}`), []byte{})
	f.Add(config, whole[:len(whole)/2])
	f.Fuzz(func(t *testing.T, config, adapter []byte) {
		bound.Memory(t, len(config)+len(adapter))
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, weights.AdapterConfig), config, 0o666))
		must(t, os.WriteFile(filepath.Join(dir, weights.AdapterWeights), adapter, 0o666))
		a, err := weights.OpenAdapter(dir)
		if err != nil {
			return
		}
		defer a.Close()
		m := load(t, dev, "testdata/llama", model.Options{})
		if m.LoadAdapter(a) != nil {
			return
		}
		if _, err := m.Score(model.Batch{IDs: []int32{0, 1, 2}, CuSeqlens: []int32{0, 3}}, []int32{1, 2}, 1); err != nil {
			t.Fatal(err)
		}
	})
}

// scores loads a checkpoint if it is whole and scores a row with it.
func scores(t *testing.T, dev compute.Device, c *weights.Checkpoint) {
	model.CheckGGUF(c)
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
