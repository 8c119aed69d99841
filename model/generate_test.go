package model_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"testing"

	"eaft/compute"
	"eaft/model"
)

// A row that grows in a cache, in pieces of any size and beside others, has the
// bits of the row scored whole.
func TestExtendKeepsTheBits(t *testing.T) {
	eachISA(t, func(t *testing.T, dev compute.Device) {
		for _, dtype := range []compute.DType{compute.F32, compute.BF16} {
			for i, v := range variants {
				rng := rand.New(rand.NewPCG(7, uint64(i)))
				m := load(t, dev, "testdata/"+v, model.Options{DType: dtype})
				const slots, room = 3, 150 // beyond a device's block of keys
				c := m.NewCache(slots, room)
				var rows [slots][]int32
				check := func(slot int, next int32, logprob float32) {
					t.Helper()
					ids := append(slices.Clone(rows[slot]), next)
					st, err := m.Score(model.Batch{IDs: ids, CuSeqlens: []int32{0, int32(len(ids))}}, []int32{int32(len(ids) - 1)}, 1)
					if err != nil {
						t.Fatal(err)
					}
					if st.Top1ID[0] != next || math.Float32bits(st.LogProb[0]) != math.Float32bits(logprob) {
						t.Fatalf("%s %v: after %d tokens the cache says %d (%v), the whole row %d (%v)", v, dtype, len(ids)-1, next, logprob, st.Top1ID[0], st.LogProb[0])
					}
				}
				for range 25 {
					var more []model.More
					for s := range rows {
						if rng.IntN(3) == 0 {
							continue
						}
						n := 1
						if rng.IntN(4) == 0 {
							n = 1 + rng.IntN(60)
						}
						if len(rows[s])+n > room || rng.IntN(10) == 0 {
							c.Reset(s)
							rows[s] = nil
						}
						ids := make([]int32, n)
						for j := range ids {
							ids[j] = rng.Int32N(int32(m.Spec().Vocab))
						}
						rows[s] = append(rows[s], ids...)
						more = append(more, model.More{Slot: s, IDs: ids})
					}
					if len(more) == 0 {
						continue
					}
					next, logprob, err := m.Extend(c, more)
					if err != nil {
						t.Fatal(err)
					}
					for j, e := range more {
						check(e.Slot, next[j], logprob[j])
					}
				}
			}
		}
	})
}

// generated is a line of testdata/make_generation.py.
type generated struct {
	Variant     string
	Prompt, IDs []int32
	Gap         float64
}

func complete(t *testing.T, m *model.Model, prompts [][]int32, slots, most int, stop int32) [][]int32 {
	t.Helper()
	out := make([][]int32, len(prompts))
	err := m.Generate(t.Context(), prompts, model.Generation{MaxNew: most, Slots: slots,
		Stop: func(ids []int32) bool { return ids[len(ids)-1] == stop }}, func(i int, c model.Completion) error {
		if out[i] != nil || c.Stopped != (c.IDs[len(c.IDs)-1] == stop) {
			t.Errorf("prompt %d: %+v", i, c)
		}
		out[i] = c.IDs
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Greedy completions are transformers', however many rows share a step. The two
// largest logits are 2e-4 apart or more in all of these; float32 differs by 1e-5.
func TestGenerateEqualsTransformers(t *testing.T) {
	data, err := os.ReadFile("testdata/generation.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []generated
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	eachISA(t, func(t *testing.T, dev compute.Device) {
		for _, v := range variants {
			m := load(t, dev, "testdata/"+v, model.Options{})
			var prompts, want [][]int32
			for _, g := range all {
				if g.Variant == v {
					prompts, want = append(prompts, g.Prompt), append(want, g.IDs)
				}
			}
			for _, slots := range []int{1, 2, 8} {
				for i, got := range complete(t, m, prompts, slots, 24, 2) {
					if !slices.Equal(got, want[i]) {
						t.Errorf("%s, prompt %d, %d at a time:\n got %v\nwant %v", v, i, slots, got, want[i])
					}
				}
			}
		}
	})
}

func TestGenerateStops(t *testing.T) {
	m := load(t, newDevice(t, 1), "testdata/llama", model.Options{})
	g := model.Generation{MaxNew: 100, Slots: 2, Stop: func([]int32) bool { return false }}
	prompt := make([]int32, 60) // of 64 positions
	err := m.Generate(t.Context(), [][]int32{prompt}, g, func(i int, c model.Completion) error {
		if len(c.IDs) != 4 || c.Stopped {
			t.Errorf("the model's positions leave 4: %+v", c)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	for _, prompts := range [][][]int32{{{}}, {make([]int32, 64)}, {{97}}} {
		if err := m.Generate(t.Context(), prompts, g, nil); err == nil {
			t.Errorf("%v is accepted", prompts)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := m.Generate(ctx, [][]int32{{1}}, g, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// The same for a real model and prompts of ids, [[...], ...], in a file.
func TestGenerateSmolLM2(t *testing.T) {
	python, folder, file := os.Getenv("EAFT_PYTHON"), os.Getenv("EAFT_SMOLLM2_FOLDER"), os.Getenv("EAFT_PROMPTS")
	if python == "" || folder == "" || file == "" {
		t.Skip("set EAFT_PYTHON, EAFT_SMOLLM2_FOLDER to SmolLM2-135M-Instruct as a folder, EAFT_PROMPTS to a JSON list of prompts")
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var prompts [][]int32
	if err := json.Unmarshal(data, &prompts); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, "testdata/make_generation.py", "--model", folder, "--new", "40")
	cmd.Stdin, cmd.Stderr = bytes.NewReader(data), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var want []generated
	if err := json.Unmarshal(out, &want); err != nil {
		t.Fatal(err)
	}
	m := load(t, newDevice(t, 2), folder, model.Options{})
	for i, got := range complete(t, m, prompts, 4, 40, 2) {
		t.Logf("prompt %d: %d tokens, logits at least %.2g apart", i, len(got), want[i].Gap)
		if !slices.Equal(got, want[i].IDs) {
			t.Errorf("prompt %d:\n got %v\nwant %v", i, got, want[i].IDs)
		}
	}
}
