package tokenizer

import "unicode/utf8"

// wordPiece takes the longest token that the rest of the word begins with; a word
// with a rest that begins with none is unknown (huggingface/tokenizers,
// models/wordpiece).
type wordPiece struct {
	first, rest *trie // tokens that begin a word, and that go on with one, without their prefix
	unk         int32
	most        int // characters of a word; longer ones are unknown
}

func (m *wordPiece) tokenize(_ *encoder, w string, out []piece) []piece {
	from := len(out)
	unknown := piece{m.unk, 0, int32(len(w))}
	if utf8.RuneCountInString(w) > m.most {
		return append(out, unknown)
	}
	tokens := m.first
	for lo := 0; lo < len(w); {
		end, id := lo, int32(-1)
		for k, at := lo, int32(0); k < len(w); {
			if at = tokens.step(at, w[k]); at < 0 {
				break
			}
			k++
			if tokens.ids[at] >= 0 {
				end, id = k, tokens.ids[at]
			}
		}
		if id < 0 {
			return append(out[:from], unknown)
		}
		out = append(out, piece{id, int32(lo), int32(end)})
		lo, tokens = end, m.rest
	}
	return out
}
