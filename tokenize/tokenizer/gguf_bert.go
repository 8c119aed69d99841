package tokenizer

import (
	"fmt"
	"strings"
	"unicode"
)

// convertBERT takes llama.cpp's kind bert, a WordPiece whose tokens have ▁ where they
// begin a word and no ## where they go on with one (conversion/bert.py, phantom). It
// makes the tokenizer.json that such a vocabulary comes from; llama.cpp's own rules
// are near to it only (docs/tokenizers.md).
func convertBERT(v GGUFVocab) ([]byte, error) {
	if err := v.typed(); err != nil {
		return nil, err
	}
	vocab, added := make(map[string]int, len(v.Tokens)), []addedToken{}
	texts := make([]string, len(v.Tokens))
	cased := ""
	for id, s := range v.Tokens {
		special := v.Types[id] == typeControl || v.Types[id] == typeUnknown
		if v.Types[id] == typeUnused {
			continue
		}
		if !special {
			word, begins := strings.CutPrefix(s, "▁")
			if s = word; !begins {
				s = "##" + word
			}
			if v.Types[id] == typeNormal && capital(word) {
				cased = word
			}
		}
		if s == "" {
			return nil, fmt.Errorf("tokenizer.ggml.tokens[%d] is empty", id)
		}
		if other, twice := vocab[s]; twice {
			return nil, fmt.Errorf("tokenizer.ggml.tokens: %q has the ids %d and %d", s, other, id)
		}
		vocab[s], texts[id] = id, s
		if special || v.Types[id] == typeUserDefined {
			added = append(added, addedToken{ID: int32(id), Content: s, Special: special})
		}
	}
	if v.Lowercase == nil && cased != "" {
		return nil, fmt.Errorf("tokenizer.ggml.normalizer.lowercase is missing, and token %q has a capital letter: whether the model tells them from small ones is not known; take tokenizer.json from the original model", cased)
	}
	v.Tokens = texts
	// What llama.cpp takes where the file says nothing are the ids of BERT's first vocabulary.
	unk, err := v.token("unknown", v.UNK, 100)
	if err != nil {
		return nil, err
	}
	cls, err := v.token("bos", v.BOS, 101)
	if err != nil {
		return nil, err
	}
	sep, err := v.token("seperator", v.SEP, 102) // spelled so in the file
	if err != nil {
		return nil, err
	}
	if unk == "" || cls == "" || sep == "" {
		return nil, fmt.Errorf("tokenizer.ggml.token_type: one of unknown_token_id %d, bos_token_id %d, seperator_token_id %d is of an unused token", v.UNK, v.BOS, v.SEP)
	}
	return encodeJSON(object{
		"version": "1.0", "truncation": nil, "padding": nil, "added_tokens": added,
		"normalizer": object{
			"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
			"strip_accents": v.StripAccents, "lowercase": said(v.Lowercase, true),
		},
		"pre_tokenizer":  object{"type": "BertPreTokenizer"},
		"post_processor": template(vocab, cls, sep),
		"decoder":        object{"type": "WordPiece", "prefix": "##", "cleanup": true},
		"model": object{
			"type": "WordPiece", "unk_token": unk, "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": vocab,
		},
	})
}

// capital reports whether s is letters, with capitals among them.
func capital(s string) bool {
	for _, r := range s {
		if !unicode.IsLetter(r) {
			return false
		}
	}
	return strings.ToLower(s) != s
}
