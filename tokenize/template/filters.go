package template

import (
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
)

// params binds arguments to names in order; what is not given is nil, false.
func (r *run) params(args []any, kw *kwargs, names ...string) ([]any, []bool) {
	if len(args) > len(names) {
		r.fail("%d arguments given, at most %d taken", len(args), len(names))
	}
	vals, given := make([]any, len(names)), make([]bool, len(names))
	for i, n := range names {
		if i < len(args) {
			vals[i], given[i] = args[i], true
		} else {
			vals[i], given[i] = kw.take(n)
		}
		vals[i] = bare(vals[i])
	}
	return vals, given
}

func (r *run) wantInt(v any) int64 {
	n, _ := number(v)
	i, ok := n.(int64)
	if !ok {
		r.fail("an integer is needed, not %s", typeName(v))
	}
	return i
}

func (r *run) tojson(v any, args []any, kw *kwargs) any {
	p, given := r.params(args, kw, "ensure_ascii", "indent", "separators", "sort_keys")
	w := &writer{r: r, comma: ", ", colon: ": ", ascii: given[0] && truth(p[0]), sortKeys: given[3] && truth(p[3])}
	switch in := p[1].(type) {
	case nil:
	case Text:
		w.pretty, w.indent = true, in.S
	default:
		n := r.wantInt(in)
		if n > 1000 {
			r.fail("an indent of %d is too large", n)
		}
		w.pretty, w.indent = true, strings.Repeat(" ", max(0, int(n)))
	}
	if w.pretty {
		w.comma = ","
	}
	if p[2] != nil {
		l := r.iterate(p[2])
		if len(l) != 2 {
			r.fail("separators must be two strings")
		}
		w.comma, w.colon = r.wantText(l[0]).S, r.wantText(l[1]).S
	}
	w.json(v, Literal, 0)
	return w.text()
}

// path is the attribute named by a dotted string or an index; def, if any,
// stands for each part that is missing.
func (r *run) path(v any, name any, def ...any) any {
	t, ok := name.(Text)
	if !ok {
		if v = r.item(v, name); len(def) > 0 {
			if _, ok := v.(undefined); ok {
				v = def[0]
			}
		}
		return v
	}
	for part := range strings.SplitSeq(t.S, ".") {
		if n, err := strconv.ParseInt(part, 10, 64); err == nil {
			v = r.item(v, n)
		} else {
			v = r.item(v, NewText(part, Literal))
		}
		if _, ok := v.(undefined); ok && len(def) > 0 {
			v = def[0]
		}
	}
	return v
}

func (r *run) selecting(keep, byAttr bool) filter {
	return func(r *run, v any, args []any, kw *kwargs) any {
		if !truth(v) {
			return &list{view: "generator"}
		}
		var attr any
		if byAttr {
			if len(args) == 0 {
				r.fail("an attribute is missing")
			}
			attr, args = args[0], args[1:]
		}
		is := func(v any) bool { return truth(v) }
		if len(args) > 0 {
			name := r.wantText(args[0]).S
			f, ok := tests[name]
			if !ok {
				r.fail("no test named %q", name)
			}
			is = func(v any) bool { return f(r, v, args[1:]) }
		}
		out := &list{view: "generator"}
		for _, e := range r.iterate(v) {
			r.tick(1)
			x := e
			if byAttr {
				x = r.path(e, attr)
			}
			if is(x) == keep {
				out.items = append(out.items, e)
			}
		}
		return out
	}
}

// folded is v as sort and unique see it when case does not matter.
func folded(v any, caseless bool) any {
	if t, ok := v.(Text); ok && caseless {
		return NewText(lower(t.S), Literal)
	}
	return v
}

// sortKey is what sort compares: a list of the item, or of the attributes that
// are named, with commas between several. So None sorts beside None.
func (r *run) sortKey(e, attribute any, caseless bool) any {
	t, ok := attribute.(Text)
	if !ok {
		if attribute != nil {
			e = r.path(e, attribute)
		}
		return &list{items: []any{folded(e, caseless)}}
	}
	key := &list{}
	for name := range strings.SplitSeq(t.S, ",") {
		key.items = append(key.items, folded(r.path(e, NewText(name, Literal)), caseless))
	}
	return key
}

func (r *run) sortBy(items []any, key func(any) any, reverse bool) []any {
	out := slices.Clone(items)
	slices.SortStableFunc(out, func(a, b any) int {
		c := r.order("<", key(a), key(b))
		if reverse {
			return -c
		}
		return c
	})
	return out
}

func pairs(r *run, d *Dict) []any {
	var out []any
	for _, k := range d.Keys {
		r.tick(1)
		out = append(out, &list{items: []any{keyValue(k, r.origin(d)), d.Values[k]}, tuple: true})
	}
	return out
}

type filter func(r *run, v any, args []any, kw *kwargs) any

var filters map[string]filter

func one(f func(r *run, v any) any) filter {
	return func(r *run, v any, args []any, kw *kwargs) any {
		r.params(args, kw)
		return f(r, v)
	}
}

func init() {
	r := (*run)(nil)
	filters = map[string]filter{
		"tojson": func(r *run, v any, a []any, kw *kwargs) any { return r.tojson(v, a, kw) },
		"trim": func(r *run, v any, a []any, kw *kwargs) any {
			p, _ := r.params(a, kw, "chars")
			return r.strip(r.str(v), p[0], true, true)
		},
		"length": one(func(r *run, v any) any { return int64(r.length(v)) }),
		"upper":  one(func(r *run, v any) any { return r.eachRune(r.str(v), upper) }),
		"lower":  one(func(r *run, v any) any { return r.eachRune(r.str(v), lower) }),
		"capitalize": one(func(r *run, v any) any {
			return r.titleCase(r.str(v), titled, func(prev rune) bool { return prev < 0 })
		}),
		"title": one(func(r *run, v any) any {
			return r.titleCase(r.str(v), upper, func(prev rune) bool {
				return prev < 0 || isSpace(prev) || strings.ContainsRune("-({[<", prev)
			})
		}),
		"first": one(func(r *run, v any) any {
			if l, ok := v.(*list); ok && l.view == "generator" && len(l.items) > 0 {
				e := l.items[0]
				l.items = l.items[1:]
				return e
			}
			for _, e := range r.iterate(v) {
				return e
			}
			return undefined{what: "the first item of an empty sequence"}
		}),
		"last": one(func(r *run, v any) any {
			if l, ok := v.(*list); ok && l.view == "generator" {
				r.fail("'generator' object is not reversible")
			}
			items := r.iterate(v)
			if len(items) == 0 {
				return undefined{what: "the last item of an empty sequence"}
			}
			return items[len(items)-1]
		}),
		"default": func(r *run, v any, a []any, kw *kwargs) any {
			p, given := r.params(a, kw, "default_value", "boolean")
			if _, ok := v.(undefined); ok || truth(p[1]) && !truth(v) {
				if !given[0] {
					return Text{}
				}
				return p[0]
			}
			return v
		},
		"replace": func(r *run, v any, a []any, kw *kwargs) any {
			p, given := r.params(a, kw, "old", "new", "count")
			if !given[0] || !given[1] {
				r.fail("replace takes two strings")
			}
			n := int64(-1)
			if p[2] != nil {
				n = r.wantInt(p[2])
			}
			return r.replace(r.str(v), r.str(p[0]).S, r.str(p[1]), int(n))
		},
		"string": one(func(r *run, v any) any { return r.str(v) }),
		"safe": one(func(r *run, v any) any {
			t := r.str(v)
			t.markup = true
			return t
		}),
		"int": func(r *run, v any, a []any, kw *kwargs) any {
			p, given := r.params(a, kw, "default", "base")
			def := any(int64(0))
			if given[0] {
				def = p[0]
			}
			base := 10
			if given[1] {
				base = int(max(0, min(36, r.wantInt(p[1]))))
			}
			switch v := bare(v).(type) {
			case bool, int64:
				n, _ := number(v)
				return n
			case *big.Int:
				return v
			case float64:
				if math.Abs(v) < 1<<63 {
					return int64(v)
				}
			case Text:
				s := strings.TrimFunc(v.S, isSpace)
				if base == 16 || base == 8 || base == 2 {
					for _, pre := range []string{"0x", "0X", "0o", "0O", "0b", "0B"} {
						if rest, ok := strings.CutPrefix(s, pre); ok {
							s = rest
							break
						}
					}
				}
				if base >= 2 {
					if n, err := strconv.ParseInt(s, base, 64); err == nil {
						return n
					}
				}
				if f, ok := parseFloat(s); ok && math.Abs(f) < 1<<63 {
					return int64(f)
				}
			case undefined:
				r.defined(v)
			}
			return def
		},
		"float": func(r *run, v any, a []any, kw *kwargs) any {
			p, given := r.params(a, kw, "default")
			if n, ok := number(v); ok {
				return toFloat(n)
			}
			r.defined(v)
			switch v := bare(v).(type) {
			case *big.Int:
				f, _ := v.Float64()
				return f
			case Text:
				if f, ok := parseFloat(v.S); ok {
					return f
				}
			}
			if given[0] {
				return p[0]
			}
			return 0.0
		},
		"abs": one(func(r *run, v any) any {
			r.defined(v)
			n, ok := number(v)
			if !ok {
				r.fail("bad operand type for abs(): '%s'", typeName(v))
			}
			if i, ok := n.(int64); ok {
				return max(i, -i)
			}
			return math.Abs(toFloat(n))
		}),
		"round": func(r *run, v any, a []any, kw *kwargs) any {
			p, given := r.params(a, kw, "precision", "method")
			n, ok := number(v)
			if !ok {
				r.fail("round needs a number, not %s", typeName(v))
			}
			digits := int64(0)
			if given[0] {
				digits = max(-300, min(300, r.wantInt(p[0])))
			}
			method := "common"
			if given[1] {
				method = r.wantText(p[1]).S
			}
			f := toFloat(n)
			scale := math.Pow(10, float64(digits))
			switch method {
			case "ceil":
				return math.Ceil(f*scale) / scale
			case "floor":
				return math.Floor(f*scale) / scale
			case "common":
			default:
				r.fail("method must be common, ceil or floor")
			}
			if i, ok := n.(int64); ok && digits >= 0 {
				return i
			}
			if digits < 0 {
				out := math.RoundToEven(f*scale) / scale
				if _, ok := n.(int64); ok {
					return int64(out)
				}
				return out
			}
			out, err := strconv.ParseFloat(new(big.Float).SetFloat64(f).Text('f', int(digits)), 64)
			if err != nil {
				return f
			}
			return out
		},
		"list": one(func(r *run, v any) any {
			items := r.iterate(v)
			r.tick(len(items))
			return &list{items: slices.Clone(items)}
		}),
		"items": one(func(r *run, v any) any {
			switch v := v.(type) {
			case undefined:
				return &list{view: "generator"}
			case *Dict:
				return &list{items: pairs(r, v), view: "generator"}
			}
			r.fail("Can only get item pairs from a mapping.")
			return nil
		}),
		"join": func(r *run, v any, a []any, kw *kwargs) any {
			p, _ := r.params(a, kw, "d", "attribute")
			var sep Text
			if p[0] != nil {
				sep = r.str(p[0])
			}
			items := r.iterate(v)
			if p[1] != nil {
				var out []any
				for _, e := range items {
					out = append(out, r.path(e, p[1]))
				}
				items = out
			}
			return r.join(items, sep)
		},
		"map": func(r *run, v any, a []any, kw *kwargs) any {
			out := &list{view: "generator"}
			if !truth(v) {
				kw.names, kw.vals = nil, nil
				return out
			}
			attr, byAttr := kw.take("attribute")
			var def []any
			if v, ok := kw.take("default"); ok {
				def = []any{v}
			}
			var f filter
			if !byAttr {
				if len(a) == 0 {
					r.fail("map requires a filter argument")
				}
				name := r.wantText(a[0]).S
				if f = filters[name]; f == nil {
					r.fail("no filter named %q", name)
				}
				a = a[1:]
			}
			names, vals := kw.names, kw.vals
			kw.names, kw.vals = nil, nil
			for _, e := range r.iterate(v) {
				r.tick(1)
				if byAttr {
					out.items = append(out.items, r.path(e, attr, def...))
					continue
				}
				k := &kwargs{slices.Clone(names), slices.Clone(vals)}
				out.items = append(out.items, f(r, e, a, k))
				k.done(r)
			}
			return out
		},
		"select":     r.selecting(true, false),
		"reject":     r.selecting(false, false),
		"selectattr": r.selecting(true, true),
		"rejectattr": r.selecting(false, true),
		"indent": func(r *run, v any, a []any, kw *kwargs) any {
			p, given := r.params(a, kw, "width", "first", "blank")
			pad := NewText("    ", Literal)
			if given[0] {
				if t, ok := p[0].(Text); ok {
					pad = t
				} else {
					pad = r.repeat(NewText(" ", Literal), r.wantInt(p[0]))
				}
			}
			var parts []Text
			if truth(p[1]) {
				parts = append(parts, pad)
			}
			t := r.wantText(v)
			newline := NewText("\n", Literal)
			for i, l := range r.lines(r.concat(t, newline), false) {
				if i > 0 {
					parts = append(parts, newline)
					if l.S != "" || truth(p[2]) {
						parts = append(parts, pad)
					}
				}
				parts = append(parts, l)
			}
			out := r.concat(parts...)
			out.markup = t.markup
			return out
		},
		"reverse": one(func(r *run, v any) any {
			if l, ok := v.(*list); ok && l.view == "generator" {
				v = &list{items: r.iterate(v)}
			}
			items := slices.Clone(r.iterate(v))
			slices.Reverse(items)
			if _, ok := v.(Text); ok {
				return r.join(items, Text{})
			}
			return &list{items: items, view: "generator"}
		}),
		"sort": func(r *run, v any, a []any, kw *kwargs) any {
			p, _ := r.params(a, kw, "reverse", "case_sensitive", "attribute")
			return &list{items: r.sortBy(r.iterate(v), func(e any) any {
				return r.sortKey(e, p[2], !truth(p[1]))
			}, truth(p[0]))}
		},
		"unique": func(r *run, v any, a []any, kw *kwargs) any {
			p, _ := r.params(a, kw, "case_sensitive", "attribute")
			out := &list{view: "generator"}
			var seen []any
		next:
			for _, e := range r.iterate(v) {
				k := e
				if p[1] != nil {
					k = r.path(e, p[1])
				}
				k = folded(k, !truth(p[0]))
				r.hashable(k)
				for _, s := range seen {
					if r.equal(s, k) {
						continue next
					}
				}
				seen, out.items = append(seen, k), append(out.items, e)
			}
			return out
		},
		"dictsort": func(r *run, v any, a []any, kw *kwargs) any {
			p, _ := r.params(a, kw, "case_sensitive", "by", "reverse")
			d, ok := v.(*Dict)
			if !ok {
				r.fail("dictsort needs a mapping, not %s", typeName(v))
			}
			at := 0
			if t, ok := p[1].(Text); ok && t.S == "value" {
				at = 1
			}
			return &list{items: r.sortBy(pairs(r, d), func(e any) any {
				return folded(e.(*list).items[at], !truth(p[0]))
			}, truth(p[2]))}
		},
	}
	filters["count"], filters["d"] = filters["length"], filters["default"]
}

func parseFloat(s string) (float64, bool) {
	s = strings.TrimFunc(s, isSpace)
	if strings.ContainsAny(s, "xXpP") {
		return 0, false
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil
}
