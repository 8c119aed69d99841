package model

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"

	"eaft/model/weights"
)

// architectures are the classes of transformers that load a family.
var architectures = map[string]string{
	"llama":   "LlamaForCausalLM",
	"mistral": "MistralForCausalLM",
	"qwen2":   "Qwen2ForCausalLM",
	"qwen3":   "Qwen3ForCausalLM",
}

// torchDTypes are the names of what matrices are saved in.
var torchDTypes = map[string]string{"F32": "float32", "BF16": "bfloat16", "F16": "float16"}

// folderConfig is the config.json of a saved model: a folder's own with the dtype of
// the weights as saved, or one made from the Spec, and the adapters in the weights.
func folderConfig(from *weights.Checkpoint, s *Spec, merged []string, dtype string) ([]byte, error) {
	if from.GGUF() != nil {
		config := s.newConfig(from, dtype)
		if len(merged) > 0 {
			config[mergedField] = merged
		}
		data, err := marshal(config)
		if err != nil {
			return nil, err
		}
		if back, err := hfSpec(from.Ref(), data); err != nil || !reflect.DeepEqual(back, *s) {
			return nil, fmt.Errorf("%s: transformers' %s has not the biases that this model has in its projections, so that no folder can hold it: use it as a GGUF, or train an adapter (--lora)",
				from.Ref(), architectures[s.Family])
		}
		return data, nil
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(from.Config(), &fields); err != nil {
		return nil, fmt.Errorf("%s: config.json: %w", from.Ref(), err)
	}
	quoted, _ := json.Marshal(torchDTypes[dtype])
	_, v5 := fields["dtype"]
	if v5 {
		fields["dtype"] = quoted
	}
	if _, v4 := fields["torch_dtype"]; v4 || !v5 {
		fields["torch_dtype"] = quoted
	}
	delete(fields, mergedField)
	if len(merged) > 0 {
		fields[mergedField], _ = json.Marshal(merged)
	}
	return marshal(fields)
}

// newConfig writes the Spec as transformers 4 does, which 5 reads too.
func (s *Spec) newConfig(from *weights.Checkpoint, dtype string) map[string]any {
	c := map[string]any{
		"architectures":           []string{architectures[s.Family]},
		"model_type":              s.Family,
		"vocab_size":              s.Vocab,
		"hidden_size":             s.Hidden,
		"intermediate_size":       s.Intermediate,
		"num_hidden_layers":       s.Layers,
		"num_attention_heads":     s.Heads,
		"num_key_value_heads":     s.KVHeads,
		"head_dim":                s.HeadDim,
		"hidden_act":              "silu",
		"rms_norm_eps":            json.Number(strconv.FormatFloat(float64(s.Eps), 'g', -1, 32)),
		"rope_theta":              s.RoPE.Theta,
		"rope_scaling":            s.RoPE.config(),
		"max_position_embeddings": s.MaxPositions,
		"tie_word_embeddings":     s.TiedHead,
		"torch_dtype":             torchDTypes[dtype],
		"bos_token_id":            tokenID(from, "bos"),
		"eos_token_id":            tokenID(from, "eos"),
		"pad_token_id":            tokenID(from, "padding"),
	}
	switch s.Family {
	case "llama":
		c["attention_bias"], c["mlp_bias"] = s.QKVBias, s.MLPBias
	case "qwen3":
		c["attention_bias"] = s.QKVBias
	case "mistral":
		c["sliding_window"] = nil
		if w := s.Windows[0]; w > 0 {
			c["sliding_window"] = w
		}
	}
	return c
}

// config is the rope_scaling of a config.json, nil without scaling.
func (r *RoPE) config() map[string]any {
	switch r.Scaling {
	case "linear":
		return map[string]any{"rope_type": r.Scaling, "factor": r.Factor}
	case "llama3":
		return map[string]any{
			"rope_type": r.Scaling, "factor": r.Factor,
			"low_freq_factor": r.LowFreq, "high_freq_factor": r.HighFreq,
			"original_max_position_embeddings": r.Original,
		}
	}
	return nil
}

// tokenID is a special token's id in a GGUF's metadata, nil if it has none.
func tokenID(c *weights.Checkpoint, which string) any {
	if id, ok := c.GGUF().Uint("tokenizer.ggml." + which + "_token_id"); ok {
		return id
	}
	return nil
}

// marshal writes JSON as Python's json.dumps(indent=2) would, keys sorted and
// a newline at the end.
func marshal[V any](fields map[string]V) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(fields)
	return b.Bytes(), err
}
