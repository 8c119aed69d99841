package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// scan reads JSON in one pass and without copying strings: encoding/json would
// take most of the time that loading a large vocabulary takes.
type scan struct {
	s string
	i int
}

const maxDepth = 64 // of values that are skipped

func (r *scan) fail(what string) error { return fmt.Errorf("byte %d: %s", r.i, what) }

func (r *scan) space() {
	for r.i < len(r.s) && (r.s[r.i] == ' ' || r.s[r.i] == '\n' || r.s[r.i] == '\r' || r.s[r.i] == '\t') {
		r.i++
	}
}

// next takes c if it is what follows.
func (r *scan) next(c byte) bool {
	r.space()
	if r.i < len(r.s) && r.s[r.i] == c {
		r.i++
		return true
	}
	return false
}

// str reads a string.
func (r *scan) str() (string, error) {
	if !r.next('"') {
		return "", r.fail("a string was expected")
	}
	from := r.i
	for i := from; i < len(r.s); i++ {
		switch c := r.s[i]; {
		case c == '"':
			r.i = i + 1
			return r.s[from:i], nil
		case c == '\\':
			return r.escaped(from, i)
		case c < ' ':
			return "", r.fail("a control character in a string")
		}
	}
	return "", r.fail("a string without an end")
}

func (r *scan) escaped(from, i int) (string, error) {
	for ; i < len(r.s); i++ {
		switch r.s[i] {
		case '\\':
			i++
		case '"':
			r.i = i + 1
			var s string
			err := json.Unmarshal([]byte(r.s[from-1:r.i]), &s)
			return s, err
		}
	}
	return "", r.fail("a string without an end")
}

// object calls f at the value of every key.
func (r *scan) object(f func(key string) error) error {
	if !r.next('{') {
		return r.fail("an object was expected")
	}
	if r.next('}') {
		return nil
	}
	for {
		key, err := r.str()
		if err != nil {
			return err
		}
		if !r.next(':') {
			return r.fail("a colon was expected")
		}
		if err := f(key); err != nil {
			return err
		}
		if r.next('}') {
			return nil
		}
		if !r.next(',') {
			return r.fail("a comma was expected")
		}
	}
}

// array calls f at every value.
func (r *scan) array(f func(i int) error) error {
	if !r.next('[') {
		return r.fail("an array was expected")
	}
	if r.next(']') {
		return nil
	}
	for i := 0; ; i++ {
		if err := f(i); err != nil {
			return err
		}
		if r.next(']') {
			return nil
		}
		if !r.next(',') {
			return r.fail("a comma was expected")
		}
	}
}

// raw is the next value as it stands, brackets matched, else unread.
func (r *scan) raw() (json.RawMessage, error) {
	r.space()
	from := r.i
	if err := r.skip(0); err != nil {
		return nil, err
	}
	return json.RawMessage(r.s[from:r.i]), nil
}

func (r *scan) skip(depth int) error {
	if depth > maxDepth {
		return r.fail("too many brackets in each other")
	}
	r.space()
	if r.i >= len(r.s) {
		return errors.New("unexpected end")
	}
	switch r.s[r.i] {
	case '{':
		return r.object(func(string) error { return r.skip(depth + 1) })
	case '[':
		return r.array(func(int) error { return r.skip(depth + 1) })
	case '"':
		_, err := r.str()
		return err
	}
	if r.word() == "" {
		return r.fail("a value was expected")
	}
	return nil
}

// word is a number, true, false or null.
func (r *scan) word() string {
	r.space()
	from := r.i
	if k := strings.IndexAny(r.s[from:min(len(r.s), from+64)], ",]}\n\r\t :{["); k >= 0 {
		r.i = from + k
	} else {
		r.i = min(len(r.s), from+64)
	}
	return r.s[from:r.i]
}

// id reads a number that a token can have.
func (r *scan) id() (int32, error) {
	r.space()
	n, from := 0, r.i
	for r.i < len(r.s) && r.s[r.i] >= '0' && r.s[r.i] <= '9' && n < maxVocab {
		n = 10*n + int(r.s[r.i]-'0')
		r.i++
	}
	if r.i == from || n >= maxVocab {
		return 0, fmt.Errorf("the impossible id %s", strings.TrimSpace(r.s[from:min(len(r.s), from+12)]))
	}
	return int32(n), nil
}

// pair reads "a b" or ["a", "b"].
func (r *scan) pair() (a, b string, err error) {
	if !r.next('[') {
		s, err := r.str()
		if err != nil {
			return "", "", err
		}
		a, b, ok := strings.Cut(s, " ")
		if !ok {
			return "", "", fmt.Errorf("%q is no pair", s)
		}
		return a, b, nil
	}
	if a, err = r.str(); err != nil {
		return "", "", err
	}
	if !r.next(',') {
		return "", "", r.fail("a comma was expected")
	}
	if b, err = r.str(); err != nil {
		return "", "", err
	}
	if !r.next(']') {
		return "", "", r.fail("] was expected")
	}
	return a, b, nil
}
