package main

import (
	"slices"
	"strings"
)

// bpe is a byte-level BPE vocabulary in the manner of GPT-2, with digits one by
// one as SmolLM2 has them.
type bpe struct {
	tokens []string // by id, in GPT-2's printable spelling of bytes
	merges [][2]string
}

var special = []string{"<|endoftext|>", "<|im_start|>", "<|im_end|>"}

// learnBPE learns merges from the rows' texts until the vocabulary has size
// tokens, or no pair occurs twice (Sennrich et al. 2016, algorithm 1). Ties go
// to the pair that sorts first.
func learnBPE(rows []row, size int) *bpe {
	b := &bpe{tokens: slices.Clone(special)}
	for c := range 256 {
		b.tokens = append(b.tokens, byteSpelling(byte(c)))
	}
	counts := map[string]int{}
	for _, r := range rows {
		for _, m := range r.Messages {
			for _, w := range words(m.Role + "\n" + m.Content) {
				counts[w]++
			}
		}
	}
	type word struct {
		parts []string
		n     int
	}
	var corpus []word
	for w, n := range counts {
		var parts []string
		for _, c := range []byte(w) {
			parts = append(parts, byteSpelling(c))
		}
		corpus = append(corpus, word{parts, n})
	}
	for len(b.tokens) < size {
		pairs := map[[2]string]int{}
		for _, w := range corpus {
			for i := 1; i < len(w.parts); i++ {
				pairs[[2]string{w.parts[i-1], w.parts[i]}] += w.n
			}
		}
		var best [2]string
		for p, n := range pairs {
			m := pairs[best]
			if n > m || n == m && (p[0] < best[0] || p[0] == best[0] && p[1] < best[1]) {
				best = p
			}
		}
		if pairs[best] < 2 {
			break
		}
		b.merges = append(b.merges, best)
		b.tokens = append(b.tokens, best[0]+best[1])
		for i := range corpus {
			parts := corpus[i].parts
			for j := 0; j+1 < len(parts); j++ {
				if parts[j] == best[0] && parts[j+1] == best[1] {
					parts = slices.Replace(parts, j, j+2, best[0]+best[1])
				}
			}
			corpus[i].parts = parts
		}
	}
	return b
}

// words cuts text as the pre-tokenizer in json does, for the characters that
// the world uses: letters with the space before them, digits one by one, and
// runs of the rest.
func words(text string) []string {
	var out []string
	class := func(c byte) int {
		switch {
		case c >= '0' && c <= '9':
			return 0
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
			return 1
		case c == ' ' || c == '\n':
			return 2
		}
		return 3
	}
	for i := 0; i < len(text); {
		j := i
		if text[j] == ' ' && j+1 < len(text) && class(text[j+1]) != 0 {
			j++
		}
		k := j + 1
		for c := class(text[j]); c != 0 && c != 2 && k < len(text) && class(text[k]) == c; k++ {
		}
		out = append(out, text[i:k])
		i = k
	}
	return out
}

func (b *bpe) size() int { return len(b.tokens) }

// json is the vocabulary as a Hugging Face tokenizer.json.
func (b *bpe) json() map[string]any {
	var added []map[string]any
	for id, t := range special {
		added = append(added, map[string]any{"id": id, "content": t, "single_word": false,
			"lstrip": false, "rstrip": false, "normalized": false, "special": true})
	}
	vocab := map[string]int{}
	for id, t := range b.tokens {
		vocab[t] = id
	}
	merges := make([]string, len(b.merges))
	for i, m := range b.merges {
		merges[i] = strings.Join(m[:], " ")
	}
	byteLevel := map[string]any{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}
	return map[string]any{
		"version": "1.0", "truncation": nil, "padding": nil, "added_tokens": added, "normalizer": nil,
		"pre_tokenizer": map[string]any{"type": "Sequence", "pretokenizers": []any{
			map[string]any{"type": "Digits", "individual_digits": true}, byteLevel}},
		"post_processor": nil, "decoder": byteLevel,
		"model": map[string]any{"type": "BPE", "dropout": nil, "unk_token": nil, "continuing_subword_prefix": nil,
			"end_of_word_suffix": nil, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
			"vocab": vocab, "merges": merges},
	}
}

// byteSpelling is GPT-2's bytes_to_unicode (openai/gpt-2, encoder.py): printable
// Latin-1 as it is, the others from U+0100 on.
func byteSpelling(c byte) string {
	n := rune(0)
	for x := rune(0); x < 256; x++ {
		printable := x >= '!' && x <= '~' || x >= 0xa1 && x <= 0xac || x >= 0xae && x <= 0xff
		if x == rune(c) {
			if printable {
				return string(x)
			}
			return string(256 + n)
		}
		if !printable {
			n++
		}
	}
	panic("unreachable")
}
