package template

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Template is a parsed template.
type Template struct {
	Generation bool // whether it has {% generation %} blocks
	body       []stmt
}

type expr func(r *run, s *scope) any
type stmt func(r *run, s *scope) signal

type signal int

const (
	goOn signal = iota
	breakLoop
	continueLoop
)

const (
	maxParseDepth = 200
	maxTerms      = 1000    // operators in a row: each nests the evaluation
	maxSource     = 4 << 20 // bytes of a template
)

type parseError struct{ error }

type parser struct {
	pieces     []Piece
	at         int // the next piece
	line       int
	toks       []token
	pos        int
	depth      int
	loops      int
	generation bool
	soft       bool            // inside an if, whose unknown filters fail only when they are reached
	uses       map[string]bool // of caller, varargs and kwargs: those that the macro's body names
}

// Parse reads a template; an error names its line.
func Parse(src string) (t *Template, err error) {
	if len(src) > maxSource {
		return nil, fmt.Errorf("the template has %d bytes, at most %d are read", len(src), maxSource)
	}
	pieces, err := Split(src)
	if err != nil {
		return nil, err
	}
	p := &parser{pieces: pieces, line: 1, uses: map[string]bool{}}
	defer func() {
		if e := recover(); e != nil {
			pe, ok := e.(parseError)
			if !ok {
				panic(e)
			}
			t, err = nil, fmt.Errorf("template line %d: %w", p.line, pe.error)
		}
	}()
	body, _ := p.block()
	return &Template{p.generation, body}, nil
}

func (p *parser) fail(format string, args ...any) {
	panic(parseError{fmt.Errorf(format, args...)})
}

func (p *parser) enter() func() {
	if p.depth++; p.depth > maxParseDepth {
		p.fail("nested deeper than %d", maxParseDepth)
	}
	return func() { p.depth-- }
}

// term counts the operators of one row.
func (p *parser) term(n *int) {
	if *n++; *n > maxTerms {
		p.fail("more than %d operators in a row", maxTerms)
	}
}

func (p *parser) load(piece Piece) {
	p.line = piece.Line
	toks, err := lex(piece.Text)
	if err != nil {
		p.fail("%w", err)
	}
	p.toks, p.pos = toks, 0
}

func (p *parser) peek() token { return p.peekAt(0) }
func (p *parser) peekAt(n int) token {
	if p.pos+n < len(p.toks) {
		return p.toks[p.pos+n]
	}
	return token{}
}
func (p *parser) isOp(s string) bool   { return p.peek() == token{tokOp, s} }
func (p *parser) isName(s string) bool { return p.peek() == token{tokName, s} }
func (p *parser) op(s string) bool {
	if p.isOp(s) {
		p.pos++
		return true
	}
	return false
}
func (p *parser) word(s string) bool {
	if p.isName(s) {
		p.pos++
		return true
	}
	return false
}
func (p *parser) needOp(s string) {
	if !p.op(s) {
		p.fail("expected %q, found %q", s, p.peek().s)
	}
}
func (p *parser) needName() string {
	t := p.peek()
	if t.kind != tokName {
		p.fail("expected a name, found %q", t.s)
	}
	p.pos++
	return t.s
}
func (p *parser) end() {
	if t := p.peek(); t.kind != tokEnd {
		p.fail("unexpected %q", t.s)
	}
}

// block reads statements until a tag among ends, whose name it returns; with
// no ends, until the end of the template.
func (p *parser) block(ends ...string) ([]stmt, string) {
	defer p.enter()()
	var out []stmt
	for p.at < len(p.pieces) {
		piece := p.pieces[p.at]
		p.at++
		p.line = piece.Line
		switch piece.Kind {
		case Data:
			text := NewText(piece.Text, Literal)
			out = append(out, func(r *run, s *scope) signal { r.write(text); return goOn })
		case Expression:
			p.load(piece)
			e, line := p.tuple(), piece.Line
			p.end()
			out = append(out, func(r *run, s *scope) signal {
				r.step(line)
				r.write(r.str(e(r, s)))
				return goOn
			})
		case Statement:
			p.load(piece)
			name := p.needName()
			if slices.Contains(ends, name) {
				return out, name
			}
			line := piece.Line
			st := p.statement(name)
			out = append(out, func(r *run, s *scope) signal { r.step(line); return st(r, s) })
		}
	}
	if len(ends) > 0 {
		p.fail("%s is missing", strings.Join(ends, " or "))
	}
	return out, ""
}

func runAll(body []stmt, r *run, s *scope) signal {
	for _, st := range body {
		if sig := st(r, s); sig != goOn {
			return sig
		}
	}
	return goOn
}

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
