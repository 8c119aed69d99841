package model_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"eaft/compute"
	"eaft/model"
)

// What was trained here is to transformers what it is to us: it loads the folder
// and gives the targets the same log-probabilities; tokenizer and template are
// those of the model that training started from. EAFT_TRAINED may name one more
// model to train, such as the folder of SmolLM2.
func TestTransformersLoadsWhatWasTrained(t *testing.T) {
	dev := newDevice(t, 2)
	batch := model.Batch{IDs: []int32{3, 7, 1, 12, 5, 9, 20, 2, 30, 31, 4, 17}, CuSeqlens: []int32{0, 12}}
	targets := []int32{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}
	type job struct {
		Name    string    `json:"name"`
		From    string    `json:"from"`
		Folder  string    `json:"folder"`
		IDs     []int32   `json:"ids"`
		LogProb []float32 `json:"logprob"`
	}
	refs := map[string]string{"llama": "testdata/llama", "qwen2": "testdata/qwen2", "qwen3": "testdata/qwen3", "demo": "demo"}
	if extra := os.Getenv("EAFT_TRAINED"); extra != "" {
		refs["extra"] = extra
	}
	var jobs []job
	for name, ref := range refs {
		m := load(t, dev, ref, model.Options{Train: true})
		first := make(map[string][2]compute.Tensor)
		for _, p := range m.Params() {
			rows, cols := p.Value.Rows(), p.Value.Cols()
			first[p.Name] = [2]compute.Tensor{dev.NewTensor(rows, cols, compute.F32), dev.NewTensor(rows, cols, compute.F32)}
		}
		var before *compute.HeadStats
		for step := 1; step <= 3; step++ {
			s, err := m.Accumulate(batch, targets, topK, eaftWeights(topK))
			if err != nil {
				t.Fatal(err)
			}
			if before == nil {
				before = s
			}
			for _, p := range m.Params() {
				dev.AdamW(p.Value, p.Grad, first[p.Name][0], first[p.Name][1], compute.AdamW{LR: 1e-4, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, GradScale: 1, Step: step})
			}
			m.Refresh()
			m.BeginStep()
		}
		after, err := m.Score(batch, targets, topK)
		if err != nil {
			t.Fatal(err)
		}
		if sum(after.LogProb) <= sum(before.LogProb) {
			t.Errorf("%s: three steps took the targets from %g to %g nats", name, sum(before.LogProb), sum(after.LogProb))
		}
		jobs = append(jobs, job{name, ref, save(t, m, ref), batch.IDs, after.LogProb})
	}
	data, err := json.Marshal(jobs)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "jobs.json")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Log(python(t, "check_trained.py", path))
}
