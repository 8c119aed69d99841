package tokenizer

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// GGUFVocab is the tokenizer.ggml.* part of a GGUF's metadata.
type GGUFVocab struct {
	Model, Pre         string
	Tokens             []string
	Types              []int32 // llama.cpp's llama_token_type; may be empty
	Merges             []string
	BOS, EOS, PAD, UNK int32 // -1: none
	AddBOS             bool
}

// llama.cpp's token types (include/llama.h, enum llama_token_type).
const (
	typeControl     = 3
	typeUserDefined = 4
)

// preTokenizers are llama.cpp's names (src/llama-vocab.cpp) and what the models'
// own tokenizer.json say. transformers' conversion of SmolLM2 forgets the digits.
var preTokenizers = map[string]struct {
	nfc    bool
	digits bool
	regex  string // "" is ByteLevel's own
}{
	"smollm":    {digits: true},
	"gpt-2":     {},
	"llama-bpe": {regex: patternLlama3},
	"qwen2":     {nfc: true, regex: patternQwen2},
}

// ConvertGGUF makes the tokenizer.json that a GGUF's vocabulary came from.
func ConvertGGUF(v GGUFVocab) ([]byte, error) {
	if v.Model != "gpt2" {
		return nil, fmt.Errorf("tokenizer.ggml.model %q is not known: gpt2 (byte-level BPE) is", v.Model)
	}
	pre, ok := preTokenizers[v.Pre]
	if !ok {
		return nil, fmt.Errorf("tokenizer.ggml.pre %q is not known: smollm, gpt-2, llama-bpe and qwen2 are; take tokenizer.json from the original model", v.Pre)
	}
	if len(v.Types) != 0 && len(v.Types) != len(v.Tokens) {
		return nil, fmt.Errorf("tokenizer.ggml.token_type has %d entries for %d tokens", len(v.Types), len(v.Tokens))
	}
	vocab := make(map[string]int, len(v.Tokens))
	added := []addedToken{}
	for id, s := range v.Tokens {
		if other, twice := vocab[s]; twice {
			return nil, fmt.Errorf("tokenizer.ggml.tokens: %q has the ids %d and %d", s, other, id)
		}
		vocab[s] = id
		if len(v.Types) > 0 && (v.Types[id] == typeControl || v.Types[id] == typeUserDefined) {
			added = append(added, addedToken{ID: int32(id), Content: s, Special: v.Types[id] == typeControl})
		}
	}
	type object = map[string]any
	byteLevel := func(regex bool) object {
		return object{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": regex}
	}
	var seq []any
	if pre.digits {
		seq = append(seq, object{"type": "Digits", "individual_digits": true})
	}
	if pre.regex != "" {
		seq = append(seq, object{"type": "Split", "pattern": object{"Regex": pre.regex}, "behavior": "Isolated", "invert": false})
	}
	seq = append(seq, byteLevel(pre.regex == ""))
	var normalizer any
	if pre.nfc {
		normalizer = object{"type": "NFC"}
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	err := enc.Encode(object{
		"version": "1.0", "truncation": nil, "padding": nil, "added_tokens": added, "normalizer": normalizer,
		"pre_tokenizer":  object{"type": "Sequence", "pretokenizers": seq},
		"post_processor": nil, "decoder": byteLevel(true),
		"model": object{
			"type": "BPE", "dropout": nil, "unk_token": nil, "continuing_subword_prefix": nil, "end_of_word_suffix": nil,
			"fuse_unk": false, "byte_fallback": false, "ignore_merges": v.Pre == "llama-bpe", "vocab": vocab, "merges": v.Merges,
		},
	})
	return buf.Bytes(), err
}
