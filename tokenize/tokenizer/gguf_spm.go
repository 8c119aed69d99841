package tokenizer

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// merge is two tokens that may become one.
type merge struct{ left, right, into int }

// controlTexts are cut out of a text as control tokens are, whatever their type: the
// ends of turns and marks of infilling that llama.cpp knows by their texts.
var controlTexts = []string{
	"<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>", "<end_of_turn>", "<|endoftext|>", "</s>",
	"<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<|end_of_text|>", "<end_of_utterance>", "<eos>", "<turn|>", "<|tool_response>",
	"<｜end▁of▁sentence｜>", "[e~[", "<|channel|>", "<|message|>", "<|start|>", "<|constrain|>",
	"<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<｜fim▁begin｜>", "<PRE>", "▁<PRE>", "<|code_prefix|>", "<|prefix|>",
	"<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<｜fim▁hole｜>", "<SUF>", "▁<SUF>", "<|code_suffix|>", "<|suffix|>",
	"<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<｜fim▁end｜>", "<MID>", "▁<MID>", "<|code_middle|>", "<|middle|>",
	"<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]", "<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>", "<|file_sep|>",
}

// convertSPM takes llama.cpp's kind llama (src/llama-vocab.cpp,
// llm_tokenizer_spm_session): the pair whose text is the token of the highest score
// is merged first, the leftmost of several. A tokenizer.json says so by the order of
// merges, in which any two tokens come one after the other: where two that merges
// make share a score, no order is right, which is an error, except of runs of one
// character, such as spaces: there the leftmost pair makes the longest run, because
// what stands on the left has grown first.
func convertSPM(v GGUFVocab) ([]byte, error) {
	if name := strings.ToLower(v.Name); strings.Contains(name, "phi-3") || strings.Contains(name, "phi3") {
		return nil, fmt.Errorf("general.name %q: the special tokens of Phi-3 take the white space after them, which a GGUF does not say; take tokenizer.json from the original model", v.Name)
	}
	if err := v.markControl(); err != nil {
		return nil, err
	}
	vocab, added, err := v.vocabulary(true)
	if err != nil {
		return nil, err
	}
	merges, err := v.merges(vocab)
	if err != nil {
		return nil, err
	}
	for c := range 256 {
		_, spelled := vocab[fmt.Sprintf("<0x%02X>", c)]
		if _, ok := vocab[string(rune(c))]; !spelled && (!ok || c >= utf8.RuneSelf) {
			return nil, fmt.Errorf("tokenizer.ggml.tokens: the byte token <0x%02X> is missing: characters without a token need it; take tokenizer.json from the original model", c)
		}
	}
	unk, err := v.token("unknown", v.UNK, 0)
	if err != nil {
		return nil, err
	}
	post, err := v.addedAround(vocab, true, false, 1, 2)
	if err != nil {
		return nil, err
	}
	normalizers := []any{object{"type": "Replace", "pattern": object{"String": " "}, "content": "▁"}}
	decoders := []any{object{"type": "Replace", "pattern": object{"String": "▁"}, "content": " "}, object{"type": "ByteFallback"}, object{"type": "Fuse"}}
	if said(v.AddSpacePrefix, true) {
		normalizers = slices.Insert(normalizers, 0, any(object{"type": "Prepend", "prepend": "▁"}))
		decoders = append(decoders, object{"type": "Strip", "content": " ", "start": 1, "stop": 0})
	}
	pairs := make([][2]string, len(merges))
	for i, m := range merges {
		pairs[i] = [2]string{v.Tokens[m.left], v.Tokens[m.right]}
	}
	return encodeJSON(object{
		"version": "1.0", "truncation": nil, "padding": nil, "added_tokens": added,
		"normalizer": object{"type": "Sequence", "normalizers": normalizers}, "pre_tokenizer": nil,
		"post_processor": post, "decoder": object{"type": "Sequence", "decoders": decoders},
		"model": object{
			"type": "BPE", "dropout": nil, "unk_token": unk, "continuing_subword_prefix": nil, "end_of_word_suffix": nil,
			"fuse_unk": true, "byte_fallback": true, "ignore_merges": false, "vocab": vocab, "merges": pairs,
		},
	})
}

// markControl makes control tokens of those that llama.cpp knows by their texts.
func (v *GGUFVocab) markControl() error {
	if err := v.typed(); err != nil {
		return err
	}
	v.Types = slices.Clone(v.Types)
	for id, s := range v.Tokens {
		if s == "" {
			return fmt.Errorf("tokenizer.ggml.tokens[%d] is empty", id)
		}
		if v.Types[id] != typeUserDefined && slices.Contains(controlTexts, s) {
			v.Types[id] = typeControl
		}
	}
	return nil
}

// addedAround is the post-processor that adds BOS and EOS; where the file does not
// say whether, or which they are, it is as given.
func (v *GGUFVocab) addedAround(vocab map[string]int, addBOS, addEOS bool, bos, eos int32) (any, error) {
	var before, after string
	var err error
	if said(v.AddBOS, addBOS) {
		if before, err = v.token("bos", v.BOS, bos); err != nil {
			return nil, err
		}
	}
	if said(v.AddEOS, addEOS) {
		if after, err = v.token("eos", v.EOS, eos); err != nil {
			return nil, err
		}
	}
	return template(vocab, before, after), nil
}

// maxMergeText bounds the texts of all merges, which need not be short for a small
// file. The 580,000 of Gemma 2 take 5 MB.
const maxMergeText = 1 << 26

// merges are all pairs of tokens whose texts join to a token's, the highest score
// first; those of one token by their ids, as transformers' conversion has them.
func (v *GGUFVocab) merges(vocab map[string]int) ([]merge, error) {
	if len(v.Scores) != len(v.Tokens) {
		return nil, fmt.Errorf("tokenizer.ggml.scores has %d entries for %d tokens", len(v.Scores), len(v.Tokens))
	}
	var out []merge
	size := 0
	for id, s := range v.Tokens {
		switch {
		case math.IsNaN(float64(v.Scores[id])):
			return nil, fmt.Errorf("tokenizer.ggml.scores[%d] is not a number", id)
		case len(s) > maxToken:
			return nil, fmt.Errorf("tokenizer.ggml.tokens[%d] has %d bytes: at most %d are possible", id, len(s), maxToken)
		case !utf8.ValidString(s):
			return nil, fmt.Errorf("tokenizer.ggml.tokens[%d]: %q is no UTF-8", id, s)
		case v.apart(id):
			continue
		}
		for i := range s {
			if i == 0 {
				continue
			}
			m := merge{into: id}
			var left, right bool
			m.left, left = vocab[s[:i]]
			m.right, right = vocab[s[i:]]
			if left && right {
				for _, part := range []int{m.left, m.right} {
					if _, ok := byteToken(v.Tokens[part]); ok {
						return nil, fmt.Errorf("tokenizer.ggml.tokens[%d]: %q begins or ends with a byte token, which no tokenizer.json can tell from text; take tokenizer.json from the original model", id, s)
					}
				}
				if size += len(s); size > maxMergeText {
					return nil, fmt.Errorf("tokenizer.ggml.tokens: the texts of all merges take more than %d bytes: this is no vocabulary", maxMergeText)
				}
				out = append(out, m)
				continue
			}
			// llama.cpp merges characters, too, that are no tokens themselves.
			if (left || utf8.RuneCountInString(s[:i]) == 1) && (right || utf8.RuneCountInString(s[i:]) == 1) {
				return nil, fmt.Errorf("tokenizer.ggml.tokens[%d]: %q consists of %q and %q, which are not both tokens; take tokenizer.json from the original model", id, s, s[:i], s[i:])
			}
		}
	}
	slices.SortFunc(out, func(a, b merge) int {
		if c := cmp.Compare(v.Scores[b.into], v.Scores[a.into]); c != 0 || a.into == b.into {
			return cmp.Or(c, a.left-b.left, a.right-b.right)
		}
		return cmp.Or(len(v.Tokens[b.into])-len(v.Tokens[a.into]), a.into-b.into)
	})
	for i := 1; i < len(out); i++ {
		if a, b := out[i-1].into, out[i].into; a != b && v.Scores[a] == v.Scores[b] && !sameRun(v.Tokens[a], v.Tokens[b]) {
			return nil, fmt.Errorf("tokenizer.ggml.scores: %q and %q share the score %v, so the order of their merges is not known; take tokenizer.json from the original model", v.Tokens[a], v.Tokens[b], v.Scores[a])
		}
	}
	return out, nil
}

// apart reports whether a token is cut out of every text before merges could make
// it. One with the space sign is not: spaces become that only afterwards.
func (v *GGUFVocab) apart(id int) bool {
	switch v.Types[id] {
	case typeUnknown, typeControl, typeUserDefined:
		return !strings.ContainsRune(v.Tokens[id], spaceSign)
	}
	return false
}

// sameRun reports whether a, which is not shorter than b, and b are one character,
// again and again.
func sameRun(a, b string) bool {
	_, n := utf8.DecodeRuneInString(a)
	return a == strings.Repeat(a[:n], len(a)/n) && strings.HasPrefix(a, b)
}
