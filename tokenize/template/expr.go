package template

import (
	"slices"
	"strconv"
)

type expr func(r *run, s *scope) any

// tuple is one expression, or several with commas between.
func (p *parser) tuple() expr { return p.tupleOf(p.expr) }

func (p *parser) tupleOf(one func() expr) expr {
	first := one()
	if !p.isOp(",") {
		return first
	}
	items := []expr{first}
	for p.op(",") {
		if t := p.peek(); t.kind == tokEnd || t.kind == tokOp && (t.s == ")" || t.s == "]" || t.s == "}" || t.s == "=") {
			break
		}
		items = append(items, one())
	}
	return listOf(items, true)
}

func listOf(items []expr, tuple bool) expr {
	return func(r *run, s *scope) any {
		out := make([]any, len(items))
		for i, e := range items {
			out[i] = e(r, s)
		}
		r.tick(len(items))
		return &list{items: out, tuple: tuple}
	}
}

func (p *parser) expr() expr {
	defer p.enter()()
	e := p.or()
	n := 0
	for p.word("if") {
		p.term(&n)
		then, cond := e, p.or()
		var other expr
		if p.word("else") {
			other = p.expr()
		}
		e = func(r *run, s *scope) any {
			if truth(cond(r, s)) {
				return then(r, s)
			}
			if other == nil {
				return undefined{what: "the inline if-expression"}
			}
			return other(r, s)
		}
	}
	return e
}

func (p *parser) or() expr {
	e := p.and()
	n := 0
	for p.word("or") {
		p.term(&n)
		a, b := e, p.and()
		e = func(r *run, s *scope) any {
			if v := a(r, s); truth(v) {
				return v
			}
			return b(r, s)
		}
	}
	return e
}

func (p *parser) and() expr {
	e := p.not()
	n := 0
	for p.word("and") {
		p.term(&n)
		a, b := e, p.not()
		e = func(r *run, s *scope) any {
			if v := a(r, s); !truth(v) {
				return v
			}
			return b(r, s)
		}
	}
	return e
}

func (p *parser) not() expr {
	if p.word("not") {
		defer p.enter()()
		e := p.not()
		return func(r *run, s *scope) any { return !truth(e(r, s)) }
	}
	return p.compare()
}

func (p *parser) compare() expr {
	first := p.binary(0)
	var ops []string
	var args []expr
	for {
		t := p.peek()
		op := ""
		switch {
		case t.kind == tokOp && slices.Contains([]string{"==", "!=", "<", "<=", ">", ">="}, t.s), t == token{tokName, "in"}:
			op = t.s
			p.pos++
		case t == token{tokName, "not"} && p.peekAt(1) == token{tokName, "in"}:
			op = "not in"
			p.pos += 2
		}
		if op == "" {
			break
		}
		ops, args = append(ops, op), append(args, p.binary(0))
	}
	if ops == nil {
		return first
	}
	return func(r *run, s *scope) any {
		a := first(r, s)
		for i, op := range ops {
			b := args[i](r, s)
			r.tick(1)
			if !r.compare(op, a, b) {
				return false
			}
			a = b
		}
		return true
	}
}

var levels = [][]string{{"+", "-"}, {"~"}, {"*", "/", "//", "%"}, {"**"}}

func (p *parser) binary(level int) expr {
	if level == len(levels) {
		return p.unary(true)
	}
	e := p.binary(level + 1)
	if p.isOp("+") || p.isOp("~") {
		e = p.sum(level, e)
	}
	n := 0
	for p.peek().kind == tokOp && slices.Contains(levels[level], p.peek().s) {
		p.term(&n)
		op := p.peek().s
		p.pos++
		a, b := e, p.binary(level+1)
		e = func(r *run, s *scope) any {
			x := a(r, s)
			y := b(r, s)
			r.tick(1)
			return r.arith(op, x, y)
		}
	}
	return e
}

// sum reads a run of one operator that joins strings, + or ~, so that all are
// joined at once: a + b + c makes no a + b.
func (p *parser) sum(level int, first expr) expr {
	op := p.peek().s
	if !slices.Contains(levels[level], op) {
		return first
	}
	terms := []expr{first}
	for p.op(op) {
		terms = append(terms, p.binary(level+1))
	}
	return func(r *run, s *scope) any {
		vals, texts := make([]any, len(terms)), make([]Text, len(terms))
		plain := true
		for i, e := range terms {
			vals[i] = e(r, s)
			t, ok := vals[i].(Text)
			texts[i], plain = t, plain && ok && !t.markup
		}
		r.tick(len(terms))
		if plain {
			return r.concat(texts...)
		}
		v := vals[0]
		for _, w := range vals[1:] {
			v = r.arith(op, v, w)
		}
		return v
	}
}

func (p *parser) unary(filters bool) expr {
	defer p.enter()()
	var e expr
	if p.isOp("-") || p.isOp("+") {
		op := p.peek().s
		p.pos++
		in := p.unary(false)
		e = func(r *run, s *scope) any { return r.sign(op, in(r, s)) }
	} else {
		e = p.primary()
	}
	e = p.postfix(e)
	if filters {
		e = p.filterTail(e)
	}
	return e
}

func constant(v any) expr { return func(r *run, s *scope) any { return v } }

func (p *parser) primary() expr {
	t := p.peek()
	p.pos++
	switch t.kind {
	case tokName:
		switch t.s {
		case "true", "True":
			return constant(true)
		case "false", "False":
			return constant(false)
		case "none", "None":
			return constant(nil)
		case "if", "else", "and", "or", "in", "is", "not":
			p.fail("unexpected %q", t.s)
		}
		switch t.s {
		case "caller", "varargs", "kwargs":
			p.uses[t.s] = true
		}
		return func(r *run, s *scope) any { return s.get(t.s) }
	case tokString:
		text := t.s
		for p.peek().kind == tokString {
			text += p.peek().s
			p.pos++
		}
		return constant(NewText(text, Literal))
	case tokInt:
		n, err := strconv.ParseInt(t.s, 10, 64)
		if err != nil {
			return func(r *run, s *scope) any { return r.bigInteger(t.s) }
		}
		return constant(n)
	case tokFloat:
		f, err := strconv.ParseFloat(t.s, 64)
		if err != nil {
			p.fail("number %s is too large", t.s)
		}
		return constant(f)
	case tokOp:
		switch t.s {
		case "(":
			if p.op(")") {
				return listOf(nil, true)
			}
			e := p.tuple()
			p.needOp(")")
			return e
		case "[":
			var items []expr
			for !p.op("]") {
				items = append(items, p.expr())
				if !p.op(",") {
					p.needOp("]")
					break
				}
			}
			return listOf(items, false)
		case "{":
			var keys, vals []expr
			for !p.op("}") {
				keys = append(keys, p.expr())
				p.needOp(":")
				vals = append(vals, p.expr())
				if !p.op(",") {
					p.needOp("}")
					break
				}
			}
			return func(r *run, s *scope) any {
				d := NewDict()
				for i := range keys {
					d.Set(r.key(keys[i](r, s)), vals[i](r, s))
				}
				r.tick(len(keys))
				return d
			}
		}
	}
	if t.kind == tokEnd {
		p.fail("an expression is missing")
	}
	p.fail("unexpected %q", t.s)
	return nil
}

func (p *parser) postfix(e expr) expr { return p.postfixOf(e, true) }

// postfixUntilCall reads attributes and subscripts, up to the first call.
func (p *parser) postfixUntilCall(e expr) expr { return p.postfixOf(e, false) }

func (p *parser) postfixOf(e expr, calls bool) expr {
	for n := 0; ; n++ {
		if n > maxParseDepth {
			p.fail("nested deeper than %d", maxParseDepth)
		}
		in := e
		switch {
		case p.op("."):
			if p.peek().kind == tokInt {
				i, _ := strconv.ParseInt(p.peek().s, 10, 64)
				p.pos++
				e = func(r *run, s *scope) any { return r.item(in(r, s), i) }
				continue
			}
			name := p.needName()
			e = func(r *run, s *scope) any { return r.attr(in(r, s), name) }
		case p.op("["):
			e = p.subscript(in)
		case calls && p.isOp("("):
			e = p.callOf(in)
		default:
			return e
		}
	}
}

// callOf reads the arguments of a call of what callee gives.
func (p *parser) callOf(callee expr) expr {
	args := p.args()
	return func(r *run, s *scope) any {
		f := callee(r, s)
		pos, kw := args(r, s)
		return r.call(f, pos, kw)
	}
}

func (p *parser) subscript(in expr) expr {
	var parts [3]expr
	n := 0
	for !p.op("]") {
		if p.op(":") {
			if n++; n > 2 {
				p.fail("a slice has at most three parts")
			}
			continue
		}
		if parts[n] != nil {
			p.fail("expected ], found %q", p.peek().s)
		}
		parts[n] = p.tuple()
	}
	if n == 0 {
		if parts[0] == nil {
			p.fail("a subscript is missing")
		}
		return func(r *run, s *scope) any {
			v := in(r, s)
			return r.item(v, parts[0](r, s))
		}
	}
	return func(r *run, s *scope) any {
		v := in(r, s)
		var b [3]any
		for i, e := range parts {
			if e != nil {
				b[i] = e(r, s)
			}
		}
		return r.slice(v, b)
	}
}

// filterTail reads filters, tests and calls behind an operand.
func (p *parser) filterTail(e expr) expr {
	n := 0
	for {
		p.term(&n)
		switch {
		case p.op("|"):
			e = p.filterNames(e)
		case p.word("is"):
			e = p.test(e)
		case p.isOp("("):
			e = p.callOf(e)
		default:
			return e
		}
	}
}

// filterNames reads a filter's name and arguments, and any filters that follow.
func (p *parser) filterNames(in expr) expr {
	defer p.enter()()
	name := p.needName()
	f, ok := filters[name]
	if !ok && !p.soft {
		p.fail("no filter named %q", name)
	}
	if !ok {
		f = func(r *run, v any, args []any, kw *kwargs) any {
			r.fail("no filter named %q found", name)
			return nil
		}
	}
	args := argsOf(noArgs)
	if p.isOp("(") {
		args = p.args()
	}
	e := expr(func(r *run, s *scope) any {
		v := in(r, s)
		pos, kw := args(r, s)
		r.tick(1)
		out := f(r, v, pos, kw)
		kw.done(r)
		return out
	})
	if p.op("|") {
		return p.filterNames(e)
	}
	return e
}

func (p *parser) test(in expr) expr {
	negate := p.word("not")
	name := p.needName()
	f, ok := tests[name]
	if !ok && !p.soft {
		p.fail("no test named %q", name)
	}
	if !ok {
		f = func(r *run, v any, args []any) bool {
			r.fail("no test named %q found", name)
			return false
		}
	}
	args := argsOf(noArgs)
	t := p.peek()
	switch {
	case t == token{tokOp, "("}:
		args = p.args()
	case t.kind == tokString, t.kind == tokInt, t.kind == tokFloat, t == token{tokOp, "["}, t == token{tokOp, "{"},
		t.kind == tokName && !slices.Contains([]string{"else", "or", "and", "is", "if", "in", "not", "recursive"}, t.s):
		arg := p.postfix(p.primary())
		args = func(r *run, s *scope) ([]any, *kwargs) { return []any{arg(r, s)}, &kwargs{} }
	}
	return func(r *run, s *scope) any {
		v := in(r, s)
		pos, kw := args(r, s)
		r.tick(1)
		out := f(r, v, pos) != negate
		kw.done(r)
		return out
	}
}
