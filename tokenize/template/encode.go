package template

import (
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// str is Python's str of v.
func (r *run) str(v any) Text {
	switch v := v.(type) {
	case Text:
		return v
	case undefined:
		return Text{}
	}
	w := &writer{r: r}
	w.repr(v, Literal)
	return w.text()
}

// writer puts a value together as text.
type writer struct {
	r               *run
	b               strings.Builder
	segs            []Segment
	ascii, sortKeys bool
	indent          string
	pretty          bool
	comma, colon    string
}

func (w *writer) text() Text { return Text{S: w.b.String(), Segs: w.segs} }

func (w *writer) put(s string, o Origin) {
	w.r.room(len(s))
	w.r.tick(1)
	if s == "" {
		return
	}
	w.b.WriteString(s)
	if n := len(w.segs); n > 0 && w.segs[n-1].Origin == o {
		w.segs[n-1].End = w.b.Len()
		return
	}
	w.segs = append(w.segs, Segment{w.b.Len(), o})
}

// runs calls f with each stretch of t of one origin.
func runs(t Text, f func(s string, o Origin)) {
	lo := 0
	for _, g := range t.Segs {
		f(t.S[lo:g.End], g.Origin)
		lo = g.End
	}
}

func formatFloat(f float64) string {
	switch {
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	case math.IsNaN(f):
		return "nan"
	}
	s := strconv.FormatFloat(f, 'e', -1, 64)
	exp, _ := strconv.Atoi(s[strings.IndexByte(s, 'e')+1:])
	if exp < -4 || exp >= 16 {
		return s
	}
	s = strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

func scalar(v any) (string, bool) {
	switch v := v.(type) {
	case nil:
		return "None", true
	case bool:
		if v {
			return "True", true
		}
		return "False", true
	case int64:
		return strconv.FormatInt(v, 10), true
	case *big.Int:
		return v.String(), true
	case float64:
		return formatFloat(v), true
	}
	return "", false
}

// repr writes Python's repr of v; what is no string has the origin o of the
// list or dict around it.
func (w *writer) repr(v any, o Origin) {
	defer w.r.enter()()
	if g, ok := v.(given); ok {
		v, o = g.v, g.o
	}
	if s, ok := scalar(v); ok {
		w.put(s, o)
		return
	}
	switch v := v.(type) {
	case Text:
		if v.markup {
			w.put("Markup(", o)
			defer w.put(")", o)
		}
		w.reprString(v, o)
	case undefined:
		w.put("Undefined", o)
	case *list:
		if c, ok := w.r.origins[v]; ok {
			o = c
		}
		open, end := "[", "]"
		switch v.view {
		case "":
		case "range":
			w.put(v.shown, o)
			return
		case "generator":
			w.r.fail("a generator cannot be printed: make it a list")
		default:
			open, end = v.view+"([", "])"
		}
		if v.tuple {
			open, end = "(", ")"
			if len(v.items) == 1 {
				end = ",)"
			}
		}
		w.put(open, o)
		for i, e := range v.items {
			if i > 0 {
				w.put(", ", o)
			}
			w.repr(e, o)
		}
		w.put(end, o)
	case *Dict:
		if c, ok := w.r.origins[v]; ok {
			o = c
		}
		w.put("{", o)
		for i, k := range v.Keys {
			if i > 0 {
				w.put(", ", o)
			}
			w.repr(keyValue(k, o), o)
			w.put(": ", o)
			w.repr(v.Values[k], o)
		}
		w.put("}", o)
	default:
		w.r.fail("cannot print this kind of object")
	}
}

func (w *writer) reprString(t Text, o Origin) {
	quote := byte('\'')
	if strings.Contains(t.S, "'") && !strings.Contains(t.S, `"`) {
		quote = '"'
	}
	if len(t.Segs) > 0 {
		o = t.Segs[0].Origin
	}
	w.put(string(quote), o)
	runs(t, func(s string, o Origin) {
		w.r.room(8 * len(s))
		var b strings.Builder
		for _, c := range s {
			switch {
			case c == rune(quote) || c == '\\':
				b.WriteByte('\\')
				b.WriteRune(c)
			case c == '\n':
				b.WriteString(`\n`)
			case c == '\r':
				b.WriteString(`\r`)
			case c == '\t':
				b.WriteString(`\t`)
			case unicode.IsPrint(c):
				b.WriteRune(c)
			case c < 0x100:
				fmt.Fprintf(&b, `\x%02x`, c)
			case c < 0x10000:
				fmt.Fprintf(&b, `\u%04x`, c)
			default:
				fmt.Fprintf(&b, `\U%08x`, c)
			}
		}
		w.put(b.String(), o)
	})
	w.put(string(quote), o)
}

func (w *writer) jsonString(t Text, o Origin) {
	if len(t.Segs) > 0 {
		o = t.Segs[0].Origin
	}
	w.put(`"`, o)
	end := o
	runs(t, func(s string, o Origin) {
		end = o
		if !w.ascii && strings.IndexFunc(s, escapedInJSON) < 0 {
			w.put(s, o)
			return
		}
		w.r.room(8 * len(s))
		var b strings.Builder
		for _, c := range s {
			switch {
			case c == '"' || c == '\\':
				b.WriteByte('\\')
				b.WriteRune(c)
			case c == '\n':
				b.WriteString(`\n`)
			case c == '\r':
				b.WriteString(`\r`)
			case c == '\t':
				b.WriteString(`\t`)
			case c == '\b':
				b.WriteString(`\b`)
			case c == '\f':
				b.WriteString(`\f`)
			case c < 0x20 || w.ascii && c >= 0x7f && c < 0x10000 && c != 0x7f:
				fmt.Fprintf(&b, `\u%04x`, c)
			case w.ascii && c >= 0x10000:
				c -= 0x10000
				fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+c>>10, 0xdc00+c&0x3ff)
			default:
				b.WriteRune(c)
			}
		}
		w.put(b.String(), o)
	})
	w.put(`"`, end)
}

func escapedInJSON(c rune) bool { return c < 0x20 || c == '"' || c == '\\' }

// jsonNumber spells an int64 or float64.
func jsonNumber(v any) string {
	s, _ := scalar(v)
	switch s {
	case "inf":
		return "Infinity"
	case "-inf":
		return "-Infinity"
	case "nan":
		return "NaN"
	}
	return s
}

// json writes v as Python's json.dumps does.
func (w *writer) json(v any, o Origin, level int) {
	defer w.r.enter()()
	line := func(level int) {
		if w.pretty {
			w.r.room(level * len(w.indent))
			w.put("\n"+strings.Repeat(w.indent, level), o)
		}
	}
	if g, ok := v.(given); ok {
		v, o = g.v, g.o
	}
	switch v := v.(type) {
	case nil:
		w.put("null", o)
	case bool:
		w.put(strconv.FormatBool(v), o)
	case int64:
		w.put(jsonNumber(v), o)
	case *big.Int:
		w.put(v.String(), o)
	case float64:
		w.put(jsonNumber(v), o)
	case Text:
		w.jsonString(v, o)
	case *list:
		if c, ok := w.r.origins[v]; ok {
			o = c
		}
		if v.view != "" {
			w.r.fail("Object of type %s is not JSON serializable", v.view)
		}
		if len(v.items) == 0 {
			w.put("[]", o)
			return
		}
		w.put("[", o)
		for i, e := range v.items {
			if i > 0 {
				w.put(w.comma, o)
			}
			line(level + 1)
			w.json(e, o, level+1)
		}
		line(level)
		w.put("]", o)
	case *Dict:
		if c, ok := w.r.origins[v]; ok {
			o = c
		}
		if len(v.Keys) == 0 {
			w.put("{}", o)
			return
		}
		keys := v.Keys
		if w.sortKeys {
			keys = slices.Sorted(slices.Values(keys))
		}
		w.put("{", o)
		for i, k := range keys {
			if i > 0 {
				w.put(w.comma, o)
			}
			line(level + 1)
			w.jsonKey(k, o)
			w.put(w.colon, o)
			w.json(v.Values[k], o, level+1)
		}
		line(level)
		w.put("}", o)
	default:
		w.r.fail("an object of type %s is not JSON serializable", typeName(v))
	}
}
