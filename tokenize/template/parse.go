package template

import (
	"fmt"
	"slices"
	"strings"
)

// Template is a parsed template.
type Template struct {
	Generation bool // whether it has {% generation %} blocks
	body       []stmt
}

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

func (p *parser) isOp(s string) bool { return p.peek() == token{tokOp, s} }

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
