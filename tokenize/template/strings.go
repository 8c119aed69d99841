package template

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

func (r *run) wantText(v any) Text {
	r.defined(v)
	t, ok := v.(Text)
	if !ok {
		r.fail("a string is needed, not %s", typeName(v))
	}
	return t
}

func (r *run) length(v any) int {
	switch v := v.(type) {
	case undefined:
		return 0
	case Text:
		r.room(len(v.S) / 16)
		return utf8.RuneCountInString(v.S)
	case *list:
		if v.view != "generator" {
			return len(v.items)
		}
	case *Dict:
		return len(v.Keys)
	}
	r.fail("object of type '%s' has no len()", typeName(v))
	return 0
}

// isSpace is Python's str.isspace of a character.
func isSpace(c rune) bool { return unicode.IsSpace(c) || c >= 0x1c && c <= 0x1f }

// eachRune maps the characters of t, each keeping its origin.
func (r *run) eachRune(t Text, f func(s string) string) Text {
	var parts []Text
	runs(t, func(s string, o Origin) {
		parts = append(parts, NewText(f(s), o))
	})
	out := r.concat(parts...)
	out.markup = t.markup
	return out
}

func (r *run) strip(t Text, v any, left, right bool) Text {
	cut := isSpace
	if v != nil {
		set := r.wantText(v).S
		cut = func(c rune) bool { return strings.ContainsRune(set, c) }
	}
	r.room(len(t.S) / 16)
	return r.made(t.TrimFunc(cut, left, right))
}

func (r *run) replace(t Text, old string, by Text, n int) Text {
	r.room(len(t.S))
	if old == "" {
		var parts []Text
		for i, c := range r.chars(t) {
			if n < 0 || i < n {
				parts = append(parts, by)
			}
			parts = append(parts, c)
		}
		if n < 0 || n > utf8.RuneCountInString(t.S) {
			parts = append(parts, by)
		}
		return r.concat(parts...)
	}
	r.tick(strings.Count(t.S, old) * (1 + len(t.Segs)))
	cuts := t.Split(old, n)
	parts := make([]Text, 0, 2*len(cuts))
	for i, c := range cuts {
		if i > 0 {
			parts = append(parts, by)
		}
		parts = append(parts, c)
	}
	return r.concat(parts...)
}

func (r *run) join(items []any, sep Text) Text {
	var parts []Text
	for i, e := range items {
		if i > 0 {
			parts = append(parts, sep)
		}
		parts = append(parts, r.str(e))
	}
	return r.concat(parts...)
}
