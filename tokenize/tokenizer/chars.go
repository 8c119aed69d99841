package tokenizer

import (
	"sync"
	"unicode"
	"unicode/utf8"
)

// What the published patterns ask of a character.
const (
	letter  = 1 << iota // \p{L}
	upper               // [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]
	lower               // [\p{Ll}\p{Lm}\p{Lo}\p{M}]
	mark                // \p{M}
	number              // \p{N}
	punct               // [\p{P}\p{S}]
	space               // \s
	newline             // [\r\n]

	either = letter | upper | lower // a letter without case
)

// classes holds the bits of every character, made once: Go's tables of Unicode
// 15 and what Oniguruma's of Unicode 16 have beyond them.
var (
	classes   [unicode.MaxRune + 1]uint8
	classOnce sync.Once
)

func fillClasses() {
	set := func(t *unicode.RangeTable, bits uint8) {
		for _, r := range t.R16 {
			for c := rune(r.Lo); c <= rune(r.Hi); c += rune(r.Stride) {
				classes[c] |= bits
			}
		}
		for _, r := range t.R32 {
			for c := rune(r.Lo); c <= rune(r.Hi); c += rune(r.Stride) {
				classes[c] |= bits
			}
		}
	}
	for _, c := range []struct {
		t    *unicode.RangeTable
		bits uint8
	}{
		{unicode.Lu, letter | upper}, {unicode.Lt, letter | upper}, {unicode.Ll, letter | lower}, {unicode.Lm, either}, {unicode.Lo, either},
		{unicode.M, mark | upper | lower}, {unicode.N, number}, {unicode.P, punct}, {unicode.S, punct}, {unicode.White_Space, space},
	} {
		set(c.t, c.bits)
	}
	for _, y := range youngClasses {
		for c := y.lo; c <= y.hi; c++ {
			classes[c] |= y.bits
		}
	}
	classes['\r'] |= newline
	classes['\n'] |= newline
}

// at is the bits of the character at s[i:] and its length; length 0 at the end.
func at(s string, i int) (uint8, int) {
	if i >= len(s) {
		return 0, 0
	}
	if c := s[i]; c < utf8.RuneSelf {
		return classes[c], 1
	}
	r, n := utf8.DecodeRuneInString(s[i:])
	return classes[r], n
}

// while is the end of the run from s[i:] of characters with one of the bits.
func while(s string, i int, bits uint8) int {
	for i < len(s) {
		if c := s[i]; c < utf8.RuneSelf {
			if classes[c]&bits == 0 {
				return i
			}
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if classes[r]&bits == 0 {
			return i
		}
		i += n
	}
	return i
}

// until is the end of the run from s[i:] of characters with none of the bits.
func until(s string, i int, bits uint8) int {
	for i < len(s) {
		if c := s[i]; c < utf8.RuneSelf {
			if classes[c]&bits != 0 {
				return i
			}
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if classes[r]&bits != 0 {
			return i
		}
		i += n
	}
	return i
}
