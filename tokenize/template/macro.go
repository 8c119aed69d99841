package template

import (
	"maps"
	"slices"
	"strconv"
)

type param struct {
	name string
	def  expr
}

// macro is the body of a macro or a call block.
type macro struct {
	name   string
	params []param
	body   []stmt
	uses   map[string]bool // which of caller, varargs and kwargs the body names
}

// parameters reads a macro's parameters behind the opening parenthesis.
func (p *parser) parameters() []param {
	var params []param
	for !p.op(")") {
		a := param{name: p.needName()}
		if p.op("=") {
			a.def = p.expr()
		} else if len(params) > 0 && params[len(params)-1].def != nil {
			p.fail("parameter %s without default after one with", a.name)
		}
		params = append(params, a)
		if !p.op(",") {
			p.needOp(")")
			break
		}
	}
	return params
}

// macroBody reads a macro's body until its end tag.
func (p *parser) macroBody(name string, params []param, end string) *macro {
	outer := p.uses
	p.uses = map[string]bool{}
	m := &macro{name, params, p.inner(end), p.uses}
	p.uses = outer
	maps.Copy(p.uses, m.uses) // a macro inside names them for the one around it
	return m
}

func (p *parser) macroStmt() stmt {
	name := p.needName()
	p.needOp("(")
	params := p.parameters()
	p.end()
	m := p.macroBody(name, params, "endmacro")
	return func(r *run, s *scope) signal {
		s.set(name, m.in(s))
		return goOn
	}
}

// callStmt is a call block: it calls a macro, whose caller() is the body.
func (p *parser) callStmt() stmt {
	var params []param
	if p.op("(") {
		params = p.parameters()
	}
	callee := p.postfixUntilCall(p.primary())
	args := p.args()
	p.end()
	m := p.macroBody("caller", params, "endcall")
	return func(r *run, s *scope) signal {
		f := callee(r, s)
		pos, kw := args(r, s)
		kw.names, kw.vals = append(kw.names, "caller"), append(kw.vals, m.in(s))
		r.write(r.str(r.call(f, pos, kw)))
		return goOn
	}
}

// in is the macro as a value, its names resolved in s.
func (m *macro) in(s *scope) callable {
	return func(r *run, args []any, kw *kwargs) any {
		in := newScope(s)
		for i, a := range m.params {
			var v any
			given := i < len(args)
			if given {
				v = args[i]
			} else if v, given = kw.take(a.name); !given && a.def != nil {
				v = a.def(r, in)
			} else if !given {
				v = undefined{what: "parameter " + strconv.Quote(a.name)}
			}
			in.set(a.name, v)
		}
		extra := args[min(len(args), len(m.params)):]
		if m.uses["caller"] && !slices.ContainsFunc(m.params, func(p param) bool { return p.name == "caller" }) {
			v, ok := kw.take("caller")
			if !ok {
				v = undefined{what: "the caller"}
			}
			in.set("caller", v)
		}
		if m.uses["kwargs"] {
			in.set("kwargs", r.newDict(nil, kw))
		}
		if m.uses["varargs"] {
			in.set("varargs", &list{items: slices.Clone(extra), tuple: true})
		} else if len(extra) > 0 {
			r.fail("macro %q takes not more than %d argument(s)", m.name, len(m.params))
		}
		kw.done(r)
		return r.capture(m.body, in)
	}
}

type argsOf func(r *run, s *scope) ([]any, *kwargs)

func noArgs(r *run, s *scope) ([]any, *kwargs) { return nil, &kwargs{} }

// args reads the arguments of a call: values, names with values, *list, **dict.
func (p *parser) args() argsOf {
	p.needOp("(")
	var pos, vals []expr
	var names []string
	var rest, more expr
	for !p.op(")") {
		switch {
		case p.op("*"):
			if rest != nil || more != nil {
				p.fail("invalid syntax for function call expression")
			}
			rest = p.expr()
		case p.op("**"):
			if more != nil {
				p.fail("invalid syntax for function call expression")
			}
			more = p.expr()
		case p.peek().kind == tokName && p.peekAt(1) == (token{tokOp, "="}):
			n := p.needName()
			if slices.Contains(names, n) {
				p.fail("argument %s is given twice", n)
			}
			if more != nil {
				p.fail("invalid syntax for function call expression")
			}
			p.pos++
			names, vals = append(names, n), append(vals, p.expr())
		default:
			if names != nil || rest != nil || more != nil {
				p.fail("an argument without a name after one with")
			}
			pos = append(pos, p.expr())
		}
		if !p.op(",") {
			p.needOp(")")
			break
		}
	}
	return func(r *run, s *scope) ([]any, *kwargs) {
		var a []any
		for _, e := range pos {
			a = append(a, e(r, s))
		}
		if rest != nil {
			v := rest(r, s)
			r.defined(v)
			items := r.iterate(v)
			r.tick(len(items))
			a = append(a, items...)
		}
		kw := &kwargs{}
		for i, e := range vals {
			kw.names, kw.vals = append(kw.names, names[i]), append(kw.vals, e(r, s))
		}
		if more != nil {
			d, ok := more(r, s).(*Dict)
			if !ok {
				r.fail("argument after ** must be a mapping")
			}
			r.tick(len(d.Keys))
			for _, k := range d.Keys {
				if slices.Contains(kw.names, k) {
					r.fail("got multiple values for keyword argument %q", k)
				}
				kw.names, kw.vals = append(kw.names, k), append(kw.vals, d.Values[k])
			}
		}
		return a, kw
	}
}
