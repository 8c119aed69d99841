package template

import (
	"math"
	"math/big"
	"strings"
)

func (r *run) equal(a, b any) bool {
	defer r.enter()()
	r.tick(1)
	a, b = bare(a), bare(b)
	if x, ok := number(a); ok {
		y, ok := number(b)
		if !ok {
			return false
		}
		if i, ok := x.(int64); ok {
			if j, ok := y.(int64); ok {
				return i == j
			}
		}
		return toFloat(x) == toFloat(y)
	}
	switch a := a.(type) {
	case nil:
		return b == nil
	case undefined:
		_, ok := b.(undefined)
		return ok
	case Text:
		b, ok := b.(Text)
		return ok && a.S == b.S
	case *list:
		b, ok := b.(*list)
		if !ok || a.tuple != b.tuple || a.view != b.view || len(a.items) != len(b.items) {
			return false
		}
		for i := range a.items {
			if !r.equal(a.items[i], b.items[i]) {
				return false
			}
		}
		return true
	case *Dict:
		b, ok := b.(*Dict)
		if !ok || len(a.Keys) != len(b.Keys) {
			return false
		}
		for k, v := range a.Values {
			w, ok := b.Values[k]
			if !ok || !r.equal(v, w) {
				return false
			}
		}
		return true
	case *big.Int:
		b, ok := b.(*big.Int)
		return ok && a.Cmp(b) == 0
	case callable:
		return false
	}
	switch b.(type) {
	case *namespace, *loop:
		return a == b
	}
	return false
}

// order is negative, zero or positive as a sorts before, with or after b.
func (r *run) order(op string, a, b any) int {
	defer r.enter()()
	r.tick(1)
	if x, ok := number(a); ok {
		if y, ok := number(b); ok {
			if i, ok := x.(int64); ok {
				if j, ok := y.(int64); ok {
					switch {
					case i < j:
						return -1
					case i > j:
						return 1
					}
					return 0
				}
			}
			switch f, g := toFloat(x), toFloat(y); {
			case f < g:
				return -1
			case f > g:
				return 1
			}
			return 0
		}
	}
	switch a := a.(type) {
	case Text:
		if b, ok := b.(Text); ok {
			return strings.Compare(a.S, b.S)
		}
	case *list:
		if b, ok := b.(*list); ok && a.tuple == b.tuple {
			for i := range min(len(a.items), len(b.items)) {
				if !r.equal(a.items[i], b.items[i]) {
					return r.order(op, a.items[i], b.items[i])
				}
			}
			return len(a.items) - len(b.items)
		}
	}
	r.defined(a)
	r.defined(b)
	r.fail("'%s' not supported between instances of '%s' and '%s'", op, typeName(a), typeName(b))
	return 0
}

func (r *run) compare(op string, a, b any) bool {
	switch op {
	case "==":
		return r.equal(a, b)
	case "!=":
		return !r.equal(a, b)
	case "in":
		return r.contains(b, a)
	case "not in":
		return !r.contains(b, a)
	}
	for _, v := range []any{bare(a), bare(b)} {
		if x, ok := v.(float64); ok && math.IsNaN(x) {
			return false
		}
	}
	c := r.order(op, a, b)
	switch op {
	case "<":
		return c < 0
	case "<=":
		return c <= 0
	case ">":
		return c > 0
	}
	return c >= 0
}

func (r *run) contains(where, v any) bool {
	switch w := where.(type) {
	case Text:
		t, ok := v.(Text)
		if !ok {
			r.fail("'in <string>' requires string as left operand, not %s", typeName(v))
		}
		r.room(len(w.S) / 16)
		return strings.Contains(w.S, t.S)
	case *Dict:
		if l, ok := v.(*list); ok && l.tuple {
			return false
		}
		_, ok := w.Values[r.key(v)]
		return ok
	}
	for _, e := range r.iterate(where) {
		if r.equal(e, v) {
			return true
		}
	}
	return false
}
