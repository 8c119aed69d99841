package model_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"eaft/compute"
	"eaft/compute/cpu"
	"eaft/model"
	"eaft/model/weights"
)

var someLoRA = model.LoRA{Rank: 4, Alpha: 12, Targets: model.AllLinear, Seed: 3}

// withAdapters is a fixture with adapters whose B is not zero.
func withAdapters(t testing.TB, dev compute.Device, variant string, l model.LoRA, dtype compute.DType) *model.Model {
	t.Helper()
	m := load(t, dev, "testdata/"+variant, model.Options{DType: dtype})
	must(t, m.AddLoRA(l))
	for _, p := range m.Params() {
		x := read(dev, p.Value)
		for i := range x {
			x[i] += float32(i*7%13-6) / 64
		}
		dev.Write(p.Value, x)
	}
	m.Refresh()
	return m
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// New adapters change nothing, bit for bit: B is zero. A lies within PEFT's bounds
// and depends on the seed alone.
func TestNewAdaptersChangeNothing(t *testing.T) {
	for _, v := range []string{"llama", "qwen2", "qwen3"} {
		for _, dtype := range []compute.DType{compute.F32, compute.BF16} {
			e, dev := readExpected(t, v), newDevice(t, 2)
			plain := load(t, dev, "testdata/"+v, model.Options{DType: dtype})
			want, err := plain.Score(e.batch, e.targets, topK)
			must(t, err)
			m := load(t, dev, "testdata/"+v, model.Options{DType: dtype})
			must(t, m.AddLoRA(someLoRA))
			got, err := m.Score(e.batch, e.targets, topK)
			must(t, err)
			if dtype == compute.F32 && !slices.Equal(got.LogProb, want.LogProb) {
				t.Errorf("%s: %v, without adapters %v", v, got.LogProb, want.LogProb)
			}
			again := load(t, dev, "testdata/"+v, model.Options{DType: dtype})
			must(t, again.AddLoRA(someLoRA))
			for i, p := range m.Params() {
				x := read(dev, p.Value)
				if !slices.Equal(x, read(dev, again.Params()[i].Value)) {
					t.Errorf("%s: %s differs for one seed", v, p.Name)
				}
				if isB := strings.Contains(p.Name, "lora_B"); isB != (slices.Max(x) == 0 && slices.Min(x) == 0) {
					t.Errorf("%s: %s begins at %v", v, p.Name, x[:4])
				}
				if k := float64(p.Value.Cols()); float64(slices.Max(x))*float64(slices.Max(x)) > 1/k {
					t.Errorf("%s: %s reaches %v, above 1/sqrt(%v)", v, p.Name, slices.Max(x), k)
				}
			}
		}
	}
}

// Gradients do not depend on what the blocks keep.
func TestAdapterGradientsDoNotDependOnMemory(t *testing.T) {
	for _, v := range []string{"qwen2", "qwen3"} {
		for _, dtype := range []compute.DType{compute.F32, compute.BF16} {
			e, dev := readExpected(t, v), newDevice(t, 2)
			l := someLoRA
			l.Dropout = 0.3
			e.batch.DropKeys = make([]uint64, len(e.batch.CuSeqlens)-1)
			grads := func(prepare func(m *model.Model)) (out [][]float32) {
				m := withAdapters(t, dev, v, l, dtype)
				prepare(m)
				_, err := m.Accumulate(e.batch, e.targets, topK, eaftWeights(topK))
				must(t, err)
				for _, p := range m.Params() {
					out = append(out, read(dev, p.Grad))
				}
				return out
			}
			all := grads(func(*model.Model) {})
			least := grads(func(m *model.Model) {
				tokens := len(e.batch.IDs) * 1000
				for limit := int64(280 << 20); m.FitMemory(limit, tokens) != nil; limit += 1 << 20 {
				}
			})
			for i := range all {
				if !slices.Equal(all[i], least[i]) {
					t.Errorf("%s, %v: gradient %d depends on the memory allowed", v, dtype, i)
				}
			}
		}
	}
}

// A saved adapter is the one that was trained, and the merged model predicts as
// the model with its adapter does, up to the rounding of its sums.
func TestAdapterRoundTrip(t *testing.T) {
	for _, v := range []string{"llama", "qwen2", "qwen3"} {
		e, dev := readExpected(t, v), newDevice(t, 2)
		m := withAdapters(t, dev, v, someLoRA, compute.F32)
		want, err := m.Score(e.batch, e.targets, topK)
		must(t, err)
		dir := t.TempDir()
		must(t, m.SaveAdapter(filepath.Join(dir, "adapter"), v))
		a, err := weights.OpenAdapter(filepath.Join(dir, "adapter"))
		must(t, err)
		defer a.Close()
		_, err = model.ExportFolder(t.Context(), filepath.Join(dir, "merged"), open(t, "testdata/"+v), a, "F32")
		must(t, err)
		again := load(t, dev, "testdata/"+v, model.Options{})
		must(t, again.LoadAdapter(a))
		got, err := again.Score(e.batch, e.targets, topK)
		must(t, err)
		if !slices.Equal(got.LogProb, want.LogProb) {
			t.Errorf("%s: the loaded adapter has %v, the saved one %v", v, got.LogProb, want.LogProb)
		}
		if _, err := again.Accumulate(e.batch, e.targets, topK, eaftWeights(topK)); err == nil {
			t.Errorf("%s: a loaded adapter is trained", v)
		}
		merged := load(t, dev, filepath.Join(dir, "merged"), model.Options{})
		got, err = merged.Score(e.batch, e.targets, topK)
		must(t, err)
		for i := range want.LogProb {
			if d := got.LogProb[i] - want.LogProb[i]; d > 2e-5 || d < -2e-5 {
				t.Errorf("%s: target %d has logprob %v, merged %v", v, i, want.LogProb[i], got.LogProb[i])
			}
		}
	}
}

func TestAdaptersThatAreRefused(t *testing.T) {
	dev := newDevice(t, 1)
	m := withAdapters(t, dev, "llama", someLoRA, compute.F32)
	if err := m.AddLoRA(someLoRA); err == nil {
		t.Error("adapters beside adapters")
	}
	if err := load(t, dev, "testdata/llama", model.Options{Train: true}).AddLoRA(someLoRA); err == nil {
		t.Error("adapters of a model that is trained whole")
	}
	if err := m.Save(t.TempDir(), open(t, "testdata/llama")); err == nil {
		t.Error("a model is saved without its adapters")
	}
	dir := t.TempDir()
	must(t, m.SaveAdapter(dir, "llama"))
	config, err := os.ReadFile(filepath.Join(dir, weights.AdapterConfig))
	must(t, err)
	for _, c := range []struct{ old, new, want string }{
		{`"LORA"`, `"IA3"`, "peft_type"},
		{`"use_dora": false`, `"use_dora": true`, "use_dora"},
		{`"use_rslora": false`, `"use_rslora": true`, "use_rslora"},
		{`"bias": "none"`, `"bias": "all"`, "bias"},
		{`"modules_to_save": null`, `"modules_to_save": ["lm_head"]`, "modules_to_save"},
		{`"rank_pattern": {}`, `"rank_pattern": {"q_proj": 2}`, "rank_pattern"},
		{`"rank_pattern": {}`, "\"rank_pattern\": {\n  \"q_proj\": 2" + strings.Repeat(",\n  \"v_proj\": 3", 99) + "\n}", `rank_pattern is {"q_proj":2,"v_proj":3,"v_proj":3,"v_proj":3,"v_proj":3,"v_p..., which`},
		{`"init_lora_weights": true`, `"init_lora_weights": "pissa"`, "init_lora_weights"},
		{`"init_lora_weights": true`, `"init_lora_weights": "olora"`, "init_lora_weights"},
		{`"r": 4`, `"r": 4, "alora_invocation_tokens": [7, 8]`, "alora_invocation_tokens"},
		{`"r": 4`, `"r": 4, "kasa_config": {"beta": 0.0001}`, "kasa_config"},
		{`"r": 4`, `"r": 5`, "has shape [4 "},
		{`"r": 4`, `"r": -1`, "the rank is -1"},
		{`"q_proj"`, `"lm_head"`, "lm_head"},
		{"{", "", "adapter_config.json"},
	} {
		changed := strings.Replace(string(config), c.old, c.new, 1)
		if changed == string(config) {
			t.Fatalf("%s is not in %s", c.old, config)
		}
		must(t, os.WriteFile(filepath.Join(dir, weights.AdapterConfig), []byte(changed), 0o666))
		a, err := weights.OpenAdapter(dir)
		must(t, err)
		err = load(t, dev, "testdata/llama", model.Options{}).LoadAdapter(a)
		a.Close()
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.new, err)
		}
	}
	must(t, os.WriteFile(filepath.Join(dir, weights.AdapterConfig), config, 0o666))
	a, err := weights.OpenAdapter(dir)
	must(t, err)
	defer a.Close()
	if err := load(t, dev, "testdata/mistral", model.Options{}).LoadAdapter(a); err == nil {
		t.Error("an adapter of another model is loaded")
	}
}

// PEFT loads what SaveAdapter writes, and predicts the same.
func TestPEFTLoadsAdapters(t *testing.T) {
	python := os.Getenv("EAFT_PYTHON")
	if python == "" {
		t.Skip("EAFT_PYTHON does not name a Python with torch, transformers and peft")
	}
	const script = `
import json, sys, torch
from peft import PeftModel
from transformers import AutoModelForCausalLM
base, adapter = sys.argv[1:3]
m = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, attn_implementation="eager")
m = PeftModel.from_pretrained(m, adapter).eval()
out = []
for row in json.load(sys.stdin):
    lp = torch.log_softmax(m(torch.tensor([row])).logits[0], -1)
    out += [lp[t - 1, row[t]].item() for t in range(1, len(row))]
print(json.dumps(out))
`
	for _, v := range []string{"llama", "qwen2", "qwen3"} {
		e := readExpected(t, v)
		dev, err := cpu.New(1)
		must(t, err)
		m := withAdapters(t, dev, v, someLoRA, compute.F32)
		dir := t.TempDir()
		must(t, m.SaveAdapter(dir, v))
		var rows [][]int32
		var targets []int32
		cu := e.batch.CuSeqlens
		for s := range len(cu) - 1 {
			rows = append(rows, e.batch.IDs[cu[s]:cu[s+1]])
			for p := cu[s] + 1; p < cu[s+1]; p++ {
				targets = append(targets, p)
			}
		}
		stats, err := m.Score(e.batch, targets, topK)
		must(t, err)
		in, err := json.Marshal(rows)
		must(t, err)
		cmd := exec.Command(python, "-c", script, filepath.Join("testdata", v), dir)
		cmd.Stdin, cmd.Stderr = strings.NewReader(string(in)), os.Stderr
		out, err := cmd.Output()
		must(t, err)
		var want []float32
		must(t, json.Unmarshal(out[strings.LastIndex(strings.TrimSpace(string(out)), "\n")+1:], &want))
		var off float32
		for i, w := range want {
			off = max(off, stats.LogProb[i]-w, w-stats.LogProb[i])
		}
		t.Logf("%s: %d logprobs, off by %.2g at most", v, len(want), off)
		if len(want) != len(targets) || off > 2e-5 {
			t.Errorf("%s: off by %v", v, off)
		}
	}
}
