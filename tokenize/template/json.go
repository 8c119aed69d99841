package template

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Dict is a JSON object in the order it was written; of a key that repeats the
// last value counts, at the place of the first, as in Python.
type Dict struct {
	Keys   []string
	Values map[string]any
}

// Get is the value of key.
func (d *Dict) Get(key string) (any, bool) {
	v, ok := d.Values[key]
	return v, ok
}

// Set changes key or adds it at the end.
func (d *Dict) Set(key string, v any) {
	if _, ok := d.Values[key]; !ok {
		d.Keys = append(d.Keys, key)
	}
	d.Values[key] = v
}

// NewDict is an empty dict.
func NewDict() *Dict { return &Dict{Values: map[string]any{}} }

// newDict is an empty dict with room for n keys.
func newDict(n int) *Dict { return &Dict{make([]string, 0, n), make(map[string]any, n)} }

// maxJSONDepth bounds how deep values nest, for rows are untrusted.
const maxJSONDepth = 200

// DecodeJSON reads exactly one JSON value: nil, bool, json.Number, string,
// []any or *Dict. Bytes that are no UTF-8 become U+FFFD, as in encoding/json; an
// escape that is half of a surrogate pair is an error, which names its path, as no
// tokenizer takes it.
func DecodeJSON(data []byte) (v any, err error) {
	d := &decoder{s: string(data)}
	defer func() {
		if e := recover(); e != nil {
			bad, ok := e.(jsonError)
			if !ok {
				panic(e)
			}
			v, err = nil, fmt.Errorf("malformed JSON at byte %d: %w", d.i, bad.error)
		}
	}()
	v = d.value(0)
	if d.half != "" {
		if d.where = strings.TrimPrefix(d.where, "."); d.where != "" {
			d.where = "in " + d.where + ": "
		}
		d.fail("%s%s is half of a surrogate pair, no character, as of a text that was cut within one", d.where, d.half)
	}
	if d.space(); d.i < len(d.s) {
		d.fail("more than one value")
	}
	return v, nil
}

type jsonError struct{ error }

// decoder reads the values of s from byte i on.
type decoder struct {
	s     string
	i     int    // of half the first byte, once there is one
	half  string // the first escape that is half of a surrogate pair; "" for none
	where string // the path to it, as far as it is unwound
}

func (d *decoder) fail(format string, a ...any) { panic(jsonError{fmt.Errorf(format, a...)}) }

// unexpected fails for the byte at i.
func (d *decoder) unexpected(want string) {
	if d.i >= len(d.s) {
		panic(jsonError{io.ErrUnexpectedEOF})
	}
	c, _ := utf8.DecodeRuneInString(d.s[d.i:])
	d.fail("%q stands where %s should", c, want)
}

func (d *decoder) space() {
	for d.i < len(d.s) && (d.s[d.i] == ' ' || d.s[d.i] == '\n' || d.s[d.i] == '\t' || d.s[d.i] == '\r') {
		d.i++
	}
}

// next skips white space and the byte c, if that comes.
func (d *decoder) next(c byte) bool {
	d.space()
	if d.i < len(d.s) && d.s[d.i] == c {
		d.i++
		return true
	}
	return false
}

func (d *decoder) value(depth int) any {
	d.space()
	if d.i >= len(d.s) {
		d.unexpected("a value")
	}
	switch c := d.s[d.i]; c {
	case '{', '[':
		if depth == maxJSONDepth {
			d.fail("nested deeper than %d", maxJSONDepth)
		}
		d.i++
		if c == '{' {
			return d.object(depth)
		}
		return d.array(depth)
	case '"':
		d.i++
		return d.text()
	case 't':
		return d.word("true", true)
	case 'f':
		return d.word("false", false)
	case 'n':
		return d.word("null", nil)
	}
	return d.number()
}

func (d *decoder) word(word string, v any) any {
	for k := range len(word) {
		if d.i >= len(d.s) || d.s[d.i] != word[k] {
			d.unexpected(word)
		}
		d.i++
	}
	return v
}

func (d *decoder) array(depth int) []any {
	list := []any{}
	if d.next(']') {
		return list
	}
	for {
		list = append(list, d.value(depth+1))
		if d.half != "" {
			d.where = fmt.Sprintf("[%d]%s", len(list)-1, d.where)
			return list
		}
		if d.next(']') {
			return list
		}
		if !d.next(',') {
			d.unexpected("a comma or a bracket")
		}
	}
}

func (d *decoder) object(depth int) *Dict {
	o := NewDict()
	if d.next('}') {
		return o
	}
	for {
		if !d.next('"') {
			d.unexpected("a key")
		}
		key := d.text()
		if d.half == "" {
			if !d.next(':') {
				d.unexpected("a colon")
			}
			o.Set(key, d.value(depth+1))
		}
		if d.half != "" {
			d.where = "." + key + d.where
			return o
		}
		if d.next('}') {
			return o
		}
		if !d.next(',') {
			d.unexpected("a comma or a brace")
		}
	}
}

func (d *decoder) number() json.Number {
	start := d.i
	digits := func() {
		from := d.i
		for d.i < len(d.s) && d.s[d.i] >= '0' && d.s[d.i] <= '9' {
			d.i++
		}
		if d.i == from {
			d.unexpected("a value")
		}
	}
	if d.s[d.i] == '-' {
		d.i++
	}
	if d.i < len(d.s) && d.s[d.i] == '0' {
		d.i++
	} else {
		digits()
	}
	if d.i < len(d.s) && d.s[d.i] == '.' {
		d.i++
		digits()
	}
	if d.i < len(d.s) && (d.s[d.i] == 'e' || d.s[d.i] == 'E') {
		d.i++
		if d.i < len(d.s) && (d.s[d.i] == '+' || d.s[d.i] == '-') {
			d.i++
		}
		digits()
	}
	return json.Number(d.s[start:d.i])
}

// text reads a string behind its opening quote.
func (d *decoder) text() string {
	start, wide := d.i, false
	for ; d.i < len(d.s); d.i++ {
		switch c := d.s[d.i]; {
		case c == '"':
			s := d.s[start:d.i]
			d.i++
			if wide {
				return validJSON(s)
			}
			return s
		case c == '\\':
			return d.escaped(start)
		case c < 0x20:
			d.unexpected("an escape of it")
		case c >= utf8.RuneSelf:
			wide = true
		}
	}
	d.unexpected("a quote")
	return ""
}

// escaped reads the rest of a string that began at start and has an escape at i.
func (d *decoder) escaped(start int) string {
	b := []byte(d.s[start:d.i])
	for d.i < len(d.s) {
		c := d.s[d.i]
		switch {
		case c == '"':
			d.i++
			return validJSON(string(b))
		case c < 0x20:
			d.unexpected("an escape of it")
		case c != '\\':
			from := d.i
			for d.i < len(d.s) && d.s[d.i] != '"' && d.s[d.i] != '\\' && d.s[d.i] >= 0x20 {
				d.i++
			}
			b = append(b, d.s[from:d.i]...)
			continue
		}
		d.i++
		if d.i >= len(d.s) {
			break
		}
		if d.s[d.i] == 'u' {
			if b = utf8.AppendRune(b, d.unicode()); d.half != "" {
				return validJSON(string(b))
			}
			continue
		}
		k := strings.IndexByte(`"\/bfnrt`, d.s[d.i])
		if k < 0 {
			d.unexpected("an escape")
		}
		b = append(b, "\"\\/\b\f\n\r\t"[k])
		d.i++
	}
	d.unexpected("a quote")
	return ""
}

// unicode reads an escape, a u and four hexadecimal digits, or two of them that are a
// pair. Of one that is half a pair it goes back to the backslash.
func (d *decoder) unicode() rune {
	hex := func() rune {
		if d.i+5 > len(d.s) {
			d.i = len(d.s)
			d.unexpected("a digit")
		}
		n, err := strconv.ParseUint(d.s[d.i+1:d.i+5], 16, 32)
		if err != nil {
			d.fail("\\%s is no escape", strings.ToValidUTF8(d.s[d.i:d.i+5], "\ufffd"))
		}
		d.i += 5
		return rune(n)
	}
	from := d.i - 1
	r := hex()
	if !utf16.IsSurrogate(r) {
		return r
	}
	if strings.HasPrefix(d.s[d.i:], `\u`) {
		d.i++
		if pair := utf16.DecodeRune(r, hex()); pair != utf8.RuneError {
			return pair
		}
	}
	d.i, d.half = from, d.s[from:from+6]
	return utf8.RuneError
}

// validJSON is s with U+FFFD for each byte that is no UTF-8.
func validJSON(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return string([]rune(s))
}
