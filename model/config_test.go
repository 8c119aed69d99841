package model_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"eaft/model"
	"eaft/model/weights"
)

// specOf reads the Spec of a folder that holds only this config.
func specOf(t *testing.T, config map[string]any) (model.Spec, error) {
	t.Helper()
	data, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := weights.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return model.SpecOf(c)
}

// with is a small valid config with some fields replaced.
func with(family string, fields map[string]any) map[string]any {
	c := map[string]any{
		"model_type": family, "vocab_size": 100, "hidden_size": 64, "intermediate_size": 96,
		"num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
	}
	for k, v := range fields {
		c[k] = v
	}
	return c
}

func TestDefaultsAreThoseOfTransformers(t *testing.T) {
	full, sliding := []int{0, 0, 0}, []int{4096, 4096, 4096}
	for _, c := range []struct {
		family string
		fields map[string]any
		want   func(model.Spec) bool
	}{
		{"llama", nil, func(s model.Spec) bool { return !s.TiedHead && s.RoPE.Theta == 10000 && s.Eps == 1e-6 && !s.QKVBias }},
		{"llama", map[string]any{"num_key_value_heads": nil}, func(s model.Spec) bool { return s.KVHeads == 4 }},
		{"llama", map[string]any{"head_dim": nil}, func(s model.Spec) bool { return s.HeadDim == 16 }},
		{"llama", map[string]any{"attention_bias": true}, func(s model.Spec) bool { return s.QKVBias && s.OBias && !s.MLPBias }},
		{"mistral", nil, func(s model.Spec) bool { return reflect.DeepEqual(s.Windows, sliding) }},
		{"mistral", map[string]any{"sliding_window": nil}, func(s model.Spec) bool { return reflect.DeepEqual(s.Windows, full) }},
		{"mistral", map[string]any{"sliding_window": 8, "layer_types": []string{"sliding_attention", "full_attention", "sliding_attention"}},
			func(s model.Spec) bool { return reflect.DeepEqual(s.Windows, []int{8, 0, 8}) }},
		{"mistral", map[string]any{"sliding_window": 8, "layer_types": nil}, func(s model.Spec) bool { return reflect.DeepEqual(s.Windows, []int{8, 8, 8}) }},
		{"qwen2", nil, func(s model.Spec) bool { return s.QKVBias && !s.OBias && reflect.DeepEqual(s.Windows, full) }},
		{"qwen2", map[string]any{"use_sliding_window": true, "max_window_layers": 2},
			func(s model.Spec) bool { return reflect.DeepEqual(s.Windows, []int{0, 0, 4096}) }},
		{"qwen2", map[string]any{"sliding_window": 8, "use_sliding_window": false, "max_window_layers": 0},
			func(s model.Spec) bool { return reflect.DeepEqual(s.Windows, full) }},
		{"qwen3", map[string]any{"head_dim": nil}, func(s model.Spec) bool { return s.HeadDim == 128 && s.QKNorm && !s.QKVBias }},
		{"qwen3", map[string]any{"use_sliding_window": true, "sliding_window": 8,
			"layer_types": []string{"sliding_attention", "full_attention", "sliding_attention"}},
			func(s model.Spec) bool { return reflect.DeepEqual(s.Windows, []int{8, 0, 8}) }},
		{"llama", map[string]any{"rope_theta": 5e5, "rope_scaling": nil}, func(s model.Spec) bool { return s.RoPE == model.RoPE{Theta: 5e5} }},
		{"llama", map[string]any{"rope_parameters": map[string]any{"rope_theta": 5e5, "rope_type": "default"}},
			func(s model.Spec) bool { return s.RoPE == model.RoPE{Theta: 5e5} }},
		{"llama", map[string]any{"rope_theta": 3e3, "rope_scaling": map[string]any{"type": "linear", "factor": 4},
			"rope_parameters": map[string]any{"rope_theta": 5e5, "rope_type": "default"}},
			func(s model.Spec) bool { return s.RoPE == model.RoPE{Theta: 3e3, Scaling: "linear", Factor: 4} }},
		{"llama", map[string]any{"rope_scaling": map[string]any{}, "rope_parameters": map[string]any{"rope_theta": 5e5}},
			func(s model.Spec) bool { return s.RoPE == model.RoPE{Theta: 5e5} }},
		{"llama", map[string]any{"rope_parameters": map[string]any{}, "rope_scaling": map[string]any{"type": "linear", "factor": 4}},
			func(s model.Spec) bool { return s.RoPE == model.RoPE{Theta: 1e4, Scaling: "linear", Factor: 4} }},
	} {
		s, err := specOf(t, with(c.family, c.fields))
		if err != nil {
			t.Errorf("%s %v: %v", c.family, c.fields, err)
		} else if !c.want(s) {
			t.Errorf("%s %v gives %+v", c.family, c.fields, s)
		}
	}
}

func TestConfigsThatAreRefused(t *testing.T) {
	for _, c := range []struct {
		family string
		fields map[string]any
		says   []string // beside config.json
	}{
		{"gpt2", nil, []string{"model_type", "gpt2", "llama, mistral, qwen2, qwen3"}},
		{"mixtral", nil, []string{"model_type", "mixtral"}},
		{"llama", map[string]any{"hidden_act": "gelu"}, []string{"hidden_act", "gelu", "silu"}},
		{"llama", map[string]any{"hidden_size": "64"}, []string{"hidden_size", `"64"`, "an integer"}},
		{"llama", map[string]any{"vocab_size": nil}, []string{"vocab_size", "missing"}},
		{"llama", map[string]any{"num_hidden_layers": -1}, []string{"number of layers", "-1"}},
		{"llama", map[string]any{"num_hidden_layers": 1 << 40}, []string{"number of layers"}},
		{"llama", map[string]any{"hidden_size": 1 << 40}, []string{"hidden size"}},
		{"llama", map[string]any{"num_attention_heads": 0, "head_dim": nil}, []string{"num_attention_heads 0"}},
		{"llama", map[string]any{"num_key_value_heads": 3}, []string{"4 attention heads", "3 key/value heads"}},
		{"llama", map[string]any{"head_dim": 7}, []string{"head dimension", "7"}},
		{"llama", map[string]any{"rms_norm_eps": 0}, []string{"epsilon"}},
		{"llama", map[string]any{"rope_theta": -5}, []string{"rope_theta", "-5"}},
		{"llama", map[string]any{"rope_scaling": map[string]any{"type": "yarn", "factor": 4}}, []string{"rope_scaling", "yarn", "default, linear, llama3"}},
		{"llama", map[string]any{"rope_scaling": map[string]any{"rope_type": "linear"}}, []string{"factor", "0"}},
		{"llama", map[string]any{"rope_parameters": map[string]any{"rope_type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 1}},
			[]string{"low_freq_factor"}},
		{"llama", map[string]any{"rope_scaling": "none"}, []string{"rope_scaling", "an object"}},
		{"llama", map[string]any{"partial_rotary_factor": 0.5}, []string{"partial_rotary_factor", "0.5"}},
		{"llama", map[string]any{"quantization_config": map[string]any{"quant_method": "gptq"}}, []string{"quantization_config", "GGUF"}},
		{"llama", map[string]any{"is_causal": false}, []string{"is_causal", "false"}},
		{"llama", map[string]any{"is_causal": nil}, []string{"is_causal", "null"}},
		{"llama", map[string]any{"per_layer_config": map[string]any{"0": map[string]any{"rms_norm_eps": 1e-3}}}, []string{"per_layer_config"}},
		{"llama", map[string]any{"original_max_position_embeddings": 64, "rope_scaling": map[string]any{"rope_type": "llama3", "factor": 8,
			"low_freq_factor": 1, "high_freq_factor": 4, "original_max_position_embeddings": 32}}, []string{"original_max_position_embeddings", "64", "32"}},
		{"qwen2", map[string]any{"rope_parameters": map[string]any{"full_attention": map[string]any{"rope_theta": 5e5}}},
			[]string{"rope_parameters", "full_attention"}},
		{"mistral", map[string]any{"sliding_window": 0}, []string{"sliding_window", "0"}},
		{"mistral", map[string]any{"sliding_window": nil, "layer_types": []string{"full_attention", "full_attention", "sliding_attention"}},
			[]string{"layer_types[2]", "sliding_window is null"}},
		{"qwen3", map[string]any{"num_hidden_layers": 5000, "use_sliding_window": true, "layer_types": slices.Repeat([]string{"sliding_attention"}, 5000)},
			[]string{"number of layers", "5000"}},
		{"qwen2", map[string]any{"layer_types": []string{"full_attention"}}, []string{"layer_types", "3 layers"}},
		{"qwen2", map[string]any{"layer_types": []string{"full_attention", "linear_attention", "full_attention"}}, []string{"layer_types", "linear_attention"}},
	} {
		_, err := specOf(t, with(c.family, c.fields))
		if err == nil {
			t.Errorf("%s %v is accepted", c.family, c.fields)
			continue
		}
		for _, part := range c.says {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s %v: the error does not say %q: %v", c.family, c.fields, part, err)
			}
		}
	}
}

func TestFolderWithoutConfig(t *testing.T) {
	dir := copyFolder(t, "llama", func(map[string]any) {})
	if err := os.Remove(filepath.Join(dir, "config.json")); err != nil {
		t.Fatal(err)
	}
	if _, err := model.SpecOf(open(t, dir)); err == nil || !strings.Contains(err.Error(), "no config.json is in this folder") {
		t.Errorf("the error is %v", err)
	}
}

// copyFolder copies a variant, with its config changed by edit.
func copyFolder(t *testing.T, variant string, edit func(map[string]any)) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", variant))); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "config.json")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var c map[string]any
	if err := json.Unmarshal(data, &c); err != nil {
		t.Fatal(err)
	}
	edit(c)
	if data, err = json.Marshal(c); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestWeightsThatDoNotFitTheConfig(t *testing.T) {
	for _, c := range []struct {
		variant, field string
		value          any
		says           string
	}{
		{"llama", "tie_word_embeddings", false, "lm_head.weight is missing"},
		{"llama", "intermediate_size", 41, "mlp.gate_proj.weight has shape [40 24]; the config asks for [41 24]"},
		{"llama", "num_hidden_layers", 3, "model.layers.2.input_layernorm.weight is missing"},
		{"llama", "num_hidden_layers", 1, "has no place"},
		{"llama", "attention_bias", true, "q_proj.bias is missing"},
		{"llama3", "attention_bias", false, "_proj.bias has no place"},
		{"qwen3", "model_type", "llama", "_norm.weight has no place"},
	} {
		dir := copyFolder(t, c.variant, func(m map[string]any) { m[c.field] = c.value })
		_, err := model.Load(newDevice(t, 1), open(t, dir), model.Options{})
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s with %s = %v: the error should say %q: %v", c.variant, c.field, c.value, c.says, err)
		}
	}
}

// withHead writes the weights of a folder again, with a head beside the embedding:
// the same rows as head changes them.
func withHead(t *testing.T, dir string, head func(row int, embedded []float32)) {
	t.Helper()
	c := open(t, dir)
	var all []weights.Named
	for _, name := range append(c.Names(), "lm_head.weight") {
		from := name
		if name == "lm_head.weight" {
			from = "model.embed_tokens.weight"
		}
		info, _ := c.Info(from)
		all = append(all, weights.Named{Name: name, DType: "F32", Shape: info.Shape, Read: func(row int, dst []float32) error {
			err := c.ReadRows(from, row, row+1, dst)
			if name != from {
				head(row, dst)
			}
			return err
		}})
	}
	if err := weights.WriteSafetensors(filepath.Join(dir, "model.safetensors"), all, nil); err != nil {
		t.Fatal(err)
	}
}

// A tied head may be stored, if it is the embedding.
func TestTiedHeadThatIsStored(t *testing.T) {
	dev := newDevice(t, 1)
	dir := copyFolder(t, "llama", func(map[string]any) {})
	withHead(t, dir, func(int, []float32) {})
	if _, err := model.Load(dev, open(t, dir), model.Options{}); err != nil {
		t.Error(err)
	}
	dir = copyFolder(t, "llama", func(map[string]any) {})
	withHead(t, dir, func(row int, x []float32) {
		if row == 96 {
			x[23]++
		}
	})
	if _, err := model.Load(dev, open(t, dir), model.Options{}); err == nil || !strings.Contains(err.Error(), "tie_word_embeddings") {
		t.Errorf("the error is %v", err)
	}
}

// transformers loads the adapter that lies in a model's folder.
func TestAdapterBesideWeights(t *testing.T) {
	dir := copyFolder(t, "llama", func(map[string]any) {})
	if err := os.WriteFile(filepath.Join(dir, weights.AdapterConfig), []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := model.Load(newDevice(t, 1), open(t, dir), model.Options{}); err == nil || !strings.Contains(err.Error(), weights.AdapterConfig) {
		t.Errorf("the error is %v", err)
	}
}
