package template

import (
	"strings"
	"unicode"
	"unicode/utf8"

	xcases "golang.org/x/text/cases"
	"golang.org/x/text/language"
)

// Python changes the case of a character to all that Unicode says: ß to SS, ﬁ to
// FI, İ to i and a dot, and Σ to ς at the end of a word.

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(c rune) bool { return c >= utf8.RuneSelf }) < 0
}

// upper is str.upper.
func upper(s string) string {
	if isASCII(s) {
		return strings.ToUpper(s)
	}
	return xcases.Upper(language.Und).String(s)
}

// lower is str.lower.
func lower(s string) string {
	if isASCII(s) {
		return strings.ToLower(s)
	}
	return xcases.Lower(language.Und).String(s)
}

// titled is str.title of one character.
func titled(c string) string {
	if isASCII(c) {
		return strings.ToUpper(c)
	}
	return xcases.Title(language.Und).String(c)
}

// isCased reports whether a character has a case.
func isCased(c rune) bool {
	return unicode.IsUpper(c) || unicode.IsLower(c) || unicode.IsTitle(c) || unicode.In(c, unicode.Other_Lowercase, unicode.Other_Uppercase)
}

// titleCase raises, with first, the characters before which start says yes, and
// lowers the others.
func (r *run) titleCase(t Text, first func(c string) string, start func(prev rune) bool) Text {
	prev := rune(-1)
	return r.eachRune(t, func(s string) string {
		low := lower(s) // of the whole, for Σ
		var b strings.Builder
		for _, c := range s {
			n := len(lower(string(c)))
			if start(prev) {
				b.WriteString(first(string(c)))
			} else {
				b.WriteString(low[:n])
			}
			low = low[n:]
			prev = c
		}
		return b.String()
	})
}
