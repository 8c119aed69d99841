package tokenizer

import (
	"fmt"
	"math"
)

// convertT5 takes llama.cpp's kind t5, SentencePiece's Unigram (conversion/t5.py). It
// makes the tokenizer.json that transformers makes of T5's and XLM-R's vocabularies,
// and where spaces are kept one that keeps them as SentencePiece does.
func convertT5(v GGUFVocab) ([]byte, error) {
	if err := v.markControl(); err != nil {
		return nil, err
	}
	if len(v.Scores) != len(v.Tokens) {
		return nil, fmt.Errorf("tokenizer.ggml.scores has %d entries for %d tokens", len(v.Scores), len(v.Tokens))
	}
	// Rows of the embeddings without a token, whose score of -10000 would make an
	// unknown character dearer than it is.
	for n := len(v.Tokens); n > 0 && v.Types[n-1] == typeUnused; n-- {
		v.Tokens, v.Types, v.Scores = v.Tokens[:n-1], v.Types[:n-1], v.Scores[:n-1]
	}
	ids, added, err := v.vocabulary(true)
	if err != nil {
		return nil, err
	}
	if v.UNK < 0 {
		v.UNK = 2
	}
	if _, err := v.token("unknown", v.UNK, 2); err != nil {
		return nil, err
	}
	vocab := make([][2]any, len(v.Tokens))
	for id, s := range v.Tokens {
		score := float64(v.Scores[id])
		if math.IsNaN(score) || math.IsInf(score, 0) {
			return nil, fmt.Errorf("tokenizer.ggml.scores[%d] is not a number", id)
		}
		vocab[id] = [2]any{s, score}
	}
	prefix, merge := said(v.AddSpacePrefix, false), said(v.RemoveExtraSpaces, false)
	if merge && !prefix {
		return nil, fmt.Errorf("tokenizer.ggml.add_space_prefix is false and remove_extra_whitespaces true: llama.cpp puts a space before a text all the same, SentencePiece does not; take tokenizer.json from the original model")
	}
	metaspace := object{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true}
	normalizers, pre := []any{}, any(nil)
	if len(v.CharsMap) > 0 {
		normalizers = append(normalizers, object{"type": "Precompiled", "precompiled_charsmap": v.CharsMap})
	}
	if merge {
		pre = object{"type": "Sequence", "pretokenizers": []any{object{"type": "WhitespaceSplit"}, metaspace}}
	} else {
		if prefix {
			normalizers = append(normalizers, object{"type": "Prepend", "prepend": "▁"})
		} else {
			metaspace["prepend_scheme"] = "never"
		}
		normalizers = append(normalizers, object{"type": "Replace", "pattern": object{"String": " "}, "content": "▁"})
	}
	post, err := v.addedAround(ids, false, true, -1, 1)
	if err != nil {
		return nil, err
	}
	return encodeJSON(object{
		"version": "1.0", "truncation": nil, "padding": nil, "added_tokens": added,
		"normalizer":    object{"type": "Sequence", "normalizers": normalizers},
		"pre_tokenizer": pre, "post_processor": post, "decoder": metaspace,
		"model": object{"type": "Unigram", "unk_id": v.UNK, "byte_fallback": false, "vocab": vocab},
	})
}
