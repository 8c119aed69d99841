package report

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"
)

// kind is what a token is made of, whatever stands around it.
type kind uint8

const (
	kindUnknown kind = iota // no spelling
	kindSpecial             // an added token marked special
	kindSpace               // nothing but white space
	kindWord                // has a letter
	kindBytes               // part of a character
	kindDigit               // digits, no letter
	kindMarkup              // one of markupSigns, no letter or digit
	kindPunct               // anything else
)

// markupSigns are the characters of markup, code and formulas; a token without
// letters and digits that has one counts as markup and syntax.
const markupSigns = "<>{}[]()|\\/=*#_~^@&$%+`"

// token is what the report knows of a token on its own.
type token struct {
	kind  kind
	start bool   // begins with white space, or no word can go on with it
	ends  bool   // a word may go on after it
	text  string // without white space around it; "" if kindUnknown
}

func describeToken(b []byte, special bool) token {
	if b == nil {
		return token{}
	}
	if special {
		return token{kind: kindSpecial, text: string(b)}
	}
	s := bytes.TrimSpace(b)
	t := token{text: string(s)}
	if len(s) == 0 {
		t.kind = kindSpace
		return t
	}
	if !utf8.Valid(s) {
		t.kind, t.ends = kindBytes, true
		return t
	}
	inside := func(r rune) bool { return unicode.IsLetter(r) || unicode.IsMark(r) || unicode.IsNumber(r) }
	last, _ := utf8.DecodeLastRune(b)
	t.start, t.ends = len(b) > len(s) && b[0] != s[0], inside(last)
	switch text := t.text; {
	case strings.ContainsFunc(text, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsMark(r) }):
		t.kind = kindWord
	case strings.ContainsFunc(text, unicode.IsNumber):
		t.kind = kindDigit
	case strings.ContainsAny(text, markupSigns):
		t.kind = kindMarkup
	default:
		t.kind = kindPunct
	}
	return t
}

// Classes of tokens in the report.
var classNames = [...]string{"word_start", "word_inside", "digit", "punctuation", "whitespace", "markup", "unknown"}

const (
	classStart = iota
	classInside
	classDigit
	classPunct
	classSpace
	classMarkup
	classUnknown
)

// class of a token that follows previous, which is the zero token where it is
// not known.
func (t *token) class(previous *token) int {
	switch t.kind {
	case kindSpecial, kindMarkup:
		return classMarkup
	case kindSpace:
		return classSpace
	case kindDigit:
		return classDigit
	case kindPunct:
		return classPunct
	case kindBytes:
		return classInside
	case kindWord:
		if t.start || !previous.ends {
			return classStart
		}
		return classInside
	}
	return classUnknown
}

// Why a conflict is there, as far as the record can tell. The first that fits.
var whyNames = [...]string{"format", "tokenization", "variant", "number", "repeated", "content", "unknown"}

const (
	whyFormat    = iota // template, format, markup or punctuation on either side
	whyArtefact         // the two tokens spell prefixes of each other
	whyVariant          // the same but for case, white space, or a letter more or two swapped
	whyNumber           // one number for another
	whyRepeated         // a content conflict after the same 8 tokens in repeatedRows rows
	whyContent          // one word for another
	whyUndecided        // no spelling
)

// repeatedRows is in how many rows a conflict must stand to count as repeated.
const repeatedRows = 3

// why classifies given against expected; outside: the token stands in no
// message's span, so the template wrote it. It never says whyRepeated, which
// takes more than one record.
func why(given, expected *token, outside bool) int {
	either := func(k kind) bool { return given.kind == k || expected.kind == k }
	switch {
	case outside || either(kindSpecial) || either(kindMarkup) || either(kindPunct):
		return whyFormat
	case either(kindUnknown):
		return whyUndecided
	case strings.HasPrefix(given.text, expected.text) || strings.HasPrefix(expected.text, given.text):
		if given.text == expected.text {
			return whyVariant // white space apart
		}
		return whyArtefact
	case either(kindSpace):
		return whyFormat
	case !either(kindBytes) && strings.EqualFold(given.text, expected.text): // to it all parts of characters are one
		return whyVariant
	case given.kind == kindDigit && expected.kind == kindDigit:
		return whyNumber
	case given.kind == kindWord && expected.kind == kindWord && oneEdit(given.text, expected.text):
		return whyVariant
	}
	return whyContent
}

// oneEdit reports words of five letters and more that begin alike and differ by
// a letter left out or put in, or by two that are swapped: two spellings more
// often than two words. A letter changed is not: Paul and Saul are two.
func oneEdit(a, b string) bool {
	x, y := []rune(strings.ToLower(a)), []rune(strings.ToLower(b))
	if len(x) > len(y) {
		x, y = y, x
	}
	if len(x) < 5 || len(y)-len(x) > 1 || x[0] != y[0] {
		return false
	}
	for len(x) > 0 && x[0] == y[0] {
		x, y = x[1:], y[1:]
	}
	for len(x) > 0 && x[len(x)-1] == y[len(y)-1] {
		x, y = x[:len(x)-1], y[:len(y)-1]
	}
	return len(x) == 0 && len(y) == 1 || len(x) == 2 && len(y) == 2 && x[0] == y[1] && x[1] == y[0]
}
