package template

import (
	"slices"
	"unicode/utf8"
)

func (r *run) call(f any, args []any, kw *kwargs) any {
	defer r.enter()()
	r.tick(1)
	r.defined(f)
	if l, ok := f.(*loop); ok && l.recurse != nil {
		p, _ := r.params(args, kw, "iterable")
		kw.done(r)
		return l.recurse(r, p[0])
	}
	c, ok := f.(callable)
	if !ok {
		r.fail("'%s' object is not callable", typeName(f))
	}
	out := c(r, args, kw)
	kw.done(r)
	return out
}

func (r *run) item(v, key any) any {
	r.defined(v)
	if d, ok := v.(*Dict); ok {
		if k, ok := hashed(key); ok {
			if e, ok := d.Values[k]; ok {
				return e
			}
		}
	}
	if t, ok := key.(Text); ok {
		return r.attr(v, t.S)
	}
	n, _ := number(key)
	if i, ok := n.(int64); ok {
		switch v := v.(type) {
		case *list:
			if i < 0 {
				i += int64(len(v.items))
			}
			if v.indexed() && i >= 0 && i < int64(len(v.items)) {
				r.at(v.items[i])
				return v.items[i]
			}
		case Text:
			r.room(len(v.S) / 4)
			if n := int64(utf8.RuneCountInString(v.S)); i < 0 {
				i += n
				if i < 0 {
					break
				}
			} else if i >= n {
				break
			}
			lo := byteOf(v.S, 0, int(i))
			return v.Slice(lo, byteOf(v.S, lo, 1))
		}
	}
	return undefined{what: "an element of '" + typeName(v) + "'"}
}

func (r *run) slice(v any, bounds [3]any) any {
	r.defined(v)
	var b [3]*int64
	for i, e := range bounds {
		if bare(e) == nil {
			continue
		}
		n, _ := number(e)
		x, ok := n.(int64)
		if !ok {
			r.fail("slice indices must be integers or None")
		}
		b[i] = &x
	}
	switch v := v.(type) {
	case Text:
		if b[0] == nil && b[1] == nil && b[2] == nil {
			return v
		}
		r.room(len(v.S) / 4)
		n := utf8.RuneCountInString(v.S)
		if b[2] == nil || *b[2] == 1 {
			lo, hi := r.bounds(n, b)
			from := byteOf(v.S, 0, lo)
			return v.Slice(from, byteOf(v.S, from, max(hi-lo, 0)))
		}
		chars := r.chars(v)
		var out []Text
		for _, i := range r.indices(n, b) {
			out = append(out, chars[i])
		}
		t := r.concat(out...)
		t.markup = v.markup
		return t
	case *list:
		if !v.indexed() {
			break
		}
		out := &list{tuple: v.tuple}
		for _, i := range r.indices(len(v.items), b) {
			out.items = append(out.items, v.items[i])
		}
		if o, ok := r.origins[v]; ok {
			r.origins[out] = o
		}
		return out
	}
	r.fail("a '%s' cannot be sliced", typeName(v))
	return nil
}

// indexed reports whether the list is one that Python indexes.
func (l *list) indexed() bool { return l.view == "" || l.view == "range" }

// byteOf is where the character n after byte from begins.
func byteOf(s string, from, n int) int {
	for ; n > 0; n-- {
		_, size := utf8.DecodeRuneInString(s[from:])
		from += size
	}
	return from
}

// bounds is where a slice of n items with step 1 begins and ends.
func (r *run) bounds(n int, b [3]*int64) (lo, hi int) {
	clamp := func(p *int64, def int) int {
		if p == nil {
			return def
		}
		x := *p
		if x < 0 {
			x += int64(n)
		}
		return int(max(0, min(x, int64(n))))
	}
	return clamp(b[0], 0), clamp(b[1], n)
}

func (r *run) indices(n int, b [3]*int64) []int {
	step := int64(1)
	if b[2] != nil {
		step = *b[2]
	}
	if step == 0 {
		r.fail("slice step cannot be zero")
	}
	lo, hi := int64(0), int64(n)
	if step < 0 {
		lo, hi = -1, int64(n)-1
	}
	clamp := func(p *int64, def int64) int64 {
		if p == nil {
			return def
		}
		x := *p
		if x < 0 {
			x += int64(n)
		}
		return max(lo, min(x, hi))
	}
	from, to := clamp(b[0], lo), clamp(b[1], hi)
	if step < 0 {
		from, to = clamp(b[0], hi), clamp(b[1], lo)
	}
	step = max(-int64(n)-1, min(step, int64(n)+1))
	var out []int
	for i := from; step > 0 && i < to || step < 0 && i > to; i += step {
		out = append(out, int(i))
	}
	r.tick(len(out))
	return out
}

func (r *run) attr(v any, name string) any {
	r.defined(v)
	missing := undefined{name, typeName(v)}
	switch v := v.(type) {
	case *Dict:
		if m := dictMethod(v, name); m != nil {
			return m
		}
		if e, ok := v.Values[name]; ok {
			return e
		}
	case *namespace:
		if e, ok := v.vars[name]; ok {
			return e
		}
	case *cycler:
		return v.attr(name, missing)
	case Text:
		if m, ok := stringMethods[name]; ok {
			return callable(func(r *run, args []any, kw *kwargs) any { return m(r, v, args, kw) })
		}
	case *list:
		if i := slices.Index(v.names, name); i >= 0 {
			return v.items[i]
		}
		if m := listMethod(v, name); m != nil {
			return m
		}
	case *loop:
		return v.attr(name, missing)
	}
	return missing
}

func (l *loop) attr(name string, missing any) any {
	n, i := int64(len(l.items)), int64(l.i)
	switch name {
	case "index":
		return i + 1
	case "index0":
		return i
	case "revindex":
		return n - i
	case "revindex0":
		return n - i - 1
	case "first":
		return i == 0
	case "last":
		return i == n-1
	case "length":
		return n
	case "depth":
		return int64(l.depth) + 1
	case "depth0":
		return int64(l.depth)
	case "previtem":
		if i == 0 {
			return undefined{what: "there is no previous item"}
		}
		return l.items[i-1]
	case "nextitem":
		if i == n-1 {
			return undefined{what: "there is no next item"}
		}
		return l.items[i+1]
	case "cycle":
		return callable(func(r *run, args []any, kw *kwargs) any {
			if len(args) == 0 {
				r.fail("no items for cycling given")
			}
			return args[l.i%len(args)]
		})
	case "changed":
		return callable(func(r *run, args []any, kw *kwargs) any {
			last, _ := l.changed.(*list)
			now := &list{items: args, tuple: true}
			if last != nil && r.equal(last, now) {
				return false
			}
			l.changed = now
			return true
		})
	}
	return missing
}
