package tokenizer

import (
	"unicode"
	"unicode/utf8"
)

// splitter returns the length of the first piece of s, which is not empty.
// Each one is a published pattern, written as a scanner: linear, and without a
// regular expression engine that Go's standard library does not have
// (lookahead).
type splitter func(s string) int

// The published patterns, to the letter as they stand in tokenizer.json.
const (
	patternGPT2   = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
	patternLlama3 = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	patternQwen2  = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
)

var patterns = map[string]splitter{
	patternGPT2:   splitGPT2,
	patternLlama3: func(s string) int { return splitCL100K(s, 3) },
	patternQwen2:  func(s string) int { return splitCL100K(s, 1) },
}

type class uint8

const (
	other class = iota
	letter
	number
	space
)

var ascii = func() (t [utf8.RuneSelf]class) {
	for r := range t {
		t[r] = classOf(rune(r))
	}
	return t
}()

func classOf(r rune) class {
	switch {
	case unicode.IsLetter(r):
		return letter
	case unicode.In(r, unicode.N):
		return number
	case unicode.IsSpace(r):
		return space
	}
	return other
}

// peek is the character at s[i:], its class and its length; length 0 at the end.
func peek(s string, i int) (rune, class, int) {
	if i >= len(s) {
		return 0, other, 0
	}
	if c := s[i]; c < utf8.RuneSelf {
		return rune(c), ascii[c], 1
	}
	r, n := utf8.DecodeRuneInString(s[i:])
	return r, classOf(r), n
}

// run is the end of the run of class c from s[i:].
func run(s string, i int, c class) int {
	for {
		_, k, n := peek(s, i)
		if n == 0 || k != c {
			return i
		}
		i += n
	}
}

// splitGPT2 is ByteLevel's own pattern (openai/gpt-2, encoder.py).
func splitGPT2(s string) int {
	if n := contraction(s, false); n > 0 {
		return n
	}
	i := 0
	_, c, n := peek(s, 0)
	if s[0] == ' ' {
		if _, next, m := peek(s, 1); m > 0 && next != space {
			i, c, n = 1, next, m
		}
	}
	if c != space {
		return run(s, i+n, c)
	}
	return spaces(s)
}

// spaces is \s+(?!\S)|\s+: all of a run but its last, if something follows.
func spaces(s string) int {
	i, last := 0, 0
	for {
		_, c, n := peek(s, i)
		if n == 0 {
			return i
		}
		if c != space {
			break
		}
		i, last = i+n, n
	}
	if i > last {
		return i - last
	}
	return i
}

// contraction matches 's 't 're 've 'm 'll 'd; folded, in either case, and s
// also as U+017F, which case folding makes of it.
func contraction(s string, fold bool) int {
	if len(s) < 2 || s[0] != '\'' {
		return 0
	}
	lower := func(i int) (rune, int) {
		r, _, n := peek(s, i)
		if fold && r >= 'A' && r <= 'Z' {
			r += 'a' - 'A'
		} else if fold && r == 'ſ' {
			r = 's'
		}
		return r, n
	}
	a, n := lower(1)
	switch a {
	case 's', 't', 'm', 'd':
		return 1 + n
	}
	b, m := lower(1 + n)
	switch {
	case a == 'r' && b == 'e', a == 'v' && b == 'e', a == 'l' && b == 'l':
		return 1 + n + m
	}
	return 0
}

// splitCL100K is the pattern of cl100k and its kin; digits is the longest run
// of numbers that stays together.
func splitCL100K(s string, digits int) int {
	if n := contraction(s, true); n > 0 {
		return n
	}
	r, c, n := peek(s, 0)
	if c == letter {
		return run(s, n, letter)
	}
	if c != number && r != '\r' && r != '\n' { // [^\r\n\p{L}\p{N}]?\p{L}+
		if _, next, m := peek(s, n); m > 0 && next == letter {
			return run(s, n+m, letter)
		}
	}
	if c == number {
		i := n
		for range digits - 1 {
			_, k, m := peek(s, i)
			if m == 0 || k != number {
				break
			}
			i += m
		}
		return i
	}
	i := 0
	if r == ' ' { // " ?[^\s\p{L}\p{N}]+[\r\n]*"
		if _, next, m := peek(s, 1); m > 0 && next == other {
			i, c = 1, other
		}
	}
	if c == other {
		i = run(s, i, other)
		for i < len(s) && (s[i] == '\r' || s[i] == '\n') {
			i++
		}
		return i
	}
	// \s*[\r\n]+ takes a run of white space up to its last line break.
	end := run(s, 0, space)
	for k := end; k > 0; k-- {
		if s[k-1] == '\r' || s[k-1] == '\n' {
			return k
		}
	}
	return spaces(s)
}

// splitDigits isolates every number (char::is_numeric: Nd, Nl, No).
func splitDigits(s string) int {
	_, c, n := peek(s, 0)
	if c == number {
		return n
	}
	for {
		_, c, m := peek(s, n)
		if m == 0 || c == number {
			return n
		}
		n += m
	}
}
