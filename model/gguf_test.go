package model_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"eaft/model"
	"eaft/model/weights"
)

// ggufWith writes the GGUF of the fixture llama3 again, with some keys set, others
// (nil) left out, and only the tensors that keep wants.
func ggufWith(t *testing.T, change map[string]any, keep func(tensor string) bool) *weights.Checkpoint {
	t.Helper()
	from := open(t, "testdata/llama3/model.gguf")
	values := map[string]any{
		"general.architecture": "llama", "llama.block_count": uint32(2), "llama.context_length": uint32(64),
		"llama.embedding_length": uint32(32), "llama.feed_forward_length": uint32(40), "llama.attention.head_count": uint32(4),
		"llama.attention.head_count_kv": uint32(2), "llama.attention.layer_norm_rms_epsilon": float32(1e-6),
		"llama.rope.scaling.original_context_length": uint32(16),
	}
	for key, v := range change {
		if values[key] = v; v == nil {
			delete(values, key)
		}
	}
	var metadata []weights.KeyValue
	for key, v := range values {
		metadata = append(metadata, weights.KeyValue{Key: key, Value: v})
	}
	slices.SortFunc(metadata, func(a, b weights.KeyValue) int { return strings.Compare(a.Key, b.Key) })
	var tensors []weights.Named
	for _, name := range from.Names() {
		if keep != nil && !keep(name) {
			continue
		}
		info, _ := from.Info(name)
		tensors = append(tensors, weights.Named{Name: name, DType: "F32", Shape: info.Shape,
			Read: func(row int, dst []float32) error { return from.ReadRows(name, row, row+1, dst) }})
	}
	path := filepath.Join(t.TempDir(), "model.gguf")
	if err := weights.WriteGGUF(path, metadata, tensors); err != nil {
		t.Fatal(err)
	}
	return open(t, path)
}

func TestGGUFMetadata(t *testing.T) {
	for _, c := range []struct {
		change map[string]any
		want   string // in the error; "": none
	}{
		{nil, ""},
		{map[string]any{"llama.rope.freq_base": float32(10000)}, ""},
		{map[string]any{"llama.rope.scaling.type": "none", "llama.rope.scaling.attn_factor": float32(1), "llama.expert_count": uint32(0)}, ""},
		{map[string]any{"split.count": uint32(1), "llama.attention.causal": true}, ""},
		{map[string]any{"llama.rope.freq_base": "10000"}, "llama.rope.freq_base is no number"},
		{map[string]any{"llama.rope.freq_base": []float32{1e4}}, "llama.rope.freq_base is no number"},
		{map[string]any{"llama.rope.scaling.type": uint32(1)}, "llama.rope.scaling.type is no text"},
		{map[string]any{"llama.rope.scaling.type": "yarn"}, `llama.rope.scaling.type is "yarn"`},
		{map[string]any{"llama.rope.scaling.attn_factor": float32(1.5)}, "llama.rope.scaling.attn_factor is 1.5"},
		{map[string]any{"llama.attention.head_count_kv": []int32{2, 2}}, "llama.attention.head_count_kv is not a single integer"},
		{map[string]any{"llama.attention.sliding_window": []int32{4, 0}}, "llama.attention.sliding_window is not a single integer"},
		{map[string]any{"llama.attention.sliding_window": float32(4)}, "llama.attention.sliding_window is not a single integer"},
		{map[string]any{"llama.expert_count": "8"}, "llama.expert_count is not a single integer"},
		{map[string]any{"llama.attention.scale": float32(0.1)}, "llama.attention.scale is 0.1"},
		{map[string]any{"llama.final_logit_softcapping": float32(30)}, "llama.final_logit_softcapping is 30"},
		{map[string]any{"llama.attention.causal": false}, "llama.attention.causal is false"},
		{map[string]any{"split.count": uint32(3)}, "llama-gguf-split --merge"},
		{map[string]any{"split.count": uint32(3), "general.architecture": nil}, "llama-gguf-split --merge"}, // all but the first of them
		{map[string]any{"llama.block_count": nil}, "llama.block_count is missing"},
	} {
		_, err := model.SpecOf(ggufWith(t, c.change, nil))
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%v: %v", c.change, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%v: the error is %v, want %q", c.change, err, c.want)
		}
	}
}

// A GGUF may have biases that no class of transformers has: it is scored, and not
// trained, because the result could not be saved.
func TestGGUFThatNoFolderCanHold(t *testing.T) {
	c := ggufWith(t, nil, func(name string) bool { return !strings.HasSuffix(name, "attn_output.bias") })
	dev := newDevice(t, 1)
	if _, err := model.Load(dev, c, model.Options{}); err != nil {
		t.Error(err)
	}
	if _, err := model.Load(dev, c, model.Options{Train: true}); err == nil || !strings.Contains(err.Error(), "biases") {
		t.Errorf("to be trained: the error is %v", err)
	}
	if _, err := model.ExportFolder(t.Context(), t.TempDir(), c, nil, "F32"); err == nil || !strings.Contains(err.Error(), "biases") {
		t.Errorf("as a folder: the error is %v", err)
	}
}
