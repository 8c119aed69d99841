package train

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"eaft/compute"
	"eaft/model/weights"
)

// Tensors come back to the bit, NaN payloads and bytes included, and never into
// tensors of another name or shape.
func TestTensors(t *testing.T) {
	dev := device(t, 1)
	make2 := func(name string) []State {
		return []State{
			{Name: name, Rows: 2, Cols: 3, Value: dev.NewTensor(2, 3, compute.F32)},
			{Name: "codes", Rows: 3, Cols: 1, Bytes: make([]byte, 3)},
			{Name: "scales", Rows: 1, Cols: 2, Value: dev.NewTensor(1, 2, compute.F32)},
		}
	}
	want := make2("moment \"é\"")
	values := []float32{1, float32(math.Copysign(0, -1)), math.Float32frombits(0x7fc12345), math.Float32frombits(1), float32(math.Inf(-1)), 0.1}
	dev.Write(want[0].Value, values)
	copy(want[1].Bytes, "\x00\xff\x80")
	dev.Write(want[2].Value, []float32{3, 4})
	path := filepath.Join(t.TempDir(), momentsFile)
	s, err := writeTensors(path, dev, want)
	must(t, err)
	must(t, s.check(filepath.Dir(path), momentsFile))
	got := make2(want[0].Name)
	must(t, readTensors(path, dev, got))
	read := make([]float32, 6)
	dev.Read(read, got[0].Value)
	for i := range values {
		if math.Float32bits(read[i]) != math.Float32bits(values[i]) {
			t.Errorf("value %d is %x, not %x", i, math.Float32bits(read[i]), math.Float32bits(values[i]))
		}
	}
	if !bytes.Equal(got[1].Bytes, want[1].Bytes) {
		t.Errorf("bytes: %v", got[1].Bytes)
	}
	if err := readTensors(path, dev, make2("other")); err == nil || !strings.Contains(err.Error(), "holds other tensors") {
		t.Errorf("other tensors: %v", err)
	}
	must(t, os.Truncate(path, s.Bytes-1))
	if err := readTensors(path, dev, got); err == nil || !strings.Contains(err.Error(), "scales") {
		t.Errorf("cut: %v", err)
	}
}

// The masters of a checkpoint are a model's weights by name, readable as such.
func TestMastersAreSafetensors(t *testing.T) {
	w := newWorld(t)
	w.o.SaveEvery, w.o.Steps = 1, 2
	must(t, w.run(t.Context()))
	dir := t.TempDir()
	config, err := os.ReadFile("../model/testdata/llama/config.json")
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "config.json"), config, 0o666))
	must(t, os.Rename(filepath.Join(w.o.Out, CheckpointsName, stepName(1), mastersFile), filepath.Join(dir, "model.safetensors")))
	c, err := weights.Open(dir)
	must(t, err)
	defer c.Close()
	if names, start := c.Names(), w.c.Names(); len(names) != len(start) {
		t.Errorf("%v, the model has %v", names, start)
	}
}
