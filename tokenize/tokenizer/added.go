package tokenizer

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// addedToken is an entry of added_tokens (huggingface/tokenizers,
// tokenizer/added_vocabulary.rs).
type addedToken struct {
	ID         int32  `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"`
	LStrip     bool   `json:"lstrip"`
	RStrip     bool   `json:"rstrip"`
	Normalized bool   `json:"normalized"`
	Special    bool   `json:"special"`
}

// matcher finds added tokens: the leftmost, and of those the longest.
type matcher struct{ by [256][]addedToken } // by first byte, longest first

func (m *matcher) insert(a addedToken) {
	l := &m.by[a.Content[0]]
	*l = append(*l, a)
	slices.SortStableFunc(*l, func(a, b addedToken) int { return len(b.Content) - len(a.Content) })
}

// each calls yield for every piece of s in order: an added token, or the text
// between two with id -1. Pieces are not empty.
func (m *matcher) each(s string, yield func(lo, hi int, id int32)) {
	done := 0
	for i := 0; i < len(s); {
		a := m.at(s, i)
		if a == nil {
			i++
			continue
		}
		lo, hi := i, i+len(a.Content)
		if a.SingleWord && (wordBefore(s, lo) || wordAfter(s, hi)) {
			i = hi
			continue
		}
		if a.LStrip {
			lo = max(done, len(strings.TrimRightFunc(s[:lo], unicode.IsSpace)))
		}
		if a.RStrip {
			hi = len(s) - len(strings.TrimLeftFunc(s[hi:], unicode.IsSpace))
		}
		if done < lo {
			yield(done, lo, -1)
		}
		yield(lo, hi, a.ID)
		done, i = hi, hi
	}
	if done < len(s) {
		yield(done, len(s), -1)
	}
}

func (m *matcher) at(s string, i int) *addedToken {
	l := m.by[s[i]]
	for k := range l {
		if strings.HasPrefix(s[i:], l[k].Content) {
			return &l[k]
		}
	}
	return nil
}

// isWord is \w of Rust's regex crate (Unicode Technical Standard #18, annex C).
func isWord(r rune) bool {
	return unicode.IsLetter(r) || unicode.In(r, unicode.M, unicode.Nd, unicode.Nl, unicode.Pc, unicode.Other_Alphabetic) || r == '\u200c' || r == '\u200d'
}

func wordBefore(s string, i int) bool {
	r, n := utf8.DecodeLastRuneInString(s[:i])
	return n > 0 && isWord(r)
}

func wordAfter(s string, i int) bool {
	r, n := utf8.DecodeRuneInString(s[i:])
	return n > 0 && isWord(r)
}
