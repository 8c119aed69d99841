package model_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"eaft/compute"
	"eaft/model"
)

// exported are the folders that ExportGGUF is tried on. The fixture of Qwen2 has
// windows, which a GGUF cannot say, so its copy has none.
func exported(t *testing.T) map[string]string {
	t.Helper()
	qwen2 := copyFolder(t, "qwen2", func(c map[string]any) {
		c["use_sliding_window"], c["sliding_window"] = false, nil
		delete(c, "layer_types")
	})
	folders := map[string]string{"qwen2": qwen2, "demo": "demo"} // demo is a folder beside the tests, too
	for _, v := range []string{"llama", "llama3", "mistral", "qwen3"} {
		folders[v] = filepath.Join("testdata", v)
	}
	return folders
}

func export(t *testing.T, ref, dtype string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "model.gguf")
	if _, err := model.ExportGGUF(t.Context(), path, open(t, ref), nil, dtype); err != nil {
		t.Fatal(err)
	}
	return path
}

// What is exported scores the same bits: in F32 always, in BF16 where the
// products' operands are BF16 anyway.
func TestExportedGGUFScoresTheSameBits(t *testing.T) {
	dev := newDevice(t, 2)
	batch := model.Batch{IDs: []int32{3, 7, 1, 12, 5, 9, 20, 2, 30, 31, 4}, CuSeqlens: []int32{0, 7, 11}}
	targets := []int32{1, 2, 3, 4, 5, 6, 8, 9, 10}
	for name, ref := range exported(t) {
		for dtype, o := range map[string]model.Options{"F32": {}, "BF16": {DType: compute.BF16}} {
			want, err := load(t, dev, ref, o).Score(batch, targets, topK)
			if err != nil {
				t.Fatal(err)
			}
			got, err := load(t, dev, export(t, ref, dtype), o).Score(batch, targets, topK)
			if err != nil {
				t.Fatal(err)
			}
			sameBits(t, name+" "+dtype, want, got, 0, len(targets))
		}
	}
}

// A GGUF exported again is the same file, and float16 is read back.
func TestExportGGUFAgain(t *testing.T) {
	for _, ref := range []string{"testdata/llama3", "testdata/mistral", "demo"} {
		for _, dtype := range []string{"F32", "BF16", "F16"} {
			once := export(t, ref, dtype)
			a, err := os.ReadFile(once)
			if err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(export(t, once, dtype))
			if err != nil {
				t.Fatal(err)
			}
			if string(a) != string(b) {
				t.Errorf("%s in %s: exported again the file differs", ref, dtype)
			}
		}
	}
}

// The tokenizer, the special tokens and the template go with the weights.
func TestExportedTokenizer(t *testing.T) {
	from, to := open(t, "demo"), open(t, export(t, "demo", "F32"))
	srcA, bosA, eosA, err := from.ChatTemplate()
	if err != nil {
		t.Fatal(err)
	}
	srcB, bosB, eosB, err := to.ChatTemplate()
	if err != nil {
		t.Fatal(err)
	}
	if srcA != srcB || bosA != bosB || eosA != eosB || srcA == "" {
		t.Errorf("template, bos and eos were %q, %q, %q and are %q, %q, %q", srcA, bosA, eosA, srcB, bosB, eosB)
	}
	for key, want := range map[string]string{"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "smollm"} {
		if got, _ := to.GGUF().String(key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
}

func TestExportRefuses(t *testing.T) {
	for _, c := range []struct{ ref, dtype, want string }{
		{"testdata/qwen2", "F32", "sliding windows"},
		{"testdata/llama", "Q8_0", "choose F32"},
	} {
		path := filepath.Join(t.TempDir(), "model.gguf")
		if _, err := model.ExportGGUF(t.Context(), path, open(t, c.ref), nil, c.dtype); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s as %s: the error is %v", c.ref, c.dtype, err)
		}
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s as %s left a file", c.ref, c.dtype)
		}
	}
}

// Weights that are no numbers are refused by the name that the model has for them,
// in every type, and leave no file.
func TestExportRefusesDamagedWeights(t *testing.T) {
	for name, damage := range map[string]map[int]float32{
		"model.layers.1.self_attn.q_proj.weight": {0: float32(math.NaN()), 5: float32(math.Inf(1)), 100: float32(math.Inf(-1))},
		"model.norm.weight":                      {3: float32(math.NaN())},
	} {
		dir := copyFolder(t, "llama", func(map[string]any) {})
		path := filepath.Join(dir, "model.safetensors")
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		header := binary.LittleEndian.Uint64(data)
		var tensors map[string]struct {
			DType   string `json:"dtype"`
			Offsets [2]int `json:"data_offsets"`
		}
		if err := json.Unmarshal(data[8:8+header], &tensors); err != nil {
			t.Fatal(err)
		}
		at := tensors[name]
		if at.DType != "F32" {
			t.Fatalf("%s: %+v", name, at)
		}
		for i, x := range damage {
			binary.LittleEndian.PutUint32(data[8+int(header)+at.Offsets[0]+4*i:], math.Float32bits(x))
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("%d of the %d values of the model's %s are NaN or infinite", len(damage), (at.Offsets[1]-at.Offsets[0])/4, name)
		for _, dtype := range []string{"F32", "BF16", "F16"} {
			out := t.TempDir()
			if _, err := model.ExportGGUF(t.Context(), filepath.Join(out, "model.gguf"), open(t, dir), nil, dtype); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: the error is %v, want %q", dtype, err, want)
			}
			if left, _ := os.ReadDir(out); len(left) > 0 {
				t.Errorf("%s: %s is left", dtype, left[0].Name())
			}
			if _, err := model.ExportFolder(t.Context(), out, open(t, dir), nil, dtype); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("a folder of %s: the error is %v, want %q", dtype, err, want)
			}
			if _, err := os.Stat(filepath.Join(out, "config.json")); err == nil {
				t.Errorf("%s: a folder is left that is taken for a model", dtype)
			}
		}
	}
}

// llama.cpp computes what transformers does from the folder; EAFT_EXPORT may name
// one more folder, such as that of SmolLM2.
func TestLlamaCppLoadsTheExport(t *testing.T) {
	if exe := os.Getenv("EAFT_PYTHON"); exe != "" {
		if out, err := exec.Command(exe, "-c", "import llama_cpp").CombinedOutput(); err != nil {
			t.Skipf("no llama-cpp-python: %s", out)
		}
	}
	dir := t.TempDir()
	var jobs []map[string]any
	folders := exported(t)
	if extra := os.Getenv("EAFT_EXPORT"); extra != "" {
		folders["extra"] = extra
	}
	for name, ref := range folders {
		for _, dtype := range []string{"F32", "BF16", "F16"} {
			jobs = append(jobs, map[string]any{"name": name, "folder": ref, "gguf": export(t, ref, dtype), "dtype": dtype})
		}
	}
	data, err := json.Marshal(jobs)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "jobs.json")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Log(python(t, "check_gguf.py", path))
}
