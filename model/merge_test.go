package model_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"eaft/compute"
	"eaft/compute/cpu"
	"eaft/model"
	"eaft/model/weights"
)

// oddLoRA has a scale that float32 does not hold.
var oddLoRA = model.LoRA{Rank: 6, Alpha: 10, Targets: model.AllLinear, Seed: 3}

// smallAdapter saves an adapter that changes little, so that rounding shows.
func smallAdapter(t *testing.T, ref, dir string) *weights.Checkpoint {
	t.Helper()
	dev, err := cpu.New(1) // whose tensors end with the test
	must(t, err)
	m := load(t, dev, ref, model.Options{DType: compute.F32})
	must(t, m.AddLoRA(oddLoRA))
	for _, p := range m.Params() {
		x := read(dev, p.Value)
		for i := range x {
			x[i] = (x[i] + float32(i*7%13-6)/64) / 8
		}
		dev.Write(p.Value, x)
	}
	must(t, m.SaveAdapter(dir, ref))
	a, err := weights.OpenAdapter(dir)
	must(t, err)
	t.Cleanup(func() { a.Close() })
	return a
}

// tensor is a matrix of a checkpoint with its shape.
func tensor(t *testing.T, c *weights.Checkpoint, name string) (x []float32, rows, cols int) {
	t.Helper()
	info, ok := c.Info(name)
	if !ok {
		t.Fatalf("%s: no %s", c.Ref(), name)
	}
	x = make([]float32, info.Shape[0]*info.Shape[1])
	must(t, c.ReadRows(name, 0, info.Shape[0], x))
	return x, info.Shape[0], info.Shape[1]
}

// half are half a unit in the last place, relative and of subnormal numbers, after the
// sum's rounding to float32.
var half = map[string][2]float64{"F32": {0x1p-24, 0}, "F16": {0x1p-11 + 0x1p-23, 0x1p-25}, "BF16": {0x1p-8 + 0x1p-23, 0}}

// What is merged is base and adapter, rounded, and what the rounding costs is
// what the written files say: the error of their weights, against float64.
func TestMergeRounding(t *testing.T) {
	for _, v := range []string{"llama", "qwen2", "qwen3"} {
		base := open(t, "testdata/"+v)
		a := smallAdapter(t, "testdata/"+v, t.TempDir())
		cost := map[string]float64{}
		for _, dtype := range []string{"F32", "F16", "BF16"} {
			dir := t.TempDir()
			got, err := model.ExportFolder(t.Context(), dir, base, a, dtype)
			must(t, err)
			merged := open(t, dir)
			changed, wrong := map[string]bool{}, 0
			var lost, change float64
			for _, name := range a.Names() {
				of, ok := strings.CutSuffix(name, ".lora_A.weight")
				if !ok {
					continue
				}
				down, rank, cols := tensor(t, a, name)
				up, rows, _ := tensor(t, a, of+".lora_B.weight")
				name = strings.TrimPrefix(of, "base_model.model.") + ".weight"
				changed[name] = true
				w, _, _ := tensor(t, base, name)
				x, _, _ := tensor(t, merged, name)
				for r := range rows {
					for c := range cols {
						d := 0.0
						for k := range rank {
							d += float64(up[r*rank+k]) * float64(down[k*cols+c])
						}
						d *= float64(float32(oddLoRA.Alpha / float64(oddLoRA.Rank)))
						exact := float64(w[r*cols+c]) + d
						e := float64(x[r*cols+c]) - exact
						if math.Abs(e) > half[dtype][0]*math.Abs(exact)+half[dtype][1] {
							wrong++
						}
						lost, change = lost+e*e, change+d*d
					}
				}
			}
			want := math.Sqrt(lost / change)
			if wrong > 0 || math.Abs(got-want) > 1e-6*want || want == 0 {
				t.Errorf("%s in %s: rounding costs %v, the files say %v; %d weights are not the nearest", v, dtype, got, want, wrong)
			}
			cost[dtype] = got
			for _, name := range base.Names() {
				if info, _ := base.Info(name); changed[name] || len(info.Shape) < 2 {
					continue
				}
				w, _, _ := tensor(t, base, name)
				x, _, _ := tensor(t, merged, name)
				for i := range w {
					w[i] = weights.Round(dtype, w[i])
				}
				if !slices.Equal(w, x) {
					t.Errorf("%s in %s: %s has no adapter and is changed", v, dtype, name)
				}
			}
		}
		// float16 has 3 bits more than bfloat16, and float32 16.
		for dtype, bits := range map[string]int{"F16": 3, "F32": 16} {
			if r := cost["BF16"] / math.Ldexp(cost[dtype], bits); r < 0.9 || r > 1.1 {
				t.Errorf("%s: rounding costs %v", v, cost)
			}
		}
	}
}

// A GGUF that is written of base and adapter, one of a GGUF base, and a folder of
// that are the same model to the bit.
func TestMergedGGUF(t *testing.T) {
	dev := newDevice(t, 2)
	batch := model.Batch{IDs: []int32{3, 7, 1, 12, 5, 9, 20, 2, 30, 31, 4}, CuSeqlens: []int32{0, 7, 11}}
	targets := []int32{1, 2, 3, 4, 5, 6, 8, 9, 10}
	for name, ref := range exported(t) {
		dir := t.TempDir()
		a := smallAdapter(t, ref, filepath.Join(dir, "adapter"))
		folder, file, again, back := filepath.Join(dir, "folder"), filepath.Join(dir, "file.gguf"), filepath.Join(dir, "again.gguf"), filepath.Join(dir, "back")
		lost, err := model.ExportFolder(t.Context(), folder, open(t, ref), a, "F32")
		must(t, err)
		_, err = model.ExportFolder(t.Context(), back, open(t, export(t, ref, "F32")), a, "F32")
		must(t, err)
		for path, base := range map[string]string{file: ref, again: export(t, ref, "F32")} {
			l, err := model.ExportGGUF(t.Context(), path, open(t, base), a, "F32")
			must(t, err)
			if math.Abs(l-lost) > 1e-12*lost { // q and k are summed up in another order
				t.Errorf("%s: rounding costs %v of a GGUF and %v of a folder", name, l, lost)
			}
		}
		want, err := load(t, dev, folder, model.Options{}).Score(batch, targets, topK)
		must(t, err)
		plain, err := load(t, dev, ref, model.Options{}).Score(batch, targets, topK)
		must(t, err)
		if slices.Equal(plain.LogProb, want.LogProb) {
			t.Errorf("%s: the adapter changes nothing", name)
		}
		for _, path := range []string{file, again, back} {
			got, err := load(t, dev, path, model.Options{}).Score(batch, targets, topK)
			must(t, err)
			sameBits(t, name+" "+filepath.Base(path), want, got, 0, len(targets))
		}
	}
}

// An adapter whose product is no number is refused, and leaves no model.
func TestMergeRefusesDamagedAdapters(t *testing.T) {
	whole := smallAdapter(t, "testdata/llama", filepath.Join(t.TempDir(), "whole"))
	data, err := os.ReadFile(filepath.Join(whole.Ref(), weights.AdapterWeights))
	must(t, err)
	for _, x := range []float64{math.NaN(), math.Inf(1)} {
		dir := t.TempDir()
		binary.LittleEndian.PutUint32(data[len(data)-4:], math.Float32bits(float32(x)))
		must(t, os.WriteFile(filepath.Join(dir, weights.AdapterWeights), data, 0o644))
		must(t, os.WriteFile(filepath.Join(dir, weights.AdapterConfig), whole.Config(), 0o644))
		a, err := weights.OpenAdapter(dir)
		must(t, err)
		defer a.Close()
		out := t.TempDir()
		for _, dtype := range []string{"F32", "BF16"} {
			if _, err := model.ExportFolder(t.Context(), out, open(t, "testdata/llama"), a, dtype); err == nil || !strings.Contains(err.Error(), "the adapter is damaged") {
				t.Errorf("%v in %s: the error is %v", x, dtype, err)
			}
		}
		if _, err := os.Stat(filepath.Join(out, "config.json")); err == nil {
			t.Errorf("%v: a folder is left that is taken for a model", x)
		}
	}
}

// PEFT's merge_and_unload in float32 makes the same weights, which transformers loads
// of the folder and gguf-py reads in the GGUF; EAFT_EXPORT may name one more folder,
// such as that of SmolLM2. check_merged.py derives the bound.
func TestMergedEqualsPEFT(t *testing.T) {
	refs := exported(t)
	if extra := os.Getenv("EAFT_EXPORT"); extra != "" {
		refs["extra"] = extra
	}
	var jobs []map[string]any
	for name, ref := range refs {
		dir := t.TempDir()
		a := smallAdapter(t, ref, filepath.Join(dir, "adapter"))
		folder, file := filepath.Join(dir, "folder"), filepath.Join(dir, "model.gguf")
		_, err := model.ExportFolder(t.Context(), folder, open(t, ref), a, "F32")
		must(t, err)
		_, err = model.ExportGGUF(t.Context(), file, open(t, ref), a, "F32")
		must(t, err)
		jobs = append(jobs, map[string]any{"name": name, "base": ref, "adapter": filepath.Join(dir, "adapter"), "merged": []string{folder, file}})
	}
	data, err := json.Marshal(jobs)
	must(t, err)
	path := filepath.Join(t.TempDir(), "jobs.json")
	must(t, os.WriteFile(path, data, 0o644))
	out := python(t, "check_merged.py", path)
	t.Log(out)
	for name := range refs {
		for _, kind := range []string{"folder", "model.gguf"} {
			if want := fmt.Sprintf("%s, %s: ", name, kind); !strings.Contains(out, want) {
				t.Errorf("nothing is said of %s", want)
			}
		}
	}
}
