package model_test

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"eaft/compute"
	"eaft/compute/cpu"
	"eaft/model"
	"eaft/model/weights"
)

// variants are the fixture folders that testdata/make_fixtures.py writes.
var variants = []string{"llama", "llama3", "mistral", "qwen2", "qwen3"}

// isas are the numeric paths asked for; the device falls back to what the
// machine has, and tests skip paths seen before.
var isas = []string{"generic", "avx2", "avx512", "avx512bf16", "amx"}

// eachISA runs a test on every numeric path of this machine's CPU.
func eachISA(t *testing.T, test func(t *testing.T, dev compute.Device)) {
	seen := map[string]bool{}
	for _, isa := range isas {
		t.Setenv("EAFT_CPU", isa)
		dev, err := cpu.New(2)
		if err != nil {
			t.Logf("no numeric path %q here: %v", isa, err)
			continue
		}
		if seen[dev.ISA()] {
			continue
		}
		seen[dev.ISA()] = true
		t.Run(dev.ISA(), func(t *testing.T) { test(t, dev) })
	}
}

func newDevice(t testing.TB, threads int) compute.Device {
	t.Helper()
	dev, err := cpu.New(threads)
	if err != nil {
		t.Fatal(err)
	}
	return dev
}

func open(t testing.TB, ref string) *weights.Checkpoint {
	t.Helper()
	c, err := weights.Open(ref)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func load(t testing.TB, dev compute.Device, ref string, o model.Options) *model.Model {
	t.Helper()
	m, err := model.Load(dev, open(t, ref), o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// expected is what transformers computed for a variant.
type expected struct {
	f       map[string][]float32
	i       map[string][]int32
	batch   model.Batch
	targets []int32
}

func readExpected(t *testing.T, variant string) expected {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", variant, "expected.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	n := binary.LittleEndian.Uint64(data)
	var header map[string]struct {
		DType   string    `json:"dtype"`
		Offsets [2]uint64 `json:"data_offsets"`
	}
	if err := json.Unmarshal(data[8:8+n], &header); err != nil {
		t.Fatal(err)
	}
	e := expected{f: map[string][]float32{}, i: map[string][]int32{}}
	for name, h := range header {
		raw := data[8+n+h.Offsets[0] : 8+n+h.Offsets[1]]
		for ; len(raw) > 0; raw = raw[4:] {
			bits := binary.LittleEndian.Uint32(raw)
			if h.DType == "I32" {
				e.i[name] = append(e.i[name], int32(bits))
			} else {
				e.f[name] = append(e.f[name], math.Float32frombits(bits))
			}
		}
	}
	e.batch = model.Batch{IDs: e.i["ids"], CuSeqlens: e.i["cu_seqlens"]}
	e.targets = e.i["targets"]
	return e
}

// floats are the real-valued statistics by their name in the fixtures.
func floats(s *compute.HeadStats) map[string][]float32 {
	return map[string][]float32{
		"logprob": s.LogProb, "entropy": s.Entropy, "topk_entropy": s.TopKEntropy,
		"topk_mass": s.TopKMass, "top1_logprob": s.Top1LogProb, "lse": s.LogSumExp,
	}
}

func ints(s *compute.HeadStats) map[string][]int32 {
	return map[string][]int32{"rank": s.Rank, "top1_id": s.Top1ID}
}

// eaftWeights are dL/d(-logprob) of L = 1/N sum topk_entropy/ln(k) * -logprob.
func eaftWeights(k int) func(*compute.HeadStats) []float32 {
	return func(s *compute.HeadStats) []float32 {
		w := make([]float32, len(s.TopKEntropy))
		for i, h := range s.TopKEntropy {
			w[i] = float32(float64(h) / math.Log(float64(k)) / float64(len(w)))
		}
		return w
	}
}
