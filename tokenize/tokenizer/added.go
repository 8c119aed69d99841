package tokenizer

import (
	"cmp"
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
type matcher struct {
	tokens []addedToken // by content
	begins [256]bool    // first bytes
	only   int          // the one first byte; -1: there are others
}

func (m *matcher) insert(a addedToken) { m.tokens = append(m.tokens, a) }

// build is to be called after the last insert. Of tokens with one content, the
// last counts.
func (m *matcher) build() {
	slices.Reverse(m.tokens)
	slices.SortStableFunc(m.tokens, func(a, b addedToken) int { return cmp.Compare(a.Content, b.Content) })
	m.tokens = slices.CompactFunc(m.tokens, func(a, b addedToken) bool { return a.Content == b.Content })
	m.only = -1
	for i, a := range m.tokens {
		c := a.Content[0]
		m.begins[c] = true
		switch {
		case i == 0:
			m.only = int(c)
		case m.only != int(c):
			m.only = -1
		}
	}
}

// each calls yield for every piece of s in order: an added token, or the text
// between two with id -1. Text between is not empty.
func (m *matcher) each(s string, yield func(lo, hi int, id int32)) {
	done := 0
	for i := 0; len(m.tokens) > 0; {
		if i = m.candidate(s, i); i == len(s) {
			break
		}
		a := m.at(s[i:])
		if a == nil {
			i++
			continue
		}
		lo, hi := i, i+len(a.Content)
		i = hi
		if a.SingleWord && (wordBefore(s, lo) || wordAfter(s, hi)) {
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
		done = hi
	}
	if done < len(s) {
		yield(done, len(s), -1)
	}
}

// candidate is the next place where a token may begin, or the end.
func (m *matcher) candidate(s string, i int) int {
	if m.only >= 0 {
		if k := strings.IndexByte(s[i:], byte(m.only)); k >= 0 {
			return i + k
		}
		return len(s)
	}
	for i < len(s) && !m.begins[s[i]] {
		i++
	}
	return i
}

// at is the longest token that s begins with: of the tokens in order, those that
// agree with s are narrowed down byte by byte.
func (m *matcher) at(s string) (found *addedToken) {
	l := m.tokens
	for k := 0; len(l) > 0; k++ {
		if len(l[0].Content) == k {
			found, l = &l[0], l[1:]
		}
		if k == len(s) || len(l) == 0 {
			break
		}
		lo, _ := slices.BinarySearchFunc(l, s[k], func(a addedToken, c byte) int { return cmp.Compare(a.Content[k], c) })
		n, _ := slices.BinarySearchFunc(l[lo:], int(s[k])+1, func(a addedToken, c int) int { return cmp.Compare(int(a.Content[k]), c) })
		l = l[lo : lo+n]
	}
	return found
}

func wordBefore(s string, i int) bool {
	r, n := utf8.DecodeLastRuneInString(s[:i])
	return n > 0 && isWord(r)
}

func wordAfter(s string, i int) bool {
	r, n := utf8.DecodeRuneInString(s[i:])
	return n > 0 && isWord(r)
}
