package template

import (
	"net/url"
	"slices"
	"strings"
	"unicode"
)

// The filters that chat templates rarely use.
func init() {
	extreme := func(sign int) filter {
		return func(r *run, v any, a []any, kw *kwargs) any {
			p, _ := r.params(a, kw, "case_sensitive", "attribute")
			var best, bestKey any
			for i, e := range r.iterate(v) {
				k := e
				if p[1] != nil {
					k = r.path(e, p[1])
				}
				k = folded(k, !truth(p[0]))
				if i == 0 || sign*r.order("<", k, bestKey) < 0 {
					best, bestKey = e, k
				}
			}
			if bestKey == nil {
				return undefined{what: "the extreme of an empty sequence"}
			}
			return best
		}
	}
	filters["min"], filters["max"] = extreme(1), extreme(-1)
	filters["sum"] = func(r *run, v any, a []any, kw *kwargs) any {
		p, given := r.params(a, kw, "attribute", "start")
		total := any(int64(0))
		if given[1] {
			total = p[1]
		}
		for _, e := range r.iterate(v) {
			r.tick(1)
			if p[0] != nil {
				e = r.path(e, p[0])
			}
			total = r.arith("+", total, e)
		}
		return total
	}
	filters["attr"] = func(r *run, v any, a []any, kw *kwargs) any {
		p, _ := r.params(a, kw, "name")
		name := r.wantText(p[0]).S
		if d, ok := v.(*Dict); ok {
			if m := dictMethod(d, name); m != nil {
				return m
			}
			return undefined{name, "dict"}
		}
		return r.attr(v, name)
	}
	filters["batch"] = func(r *run, v any, a []any, kw *kwargs) any {
		p, given := r.params(a, kw, "linecount", "fill_with")
		n := int(max(1, min(r.wantInt(p[0]), maxOutput)))
		out := &list{view: "generator"}
		for part := range slices.Chunk(r.iterate(v), n) {
			r.tick(8)
			row := slices.Clone(part)
			for given[1] && p[1] != nil && len(row) < n {
				r.tick(1)
				row = append(row, p[1])
			}
			out.items = append(out.items, &list{items: row})
		}
		return out
	}
	filters["slice"] = func(r *run, v any, a []any, kw *kwargs) any {
		p, _ := r.params(a, kw, "slices", "fill_with")
		items, n := r.iterate(v), int(r.wantInt(p[0]))
		if n <= 0 {
			r.fail("slice needs a positive number of slices")
		}
		r.tick(8 * min(n, maxSteps))
		size, extra, at := len(items)/n, len(items)%n, 0
		out := &list{view: "generator"}
		for i := range n {
			end := at + size
			if i < extra {
				end++
			}
			row := slices.Clone(items[at:end])
			if p[1] != nil && i >= extra {
				row = append(row, p[1])
			}
			out.items = append(out.items, &list{items: row})
			at = end
		}
		return out
	}
	filters["groupby"] = func(r *run, v any, a []any, kw *kwargs) any {
		p, given := r.params(a, kw, "attribute", "default", "case_sensitive")
		var def []any
		if given[1] {
			def = []any{p[1]}
		}
		key := func(e any) any { return folded(r.path(e, p[0], def...), !truth(p[2])) }
		out := &list{}
		var last *list
		var lastKey any
		for _, e := range r.sortBy(r.iterate(v), key, false) {
			k := key(e)
			if last == nil || !r.equal(k, lastKey) {
				last, lastKey = &list{}, k
				out.items = append(out.items, &list{items: []any{r.path(e, p[0], def...), last}, tuple: true, names: []string{"grouper", "list"}})
			}
			last.items = append(last.items, e)
		}
		return out
	}
	filters["escape"] = one(func(r *run, v any) any { return r.escape(r.str(v)) })
	filters["e"] = filters["escape"]
	filters["forceescape"] = one(func(r *run, v any) any {
		t := r.str(v)
		t.markup = false
		return r.escape(t)
	})
	filters["format"] = func(r *run, v any, a []any, kw *kwargs) any {
		if len(kw.names) > 0 {
			if len(a) > 0 {
				r.fail("can't handle positional and keyword arguments at the same time")
			}
			return r.percent(r.str(v), r.newDict(nil, kw))
		}
		return r.percent(r.str(v), &list{items: a, tuple: true})
	}
	filters["wordcount"] = one(func(r *run, v any) any {
		t := r.str(v)
		r.room(len(t.S))
		n, inside := int64(0), false
		for _, c := range t.S {
			word := c == '_' || unicode.IsLetter(c) || unicode.IsNumber(c)
			if word && !inside {
				n++
			}
			inside = word
		}
		return n
	})
	filters["center"] = func(r *run, v any, a []any, kw *kwargs) any {
		p, given := r.params(a, kw, "width")
		width := any(int64(80))
		if given[0] {
			width = p[0]
		}
		return stringMethods["center"](r, r.str(v), []any{width}, &kwargs{})
	}
	filters["truncate"] = func(r *run, v any, a []any, kw *kwargs) any {
		p, given := r.params(a, kw, "length", "killwords", "end", "leeway")
		length, leeway, end := int64(255), int64(5), NewText("...", Literal)
		if given[0] {
			length = r.wantInt(p[0])
		}
		if p[2] != nil {
			end = r.wantText(p[2])
		}
		if p[3] != nil {
			leeway = r.wantInt(p[3])
		}
		tail := int64(r.length(end))
		if length < tail || leeway < 0 {
			r.fail("truncate needs a length of at least %d and a leeway of at least 0", tail)
		}
		if int64(r.length(v)) <= length+leeway {
			return v
		}
		chars := r.chars(r.wantText(v))
		cut := r.concat(chars[:length-tail]...)
		if !truth(p[1]) {
			if i := strings.LastIndexByte(cut.S, ' '); i >= 0 {
				cut = cut.Slice(0, i)
			}
		}
		return r.concat(cut, end)
	}
	quote := func(r *run, v any, f func(s string) string) Text {
		t := r.str(v)
		r.room(8 * len(t.S))
		return r.eachRune(t, func(s string) string { return f(strings.ReplaceAll(url.QueryEscape(s), "%7E", "~")) })
	}
	filters["urlencode"] = one(func(r *run, v any) any {
		var items []any
		switch v := v.(type) {
		case *Dict:
			items = pairs(r, v)
		case *list:
			items = r.iterate(v)
		default:
			return quote(r, v, strings.NewReplacer("+", "%20", "%2F", "/").Replace)
		}
		var parts []Text // of a query string
		for i, e := range items {
			pair := r.iterate(e)
			if len(pair) != 2 {
				r.fail("urlencode needs pairs, and item %d has %d parts", i, len(pair))
			}
			if i > 0 {
				parts = append(parts, NewText("&", Literal))
			}
			same := func(s string) string { return s }
			parts = append(parts, quote(r, pair[0], same), NewText("=", Literal), quote(r, pair[1], same))
		}
		return r.concat(parts...)
	})
}
