package template

import (
	"strings"
)

func (p *parser) statement(name string) stmt {
	switch name {
	case "if":
		return p.ifStmt()
	case "for":
		return p.forStmt()
	case "set":
		return p.setStmt()
	case "macro":
		return p.macroStmt()
	case "break", "continue":
		if p.loops == 0 {
			p.fail("%s outside of a loop", name)
		}
		p.end()
		sig := breakLoop
		if name == "continue" {
			sig = continueLoop
		}
		return func(r *run, s *scope) signal { return sig }
	case "generation":
		p.generation = true
		p.end()
		body := p.inner("endgeneration")
		return func(r *run, s *scope) signal {
			text := r.capture(body, newScope(s))
			lo := r.out.n
			r.write(text)
			if r.out == r.root {
				r.generation = append(r.generation, [2]int{lo, r.out.n})
			} else {
				r.unplaced = true
			}
			return goOn
		}
	case "filter":
		f := p.filterNames(func(r *run, s *scope) any { v, _ := s.own("%body"); return v })
		p.end()
		body := p.inner("endfilter")
		return func(r *run, s *scope) signal {
			in := newScope(s)
			text := r.capture(body, newScope(s))
			in.set("%body", text)
			r.write(r.str(f(r, in)))
			return goOn
		}
	case "block":
		p.needName()
		p.end()
		body := p.inner("endblock")
		return func(r *run, s *scope) signal { return runAll(body, r, newScope(s)) }
	case "call":
		return p.callStmt()
	case "with":
		var names []string
		var vals []expr
		for p.peek().kind != tokEnd {
			names = append(names, p.needName())
			p.needOp("=")
			vals = append(vals, p.expr())
			if !p.op(",") {
				break
			}
		}
		p.end()
		body, _ := p.block("endwith")
		p.end()
		return func(r *run, s *scope) signal {
			in := newScope(s)
			for i, n := range names {
				in.set(n, vals[i](r, s))
			}
			return runAll(body, r, in)
		}
	}
	p.fail("unknown tag %q", name)
	return nil
}

// inner reads a body that is no part of a surrounding loop.
func (p *parser) inner(end string) []stmt {
	defer p.hard()()
	loops := p.loops
	p.loops = 0
	body, _ := p.block(end)
	p.loops = loops
	p.end()
	return body
}

// hard leaves what is inside of an if until the function it returns is called.
func (p *parser) hard() func() {
	soft := p.soft
	p.soft = false
	return func() { p.soft = soft }
}

func (p *parser) ifStmt() stmt {
	soft := p.soft
	p.soft = true
	defer func() { p.soft = soft }()
	cond := p.tuple()
	p.end()
	body, end := p.block("elif", "else", "endif")
	var rest stmt
	switch end {
	case "elif":
		defer p.enter()()
		rest = p.ifStmt()
	case "else":
		p.end()
		other, _ := p.block("endif")
		p.end()
		rest = func(r *run, s *scope) signal { return runAll(other, r, s) }
	default:
		p.end()
	}
	return func(r *run, s *scope) signal {
		if truth(cond(r, s)) {
			return runAll(body, r, s)
		}
		if rest != nil {
			return rest(r, s)
		}
		return goOn
	}
}

// target is where for and set put a value.
type target struct {
	name, attr string
	many       []target
	tuple      bool
}

func (p *parser) target(attrs bool) target {
	one := func() target {
		if p.op("(") {
			t := p.target(attrs)
			p.needOp(")")
			return t
		}
		n := p.needName()
		switch n {
		case "true", "false", "none", "True", "False", "None":
			p.fail("cannot assign to %q", n)
		}
		if attrs && p.op(".") {
			return target{name: n, attr: p.needName()}
		}
		return target{name: n}
	}
	defer p.enter()()
	first := one()
	if !p.isOp(",") {
		return first
	}
	t := target{many: []target{first}, tuple: true}
	for p.op(",") {
		if p.peek().kind != tokName && !p.isOp("(") || p.isName("in") {
			break
		}
		t.many = append(t.many, one())
	}
	return t
}

func (r *run) assign(s *scope, t target, v any) {
	switch {
	case t.tuple:
		items := r.iterate(v)
		if len(items) != len(t.many) {
			r.fail("cannot unpack %d values into %d names", len(items), len(t.many))
		}
		for i, m := range t.many {
			r.assign(s, m, items[i])
		}
	case t.attr != "":
		ns, ok := s.get(t.name).(*namespace)
		if !ok {
			r.fail("cannot assign attribute on non-namespace object")
		}
		if strings.HasPrefix(t.attr, "_") {
			r.fail("a namespace cannot store the attribute %q", t.attr)
		}
		ns.vars[t.attr] = v
	default:
		s.set(t.name, v)
		r.at(v)
	}
}

func (p *parser) setStmt() stmt {
	t := p.target(true)
	if p.op("=") {
		v := p.tuple()
		p.end()
		return func(r *run, s *scope) signal { r.assign(s, t, v(r, s)); return goOn }
	}
	f := expr(nil)
	if p.isOp("|") {
		f = p.filterTail(func(r *run, s *scope) any { v, _ := s.own("%body"); return v })
	}
	p.end()
	body := p.inner("endset")
	return func(r *run, s *scope) signal {
		var v any = r.capture(body, newScope(s))
		if f != nil {
			in := newScope(s)
			in.set("%body", v)
			v = f(r, in)
		}
		r.assign(s, t, v)
		return goOn
	}
}

func (p *parser) forStmt() stmt {
	t := p.target(false)
	if !p.word("in") {
		p.fail("expected in, found %q", p.peek().s)
	}
	iter := p.tupleOf(p.or)
	var cond expr
	if p.word("if") {
		cond = p.expr()
	}
	recursive := p.word("recursive")
	p.end()
	defer p.hard()()
	p.loops++
	body, end := p.block("else", "endfor")
	p.loops--
	p.end()
	var other []stmt
	if end == "else" {
		other, _ = p.block("endfor")
		p.end()
	}
	f := &forLoop{t, cond, body, other, recursive}
	return func(r *run, s *scope) signal { return f.run(r, s, iter(r, s), 0) }
}

type forLoop struct {
	target      target
	cond        expr
	body, other []stmt
	recursive   bool
}

func (f *forLoop) run(r *run, s *scope, over any, depth int) signal {
	defer r.enter()()
	items := r.iterate(over)
	if f.cond != nil {
		var keep []any
		for _, v := range items {
			r.tick(4)
			in := newScope(s)
			r.assign(in, f.target, v)
			if truth(f.cond(r, in)) {
				keep = append(keep, v)
			}
		}
		items = keep
	}
	if len(items) == 0 {
		return runAll(f.other, r, newScope(s))
	}
	l := &loop{items: items, depth: depth}
	if f.recursive {
		l.recurse = func(r *run, items any) Text {
			return r.captured(func() { f.run(r, s, items, depth+1) })
		}
	}
	outer, since := r.turn, r.since
	r.iterations++
	defer func() {
		r.iterations--
		r.since = since
	}()
	for i, v := range items {
		r.tick(4) // a scope and its variables
		l.i = i
		in := newScope(s)
		in.set("loop", l)
		r.since = r.root.n
		r.assign(in, f.target, v) // which is where a turn begins, if v is a message
		sig := runAll(f.body, r, in)
		r.turn = outer
		if sig == breakLoop {
			break
		}
	}
	return goOn
}
