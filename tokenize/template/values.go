package template

import (
	"encoding/json"
	"errors"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"
)

func (r *run) messages(v any) any {
	rows, ok := v.([]any)
	if !ok {
		return r.convert(v, Literal)
	}
	out := &list{}
	for i, row := range rows {
		d, ok := row.(*Dict)
		if !ok {
			out.items = append(out.items, r.convert(row, Origin{Message: i}))
			continue
		}
		m := newDict(len(d.Keys))
		for _, k := range d.Keys {
			m.Set(k, r.convert(d.Values[k], Origin{i, k}))
		}
		r.origins[m] = Origin{Message: i}
		out.items = append(out.items, m)
	}
	return out
}

// convert makes a caller's value one of the evaluator's.
func (r *run) convert(v any, o Origin) any {
	defer r.enter()()
	switch v := v.(type) {
	case nil, bool, int64, float64:
		return from(v, o)
	case int:
		return from(int64(v), o)
	case Text:
		return v
	case string:
		return validText(v, o)
	case json.Number:
		if n, err := strconv.ParseInt(string(v), 10, 64); err == nil {
			return from(n, o)
		}
		if !strings.ContainsAny(string(v), ".eE") {
			return from(r.bigInteger(string(v)), o)
		}
		f, err := strconv.ParseFloat(string(v), 64)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			r.fail("%q is no number", v)
		}
		return from(f, o)
	case []any:
		l := &list{}
		for _, e := range v {
			l.items = append(l.items, r.convert(e, o))
		}
		r.origins[l] = o
		return l
	case *Dict:
		d := newDict(len(v.Keys))
		for _, k := range v.Keys {
			d.Set(k, r.convert(v.Values[k], o))
		}
		r.origins[d] = o
		return d
	}
	r.fail("a variable has the type %T", v)
	return nil
}

// maxDigits is how long an integer Python reads, by its default limit.
const maxDigits = 4300

// bigInteger is an integer beyond 64 bits: it can be printed and compared with
// ==, and templates do nothing else with one.
func (r *run) bigInteger(s string) any {
	if len(strings.TrimPrefix(s, "-")) > maxDigits {
		r.fail("an integer has over %d digits", maxDigits)
	}
	n, ok := new(big.Int).SetString(s, 10)
	if !ok {
		r.fail("%q is no number", s)
	}
	return n
}

// given is a number, a boolean or null of a message, with its origin.
type given struct {
	v any
	o Origin
}

func from(v any, o Origin) any {
	if o == Literal {
		return v
	}
	return given{v, o}
}

// bare is v without the origin of a number, boolean or null.
func bare(v any) any {
	if g, ok := v.(given); ok {
		return g.v
	}
	return v
}

// validText is s with U+FFFD for every run of bytes that are no UTF-8.
func validText(s string, o Origin) Text { return NewText(strings.ToValidUTF8(s, "\ufffd"), o) }

func (r *run) origin(v any) Origin {
	if o, ok := r.origins[v]; ok {
		return o
	}
	return Literal
}

func truth(v any) bool {
	switch v := bare(v).(type) {
	case nil, undefined:
		return false
	case bool:
		return v
	case int64:
		return v != 0
	case float64:
		return v != 0
	case Text:
		return v.S != ""
	case *list:
		return len(v.items) > 0 || v.view == "generator"
	case *Dict:
		return len(v.Keys) > 0
	}
	return true
}

func typeName(v any) string {
	switch v := bare(v).(type) {
	case nil:
		return "NoneType"
	case bool:
		return "bool"
	case int64, *big.Int:
		return "int"
	case float64:
		return "float"
	case Text:
		return "str"
	case *list:
		switch {
		case v.tuple:
			return "tuple"
		case v.view != "":
			return v.view
		}
		return "list"
	case *Dict:
		return "dict"
	case undefined:
		return "undefined"
	}
	return "object"
}

func (r *run) defined(v any) {
	if u, ok := v.(undefined); ok {
		if u.of != "" {
			r.fail("'%s object' has no attribute '%s'", u.of, u.what)
		}
		r.fail("%s is undefined", u.what)
	}
}

// iterate is the items of v: of a dict its keys, of a string its characters.
func (r *run) iterate(v any) []any {
	switch v := v.(type) {
	case undefined:
		return nil
	case *list:
		items := v.items
		if v.view == "generator" {
			v.items = nil // it runs once
		}
		return items
	case *Dict:
		o := r.origin(v)
		r.tick(len(v.Keys))
		out := make([]any, len(v.Keys))
		for i, k := range v.Keys {
			out[i] = keyValue(k, o)
		}
		return out
	case Text:
		var out []any
		for _, c := range r.chars(v) {
			out = append(out, c)
		}
		return out
	}
	r.fail("'%s' object is not iterable", typeName(v))
	return nil
}

// chars is the characters of t.
func (r *run) chars(t Text) []Text {
	r.tick(4 * len(t.S))
	out := make([]Text, 0, utf8.RuneCountInString(t.S))
	g := 0
	for i, c := range t.S {
		for i >= t.Segs[g].End {
			g++
		}
		out = append(out, NewText(string(c), t.Segs[g].Origin))
	}
	return out
}

// number is v as int64 or float64.
func number(v any) (any, bool) {
	switch v := bare(v).(type) {
	case bool:
		if v {
			return int64(1), true
		}
		return int64(0), true
	case int64, float64:
		return v, true
	}
	return nil, false
}

func toFloat(v any) float64 {
	if n, ok := v.(int64); ok {
		return float64(n)
	}
	f, _ := v.(float64)
	return f
}
