package model_test

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"eaft/model"
)

// A real model against transformers in float32. EAFT_SMOLLM2 is the GGUF file of
// SmolLM2-135M-Instruct, EAFT_GSM8K a file of GSM8K rows. 30 layers of float32
// products, and rotary frequencies that transformers rounds to float32, leave
// log-probabilities that differ by some 1e-4; 1e-3 is what is asked.
func TestSmolLM2EqualsTransformers(t *testing.T) {
	gguf, rows := os.Getenv("EAFT_SMOLLM2"), os.Getenv("EAFT_GSM8K")
	if gguf == "" || rows == "" {
		t.Skip("set EAFT_SMOLLM2 to a GGUF of SmolLM2-135M-Instruct, EAFT_GSM8K to rows and EAFT_PYTHON")
	}
	out := filepath.Join(t.TempDir(), "reference.json")
	n := "20"
	if testing.Short() {
		n = "2"
	}
	python(t, "smollm2_reference.py", gguf, rows, n, out)
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	var want struct {
		IDs       []int32   `json:"ids"`
		CuSeqlens []int32   `json:"cu_seqlens"`
		Targets   []int32   `json:"targets"`
		LogProb   []float64 `json:"logprob"`
	}
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	m := load(t, newDevice(t, 2), gguf, model.Options{})
	stats, err := m.Score(model.Batch{IDs: want.IDs, CuSeqlens: want.CuSeqlens}, want.Targets, topK)
	if err != nil {
		t.Fatal(err)
	}
	worst, mean := 0.0, 0.0
	for i, lp := range stats.LogProb {
		d := math.Abs(float64(lp) - want.LogProb[i])
		worst, mean = max(worst, d), mean+d/float64(len(want.LogProb))
	}
	t.Logf("%d targets: logprob differs by %.2g on average and %.2g at most", len(want.LogProb), mean, worst)
	if !(worst <= 1e-3) {
		t.Errorf("logprob differs by up to %g", worst)
	}
}

// A GGUF saved as a folder is the same model to transformers, tokenizer included.
func TestSmolLM2Saved(t *testing.T) {
	gguf := os.Getenv("EAFT_SMOLLM2")
	if gguf == "" {
		t.Skip("set EAFT_SMOLLM2 to a GGUF of SmolLM2-135M-Instruct, and EAFT_PYTHON")
	}
	m := load(t, newDevice(t, 2), gguf, model.Options{})
	python(t, "check_saved.py", gguf, save(t, m, gguf))
}
