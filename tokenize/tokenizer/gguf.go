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
	Types                          []int32   // llama.cpp's llama_token_type; of the kind gpt2 it may be empty
	Scores                         []float32 // of the kinds llama and t5
	Merges                         []string  // of the kind gpt2
	CharsMap                       []byte    // of the kind t5: precompiled_charsmap; may be empty
	BOS, EOS, PAD, UNK, SEP        int32     // -1: none
	AddBOS, AddEOS, AddSpacePrefix *bool     // nil: not said
	RemoveExtraSpaces              *bool     // of the kind t5: remove_extra_whitespaces
	Lowercase, StripAccents        *bool     // of the kind bert: normalizer.lowercase and .strip_accents
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
	bos                       bool     // BOS before a text, where the file does not say
	regexes                   []string // none: ByteLevel's own
}

// preTokenizers are llama.cpp's names (src/llama-vocab.cpp) and what the models'
// own tokenizer.json say. transformers' conversion of SmolLM2 forgets the digits.
var preTokenizers = func() map[string]preTokenizer {
	llama3 := preTokenizer{ignoreMerges: true, bos: true, regexes: []string{patternLlama3}}
	qwen2 := preTokenizer{nfc: true, regexes: []string{patternQwen2}}
	return map[string]preTokenizer{
		"gpt-2": {}, "smollm": {digits: true}, "starcoder": {digits: true}, "refact": {digits: true},
		"llama-bpe": llama3, "llama3": llama3, "llama-v3": llama3,
		"qwen2": qwen2, "deepseek-r1-qwen": qwen2, "qwen35": {nfc: true, regexes: []string{patternQwen35}},
		"gpt-4o": {ignoreMerges: true, regexes: []string{patternO200K}}, "tekken": {ignoreMerges: true, bos: true, regexes: []string{patternTekken}},
		"glm4": {ignoreMerges: true, regexes: []string{patternLlama3}}, "chatglm-bpe": {regexes: []string{patternLlama3}},
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
	case "bert":
		return convertBERT(v)
	case "t5":
		return convertT5(v)
	}
	return nil, fmt.Errorf("tokenizer.ggml.model %q is not known: gpt2 (byte-level BPE), llama (SentencePiece BPE), bert (WordPiece) and t5 (Unigram) are; take tokenizer.json from the original model", v.Model)
}

type object = map[string]any

// said is *b, or what llama.cpp takes where the file says nothing.
func said(b *bool, otherwise bool) bool {
	if b != nil {
		return *b
	}
	return otherwise
}

// typed makes sure of the tokens' types, without which specials are not known.
func (v *GGUFVocab) typed() error {
	if len(v.Types) != len(v.Tokens) {
		return fmt.Errorf("tokenizer.ggml.token_type has %d entries for %d tokens", len(v.Types), len(v.Tokens))
	}
	return nil
}

// token is the text of a special token, of id otherwise where the file has none.
func (v *GGUFVocab) token(which string, id, otherwise int32) (string, error) {
	if id < 0 {
		id = otherwise
	}
	if id < 0 {
		return "", fmt.Errorf("tokenizer.ggml.%s_token_id is missing, and a text is to have that token", which)
	}
	if int(id) >= len(v.Tokens) {
		return "", fmt.Errorf("tokenizer.ggml.%s_token_id is %d, the vocabulary has %d tokens", which, id, len(v.Tokens))
	}
	return v.Tokens[id], nil
}

// template is the post-processor that puts special tokens, with their ids in vocab,
// before and after a text; "" is none.
func template(vocab map[string]int, before, after string) any {
	if before == "" && after == "" {
		return nil
	}
	specials := object{}
	around := func(out []any, s string) []any {
		if s == "" {
			return out
		}
		specials[s] = object{"id": s, "ids": []int{vocab[s]}, "tokens": []string{s}}
		return append(out, object{"SpecialToken": object{"id": s, "type_id": 0}})
	}
	single := append(around(nil, before), object{"Sequence": object{"id": "A", "type_id": 0}})
	single = around(single, after)
	pair := append(slices.Clone(single), object{"Sequence": object{"id": "B", "type_id": 1}})
	return object{"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": specials}
}

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
	if v.BOS < 0 {
		v.AddBOS, pre.bos = nil, false
	}
	if v.EOS < 0 {
		v.AddEOS = nil
	}
	post, err := v.addedAround(vocab, pre.bos, false, -1, -1)
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
		"post_processor": post, "decoder": byteLevel(true),
		"model": object{
			"type": "BPE", "dropout": nil, "unk_token": nil, "continuing_subword_prefix": nil, "end_of_word_suffix": nil,
			"fuse_unk": false, "byte_fallback": false, "ignore_merges": pre.ignoreMerges, "vocab": vocab, "merges": v.Merges,
		},
	})
}
