package tokenizer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// GGUFVocab is the tokenizer.ggml.* part of a GGUF's metadata.
type GGUFVocab struct {
	Name                           string // general.name
	Model, Pre                     string
	Tokens                         []string
	Types                          []int32   // llama.cpp's llama_token_type; may be empty
	Scores                         []float32 // of the kind llama
	Merges                         []string  // of the kind gpt2
	BOS, EOS, PAD, UNK             int32     // -1: none
	AddBOS, AddEOS, AddSpacePrefix *bool     // nil: not said
}

// llama.cpp's token types (include/llama.h, enum llama_token_type).
const (
	typeUnknown     = 2
	typeControl     = 3
	typeUserDefined = 4
)

// preTokenizer is what a tokenizer.ggml.pre stands for.
type preTokenizer struct {
	nfc, digits, ignoreMerges bool
	regexes                   []string // none: ByteLevel's own
}

// preTokenizers are llama.cpp's names (src/llama-vocab.cpp) and what the models'
// own tokenizer.json say. transformers' conversion of SmolLM2 forgets the digits.
var preTokenizers = func() map[string]preTokenizer {
	llama3 := preTokenizer{ignoreMerges: true, regexes: []string{patternLlama3}}
	qwen2 := preTokenizer{nfc: true, regexes: []string{patternQwen2}}
	glm4 := preTokenizer{regexes: []string{patternLlama3}}
	return map[string]preTokenizer{
		"gpt-2": {}, "smollm": {digits: true}, "starcoder": {digits: true}, "refact": {digits: true},
		"llama-bpe": llama3, "llama3": llama3, "llama-v3": llama3,
		"qwen2": qwen2, "deepseek-r1-qwen": qwen2, "qwen35": {nfc: true, regexes: []string{patternQwen35}},
		"gpt-4o": {ignoreMerges: true, regexes: []string{patternO200K}}, "tekken": {ignoreMerges: true, regexes: []string{patternTekken}},
		"glm4": glm4, "chatglm-bpe": glm4,
		"deepseek-v3": {regexes: []string{patternDigits3, patternHan, patternDeepSeek}},
	}
}()

// ConvertGGUF makes the tokenizer.json that a GGUF's vocabulary came from.
func ConvertGGUF(v GGUFVocab) ([]byte, error) {
	switch v.Model {
	case "gpt2":
		return convertGPT2(v)
	case "llama":
		return convertSPM(v)
	}
	return nil, fmt.Errorf("tokenizer.ggml.model %q is not known: gpt2 (byte-level BPE) and llama (SentencePiece BPE) are; take tokenizer.json from the original model", v.Model)
}

type object = map[string]any

// vocabulary is the ids of the tokens, which must differ, and those that are cut
// out of a text before anything else: of the types unknown, control (both
// special) and user defined.
func (v *GGUFVocab) vocabulary(unknown bool) (ids map[string]int, added []addedToken, err error) {
	if len(v.Types) != 0 && len(v.Types) != len(v.Tokens) {
		return nil, nil, fmt.Errorf("tokenizer.ggml.token_type has %d entries for %d tokens", len(v.Types), len(v.Tokens))
	}
	ids, added = make(map[string]int, len(v.Tokens)), []addedToken{}
	for id, s := range v.Tokens {
		if other, twice := ids[s]; twice {
			return nil, nil, fmt.Errorf("tokenizer.ggml.tokens: %q has the ids %d and %d", s, other, id)
		}
		ids[s] = id
		if len(v.Types) == 0 {
			continue
		}
		typ := v.Types[id]
		special := typ == typeControl || typ == typeUnknown && unknown
		if special || typ == typeUserDefined {
			added = append(added, addedToken{ID: int32(id), Content: s, Special: special})
		}
	}
	return ids, added, nil
}

func encodeJSON(v object) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return buf.Bytes(), err
}

func convertGPT2(v GGUFVocab) ([]byte, error) {
	pre, ok := preTokenizers[v.Pre]
	if !ok {
		return nil, fmt.Errorf("tokenizer.ggml.pre %q is not known: %s are; take tokenizer.json from the original model", v.Pre, strings.Join(slices.Sorted(maps.Keys(preTokenizers)), ", "))
	}
	vocab, added, err := v.vocabulary(false)
	if err != nil {
		return nil, err
	}
	byteLevel := func(regex bool) object {
		return object{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": regex}
	}
	var seq []any
	if pre.digits {
		seq = append(seq, object{"type": "Digits", "individual_digits": true})
	}
	for _, regex := range pre.regexes {
		seq = append(seq, object{"type": "Split", "pattern": object{"Regex": regex}, "behavior": "Isolated", "invert": false})
	}
	seq = append(seq, byteLevel(len(pre.regexes) == 0))
	var normalizer any
	if pre.nfc {
		normalizer = object{"type": "NFC"}
	}
	return encodeJSON(object{
		"version": "1.0", "truncation": nil, "padding": nil, "added_tokens": added, "normalizer": normalizer,
		"pre_tokenizer":  object{"type": "Sequence", "pretokenizers": seq},
		"post_processor": nil, "decoder": byteLevel(true),
		"model": object{
			"type": "BPE", "dropout": nil, "unk_token": nil, "continuing_subword_prefix": nil, "end_of_word_suffix": nil,
			"fuse_unk": false, "byte_fallback": false, "ignore_merges": pre.ignoreMerges, "vocab": vocab, "merges": v.Merges,
		},
	})
}
