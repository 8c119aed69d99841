package template

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

func textList(parts []Text) *list {
	l := &list{}
	for _, p := range parts {
		l.items = append(l.items, p)
	}
	return l
}

func dictMethod(d *Dict, name string) any {
	switch name {
	case "items", "keys", "values":
		return callable(func(r *run, a []any, kw *kwargs) any {
			r.params(a, kw)
			switch name {
			case "items":
				return &list{items: pairs(r, d), view: "dict_items"}
			case "keys":
				return &list{items: r.iterate(d), view: "dict_keys"}
			}
			out := &list{view: "dict_values"}
			for _, k := range d.Keys {
				r.tick(1)
				out.items = append(out.items, d.Values[k])
			}
			return out
		})
	case "get":
		return callable(func(r *run, a []any, kw *kwargs) any {
			if len(a) == 0 || len(a) > 2 {
				r.fail("get takes a key and a default")
			}
			if v, ok := d.Values[r.key(a[0])]; ok {
				return v
			}
			if len(a) == 2 {
				return a[1]
			}
			return nil
		})
	case "copy":
		return callable(func(r *run, a []any, kw *kwargs) any { return r.newDict([]any{d}, kw) })
	case "pop", "popitem", "clear", "update", "setdefault":
		return refused("dict", name)
	}
	return nil
}

func refused(what, name string) any {
	return callable(func(r *run, a []any, kw *kwargs) any {
		r.fail("access to attribute '%s' of '%s' object is unsafe", name, what)
		return nil
	})
}

func listMethod(l *list, name string) any {
	switch name {
	case "index", "count":
		return callable(func(r *run, a []any, kw *kwargs) any {
			p, _ := r.params(a, kw, "value")
			n := int64(0)
			for i, e := range l.items {
				if r.equal(e, p[0]) {
					if name == "index" {
						return int64(i)
					}
					n++
				}
			}
			if name == "index" {
				r.fail("the value is not in the list")
			}
			return n
		})
	case "copy":
		if l.tuple || l.view != "" {
			return nil
		}
		return callable(func(r *run, a []any, kw *kwargs) any {
			r.params(a, kw)
			return &list{items: l.items}
		})
	case "append", "pop", "extend", "insert", "remove", "clear", "sort", "reverse":
		if !l.tuple && l.view == "" {
			return refused("list", name)
		}
	}
	return nil
}

type method func(r *run, t Text, args []any, kw *kwargs) any

var stringMethods map[string]method

func init() {
	strip := func(left, right bool) method {
		return func(r *run, t Text, a []any, kw *kwargs) any {
			p, _ := r.params(a, kw, "chars")
			return r.strip(t, p[0], left, right)
		}
	}
	split := func(right bool) method {
		return func(r *run, t Text, a []any, kw *kwargs) any {
			p, _ := r.params(a, kw, "sep", "maxsplit")
			n := -1
			if p[1] != nil {
				n = int(max(-1, min(r.wantInt(p[1]), int64(len(t.S)))))
			}
			r.tick(1 + len(t.Segs))
			r.room(len(t.S))
			var parts []Text
			switch {
			case p[0] == nil:
				parts = r.fields(t, n, right)
			case r.wantText(p[0]).S == "":
				r.fail("empty separator")
			case right && n >= 0:
				sep, hi := r.wantText(p[0]).S, len(t.S)
				for ; n > 0; n-- {
					i := strings.LastIndex(t.S[:hi], sep)
					if i < 0 {
						break
					}
					r.tick(1)
					parts = append([]Text{t.Slice(i+len(sep), hi)}, parts...)
					hi = i
				}
				parts = append([]Text{t.Slice(0, hi)}, parts...)
			default:
				sep := r.wantText(p[0]).S
				r.tick(strings.Count(t.S, sep) * (1 + len(t.Segs)))
				parts = t.Split(sep, n)
			}
			r.tick(len(parts))
			return textList(parts)
		}
	}
	affix := func(has func(s, x string) bool) method {
		return func(r *run, t Text, a []any, kw *kwargs) any {
			t, _ = r.within(t, a)
			if l, ok := a[0].(*list); ok && l.tuple {
				for _, e := range l.items {
					if has(t.S, r.wantText(e).S) {
						return true
					}
				}
				return false
			}
			return has(t.S, r.wantText(a[0]).S)
		}
	}
	find := func(last, must bool) method {
		return func(r *run, t Text, a []any, kw *kwargs) any {
			t, from := r.within(t, a)
			r.room(len(t.S) / 16)
			i := strings.Index(t.S, r.wantText(a[0]).S)
			if last {
				i = strings.LastIndex(t.S, r.wantText(a[0]).S)
			}
			if i < 0 {
				if must {
					r.fail("substring not found")
				}
				return int64(-1)
			}
			return from + int64(utf8.RuneCountInString(t.S[:i]))
		}
	}
	simple := func(f func(r *run, t Text) any) method {
		return func(r *run, t Text, a []any, kw *kwargs) any {
			r.params(a, kw)
			return f(r, t)
		}
	}
	all := func(is func(rune) bool) method {
		return simple(func(r *run, t Text) any {
			return t.S != "" && strings.IndexFunc(t.S, func(c rune) bool { return !is(c) }) < 0
		})
	}
	stringMethods = map[string]method{
		"strip": strip(true, true), "lstrip": strip(true, false), "rstrip": strip(false, true),
		"split": split(false), "rsplit": split(true),
		"startswith": affix(strings.HasPrefix), "endswith": affix(strings.HasSuffix),
		"find": find(false, false), "rfind": find(true, false), "index": find(false, true), "rindex": find(true, true),
		"upper": simple(func(r *run, t Text) any { return r.eachRune(t, upper) }),
		"lower": simple(func(r *run, t Text) any { return r.eachRune(t, lower) }),
		"capitalize": simple(func(r *run, t Text) any {
			return r.titleCase(t, titled, func(prev rune) bool { return prev < 0 })
		}),
		"title": simple(func(r *run, t Text) any {
			return r.titleCase(t, titled, func(prev rune) bool { return !isCased(prev) })
		}),
		"isspace": all(isSpace), "isalpha": all(unicode.IsLetter), "isdigit": all(unicode.IsDigit),
		"isalnum": all(func(c rune) bool { return unicode.IsLetter(c) || unicode.IsNumber(c) }),
		"replace": func(r *run, t Text, a []any, kw *kwargs) any {
			if len(a) < 2 || len(a) > 3 {
				r.fail("replace takes two strings")
			}
			n := int64(-1)
			if len(a) == 3 {
				n = max(-1, r.wantInt(a[2]))
			}
			by := r.wantText(a[1])
			if t.markup {
				by = r.escape(by)
			}
			out := r.replace(t, r.wantText(a[0]).S, by, int(n))
			out.markup = t.markup
			return out
		},
		"count": func(r *run, t Text, a []any, kw *kwargs) any {
			t, _ = r.within(t, a)
			r.room(len(t.S) / 16)
			return int64(strings.Count(t.S, r.wantText(a[0]).S))
		},
		"join": func(r *run, t Text, a []any, kw *kwargs) any {
			if len(a) != 1 {
				r.fail("one sequence is needed")
			}
			r.defined(a[0])
			items := r.iterate(a[0])
			for i, e := range items {
				s := r.wantText(e)
				if t.markup {
					if i == 0 {
						items = slices.Clone(items)
					}
					items[i] = r.escape(s)
				}
			}
			out := r.join(items, t)
			out.markup = t.markup
			return out
		},
		"splitlines": func(r *run, t Text, a []any, kw *kwargs) any {
			p, _ := r.params(a, kw, "keepends")
			keep := truth(p[0])
			r.tick(1 + strings.Count(t.S, "\n")*(1+len(t.Segs)))
			return textList(r.lines(t, keep))
		},
		"removeprefix": func(r *run, t Text, a []any, kw *kwargs) any {
			p, _ := r.params(a, kw, "prefix")
			return t.Slice(len(t.S)-len(strings.TrimPrefix(t.S, r.wantText(p[0]).S)), len(t.S))
		},
		"removesuffix": func(r *run, t Text, a []any, kw *kwargs) any {
			p, _ := r.params(a, kw, "suffix")
			return t.Slice(0, len(strings.TrimSuffix(t.S, r.wantText(p[0]).S)))
		},
	}
}

// within is the part of t from character a[1] up to a[2], as str.find and its
// like take them, and where it begins.
func (r *run) within(t Text, a []any) (part Text, from int64) {
	if len(a) < 1 || len(a) > 3 {
		r.fail("a string, and at most a start and an end, are needed")
	}
	if len(a) == 1 {
		return t, 0
	}
	chars := r.chars(t)
	n := int64(len(chars))
	bound := func(i int, def int64) int64 {
		if i >= len(a) || bare(a[i]) == nil {
			return def
		}
		x := r.wantInt(a[i])
		if x < 0 {
			x += n
		}
		return max(0, min(x, n))
	}
	lo, hi := bound(1, 0), bound(2, n)
	if lo >= hi {
		return Text{}, lo
	}
	return r.concat(chars[lo:hi]...), lo
}

// lines is str.splitlines.
func (r *run) lines(t Text, keepEnds bool) []Text {
	var parts []Text
	lo := 0
	for i := 0; i < len(t.S); {
		c, size := utf8.DecodeRuneInString(t.S[i:])
		end := i + size
		if c == '\r' && end < len(t.S) && t.S[end] == '\n' {
			end++
		}
		switch c {
		case '\n', '\r', '\v', '\f', 0x1c, 0x1d, 0x1e, 0x85, 0x2028, 0x2029:
			r.tick(1 + len(t.Segs))
			if keepEnds {
				i = end
			}
			parts = append(parts, t.Slice(lo, i))
			lo = end
		}
		i = end
	}
	if lo < len(t.S) {
		parts = append(parts, t.Slice(lo, len(t.S)))
	}
	return parts
}

// fields is str.split without a separator: at most n cuts at stretches of
// white space, those at the ends dropped.
func (r *run) fields(t Text, n int, right bool) []Text {
	var out []Text
	if !right || n < 0 {
		for rest := t.TrimFunc(isSpace, true, n < 0); rest.S != ""; n-- {
			r.tick(1 + len(rest.Segs))
			i := strings.IndexFunc(rest.S, isSpace)
			if n == 0 || i < 0 {
				return append(out, rest)
			}
			out = append(out, rest.Slice(0, i))
			rest = rest.Slice(i, len(rest.S)).TrimFunc(isSpace, true, false)
		}
		return out
	}
	for rest := t.TrimFunc(isSpace, false, true); rest.S != ""; n-- {
		r.tick(1 + len(rest.Segs))
		i := strings.LastIndexFunc(rest.S, isSpace)
		if n == 0 || i < 0 {
			return append([]Text{rest}, out...)
		}
		_, size := utf8.DecodeRuneInString(rest.S[i:])
		out = append([]Text{rest.Slice(i+size, len(rest.S))}, out...)
		rest = rest.Slice(0, i).TrimFunc(isSpace, false, true)
	}
	return out
}

var tests map[string]func(r *run, v any, args []any) bool

func init() {
	type test = func(r *run, v any, args []any) bool
	arg := func(r *run, a []any) any {
		if len(a) != 1 {
			r.fail("the test takes one argument")
		}
		return a[0]
	}
	compare := func(op string) test {
		return func(r *run, v any, a []any) bool { return r.compare(op, v, arg(r, a)) }
	}
	kind := func(names ...string) test {
		return func(r *run, v any, a []any) bool {
			if len(a) > 0 {
				r.fail("the test takes no argument")
			}
			t := typeName(v)
			for _, n := range names {
				if t == n {
					return true
				}
			}
			return false
		}
	}
	mod := func(r *run, v any, by int64) int64 {
		r.defined(v)
		if by == 0 {
			r.fail("integer modulo by zero")
		}
		return r.wantInt(v) % by
	}
	undef := kind("undefined")
	tests = map[string]test{
		"undefined": undef,
		"defined":   func(r *run, v any, a []any) bool { return !undef(r, v, a) },
		"none":      kind("NoneType"), "string": kind("str"), "mapping": kind("dict"), "boolean": kind("bool"),
		"integer": kind("int"), "float": kind("float"), "number": kind("int", "float", "bool"),
		"iterable": kind("str", "list", "tuple", "dict", "undefined", "generator", "range", "dict_items", "dict_keys", "dict_values"),
		"sequence": kind("str", "list", "tuple", "dict", "undefined", "range"),
		"true":     func(r *run, v any, a []any) bool { return bare(v) == true },
		"false":    func(r *run, v any, a []any) bool { return bare(v) == false },
		"sameas":   func(r *run, v any, a []any) bool { return typeName(v) == typeName(arg(r, a)) && r.equal(v, a[0]) },
		"escaped":  func(r *run, v any, a []any) bool { t, ok := v.(Text); return ok && t.markup },
		"filter":   func(r *run, v any, a []any) bool { t, _ := v.(Text); return filters[t.S] != nil },
		"test":     func(r *run, v any, a []any) bool { t, _ := v.(Text); return tests[t.S] != nil },
		"callable": func(r *run, v any, a []any) bool {
			_, ok := v.(callable)
			return ok
		},
		"divisibleby": func(r *run, v any, a []any) bool { return mod(r, v, r.wantInt(arg(r, a))) == 0 },
		"odd":         func(r *run, v any, a []any) bool { return mod(r, v, 2) != 0 },
		"even":        func(r *run, v any, a []any) bool { return mod(r, v, 2) == 0 },
		"lower":       func(r *run, v any, a []any) bool { s := r.str(v).S; return s == lower(s) && s != upper(s) },
		"upper":       func(r *run, v any, a []any) bool { s := r.str(v).S; return s == upper(s) && s != lower(s) },
	}
	for op, names := range map[string][]string{"==": {"eq", "equalto", "=="}, "!=": {"ne", "!="}, "<": {"lt", "lessthan", "<"}, "<=": {"le", "<="},
		">": {"gt", "greaterthan", ">"}, ">=": {"ge", ">="}, "in": {"in"}} {
		for _, n := range names {
			tests[n] = compare(op)
		}
	}
}
