package template

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxWidth bounds the width and precision of a format.
const maxWidth = 10000

// verb is one conversion of a format: %[flags][width][.precision]kind in
// Python's old style.
type verb struct {
	flags            string
	width, precision int // precision -1: none
	kind             byte
}

// percent is Python's format % v: v a tuple of values, a dict for %(name)s, or
// one value.
func (r *run) percent(format Text, v any) any {
	var args []any
	dict, _ := v.(*Dict)
	if l, ok := v.(*list); ok && l.tuple {
		args = l.items
	} else {
		args = []any{v}
	}
	next := func() any {
		if len(args) == 0 {
			r.fail("not enough arguments for format string")
		}
		a := args[0]
		args = args[1:]
		return a
	}
	var parts []Text
	s, lo := format.S, 0
	for i := strings.IndexByte(s, '%'); i >= 0; {
		r.tick(1 + len(format.Segs)/8)
		parts = append(parts, format.Slice(lo, i))
		i++
		named := i < len(s) && s[i] == '('
		var arg any
		if named {
			end := strings.IndexByte(s[i:], ')')
			if end < 0 || dict == nil {
				r.fail("format requires a mapping")
			}
			e, ok := dict.Values[s[i+1:i+end]]
			if !ok {
				r.fail("format has no value for %q", s[i+1:i+end])
			}
			arg, i = e, i+end+1
		}
		c := verb{precision: -1}
		for i < len(s) && strings.IndexByte("-+ #0", s[i]) >= 0 {
			c.flags += s[i : i+1]
			i++
		}
		c.width, i = r.digits(s, i)
		if i < len(s) && s[i] == '.' {
			c.precision, i = r.digits(s, i+1)
		}
		if i == len(s) {
			r.fail("incomplete format")
		}
		c.kind = s[i]
		i++
		if c.kind == '%' {
			parts = append(parts, NewText("%", format.At(i-1)))
		} else {
			if !named {
				arg = next()
			}
			parts = append(parts, r.convertVerb(c, arg, format.markup))
		}
		lo = i
		if n := strings.IndexByte(s[i:], '%'); n >= 0 {
			i += n
		} else {
			i = -1
		}
	}
	if dict == nil && len(args) > 0 {
		r.fail("not all arguments converted during string formatting")
	}
	out := r.concat(append(parts, format.Slice(lo, len(s)))...)
	out.markup = format.markup
	return out
}

func (r *run) digits(s string, i int) (n, end int) {
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		if n = 10*n + int(s[i]-'0'); n > maxWidth {
			r.fail("a format is wider than %d", maxWidth)
		}
		i++
	}
	return n, i
}

// convertVerb is one value as a conversion says, padded; a string is escaped for a
// format that is marked safe.
func (r *run) convertVerb(c verb, v any, markup bool) Text {
	r.room(c.width + max(c.precision, 0))
	var t Text
	switch c.kind {
	case 's', 'r':
		t = r.str(v)
		if c.kind == 'r' {
			w := &writer{r: r}
			w.repr(v, Literal)
			t = w.text()
		}
		if markup {
			t = r.escape(t)
		}
		if c.precision >= 0 {
			if chars := r.chars(t); len(chars) > c.precision {
				t = r.concat(chars[:c.precision]...)
			}
		}
	case 'd', 'i', 'x', 'X', 'o', 'f', 'F', 'e', 'E', 'g', 'G':
		n, ok := number(v)
		if !ok {
			r.fail("%%%c format: a number is required, not %s", c.kind, typeName(v))
		}
		o := Literal
		if g, ok := v.(given); ok {
			o = g.o
		}
		t = NewText(r.formatNumber(c, n), o)
	default:
		r.fail("unsupported format character %q", c.kind)
	}
	if pad := c.width - utf8.RuneCountInString(t.S); pad > 0 {
		fill := NewText(strings.Repeat(" ", pad), Literal)
		if strings.Contains(c.flags, "-") {
			return r.concat(t, fill)
		}
		return r.concat(fill, t)
	}
	return t
}

func (r *run) formatNumber(c verb, n any) string {
	spec := "%" + c.flags
	if strings.Contains(c.flags, "0") && !strings.Contains(c.flags, "-") {
		spec += strconv.Itoa(c.width)
	}
	if strings.IndexByte("dixXo", c.kind) >= 0 {
		i, ok := n.(int64)
		if f, isFloat := n.(float64); isFloat && strings.IndexByte("di", c.kind) >= 0 && f < 1<<63 && f > -1<<63 {
			i, ok = int64(f), true
		}
		if !ok {
			r.fail("%%%c format: an integer is required", c.kind)
		}
		if c.precision >= 0 {
			spec += "." + strconv.Itoa(c.precision)
		}
		kind := string(c.kind)
		if kind == "i" {
			kind = "d"
		}
		return fmt.Sprintf(spec+kind, i)
	}
	if c.precision < 0 {
		c.precision = 6
	}
	return fmt.Sprintf(spec+"."+strconv.Itoa(c.precision)+string(c.kind), toFloat(n))
}

// braces is str.format for plain fields: {}, {0} and {name}, doubled braces.
// Attributes, conversions and format specifications are refused.
func (r *run) braces(format Text, args []any, kw *kwargs) Text {
	var parts []Text
	named := NewDict()
	for i, n := range kw.names {
		named.Set(n, kw.vals[i])
	}
	kw.names, kw.vals = nil, nil
	s, lo, auto := format.S, 0, 0
	for i := 0; i < len(s); {
		k := strings.IndexAny(s[i:], "{}")
		if k < 0 {
			break
		}
		i += k
		r.tick(1 + len(format.Segs)/8)
		if i+1 < len(s) && s[i+1] == s[i] {
			parts = append(parts, format.Slice(lo, i+1))
			i += 2
			lo = i
			continue
		}
		end := strings.IndexByte(s[i:], '}')
		if s[i] == '}' || end < 0 {
			r.fail("single %q encountered in format string", s[i])
		}
		field := s[i+1 : i+end]
		parts = append(parts, format.Slice(lo, i))
		i += end + 1
		lo = i
		var v any
		n, err := strconv.Atoi(field)
		switch {
		case field == "":
			n, err = auto, nil
			auto++
			fallthrough
		case err == nil:
			if n < 0 || n >= len(args) {
				r.fail("replacement index %d out of range for positional args tuple", n)
			}
			v = args[n]
		default:
			e, ok := named.Values[field]
			if !ok {
				r.fail("format has no value for the field %q", field)
			}
			v = e
		}
		t := r.str(v)
		if format.markup {
			t = r.escape(t)
		}
		parts = append(parts, t)
	}
	out := r.concat(append(parts, format.Slice(lo, len(s)))...)
	out.markup = format.markup
	return out
}
