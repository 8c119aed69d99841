package template

import (
	"math"
	"strings"
)

func (r *run) sign(op string, v any) any {
	r.defined(v)
	n, ok := number(v)
	if !ok {
		r.fail("bad operand type for unary %s: '%s'", op, typeName(v))
	}
	if op == "+" {
		return n
	}
	if i, ok := n.(int64); ok {
		return -i
	}
	return -toFloat(n)
}

func (r *run) arith(op string, a, b any) any {
	if op == "~" {
		return r.concat(r.str(a), r.str(b))
	}
	r.defined(a)
	r.defined(b)
	a, b = bare(a), bare(b)
	if x, ok := number(a); ok {
		if y, ok := number(b); ok {
			return r.calculate(op, x, y)
		}
		if op == "*" {
			a, b = b, a
		}
	}
	switch x := a.(type) {
	case Text:
		switch y := b.(type) {
		case Text:
			if op == "+" {
				return r.add(x, y)
			}
		case int64:
			if op == "*" {
				t := r.repeat(x, y)
				t.markup = x.markup
				return t
			}
		}
		if op == "%" {
			return r.percent(x, b)
		}
	case *list:
		switch y := b.(type) {
		case *list:
			if op == "+" && x.tuple == y.tuple && x.view == "" && y.view == "" {
				r.tick(len(x.items) + len(y.items))
				return &list{items: append(append([]any{}, x.items...), y.items...), tuple: x.tuple}
			}
		case int64:
			if op == "*" && x.view == "" {
				out := &list{tuple: x.tuple}
				for ; y > 0; y-- {
					r.tick(1 + len(x.items))
					out.items = append(out.items, x.items...)
				}
				return out
			}
		}
	}
	if _, ok := a.(Text); ok && op == "+" {
		r.fail("can only concatenate str (not %q) to str", typeName(b))
	}
	r.fail("unsupported operand type(s) for %s: '%s' and '%s'", op, typeName(a), typeName(b))
	return nil
}

func (r *run) concat(parts ...Text) Text {
	n := 0
	for _, p := range parts {
		n += len(p.S)
		r.tick(1 + len(p.Segs))
	}
	r.room(n)
	return Concat(parts...)
}

func (r *run) repeat(t Text, n int64) Text {
	if n <= 0 || t.S == "" {
		return Text{}
	}
	if n > maxOutput/int64(len(t.S)) {
		r.fail("the template makes too much text")
	}
	if len(t.Segs) == 1 {
		r.room(len(t.S) * int(n))
		return NewText(strings.Repeat(t.S, int(n)), t.Segs[0].Origin)
	}
	r.tick(int(n))
	parts := make([]Text, n)
	for i := range parts {
		parts[i] = t
	}
	return r.concat(parts...)
}

func (r *run) calculate(op string, a, b any) any {
	i, ok1 := a.(int64)
	j, ok2 := b.(int64)
	if ok1 && ok2 {
		overflow := func(bad bool) {
			if bad {
				r.fail("integer overflow")
			}
		}
		switch op {
		case "+":
			c := i + j
			overflow((c > i) != (j > 0))
			return c
		case "-":
			c := i - j
			overflow((c < i) != (j > 0))
			return c
		case "*":
			if i == 0 || j == 0 {
				return int64(0)
			}
			c := i * j
			overflow(c/j != i || i == math.MinInt64 || j == math.MinInt64)
			return c
		case "//", "%":
			if j == 0 {
				r.fail("integer division or modulo by zero")
			}
			q, m := i/j, i%j
			if m != 0 && (m < 0) != (j < 0) {
				q, m = q-1, m+j
			}
			if op == "%" {
				return m
			}
			return q
		case "**":
			if j >= 0 {
				c := int64(1)
				if i == 0 || i == 1 || i == -1 {
					if j == 0 || i == 1 || i == -1 && j%2 == 0 {
						return int64(1)
					}
					return i
				}
				for ; j > 0; j-- {
					next := c * i
					overflow(next/i != c)
					c = next
				}
				return c
			}
		}
	}
	x, y := toFloat(a), toFloat(b)
	switch op {
	case "+":
		return x + y
	case "-":
		return x - y
	case "*":
		return x * y
	case "**":
		if x == 0 && y < 0 {
			r.fail("0.0 cannot be raised to a negative power")
		}
		return math.Pow(x, y)
	}
	if y == 0 {
		r.fail("division by zero")
	}
	if op == "/" {
		return x / y
	}
	m := math.Mod(x, y)
	if m != 0 && (m < 0) != (y < 0) {
		m += y
	}
	if op == "%" {
		return m
	}
	return math.Round((x - m) / y)
}
