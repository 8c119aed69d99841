package template

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The bounds of one rendering: templates and rows are untrusted.
const (
	maxSteps  = 5_000_000
	maxOutput = 32 << 20
	maxWork   = 128 << 20 // bytes of all the strings made on the way
	maxDepth  = 200
)

// Output is a rendering.
type Output struct {
	Text       Text
	Generation [][2]int // byte ranges rendered inside {% generation %}
	Turns      []Turn   // ascending
}

// Turn is a byte range that the template wrote while it was at a message: in an
// iteration of a loop over the messages. It holds the message's own bytes and
// what the template puts around them.
type Turn struct{ Message, Start, End int }

type (
	undefined struct{ what, of string } // of: the type that has no attribute what
	list      struct {
		items []any
		tuple bool
		view  string   // what Python has instead of a list: generator, range, dict_items, ...
		shown string   // how a range prints
		names []string // of a tuple whose items have names
	}
	reference struct{} // self: the template's blocks, of which chat templates have none
	namespace struct{ vars map[string]any }
	loop      struct {
		items   []any
		i       int
		depth   int // 0: the outermost of a recursive loop
		recurse func(r *run, items any) Text
		changed any
	}
	callable func(r *run, args []any, kw *kwargs) any
)

type kwargs struct {
	names []string
	vals  []any
}

func (k *kwargs) take(name string) (any, bool) {
	for i, n := range k.names {
		if n == name {
			v := k.vals[i]
			k.names = append(k.names[:i:i], k.names[i+1:]...)
			k.vals = append(k.vals[:i:i], k.vals[i+1:]...)
			return v, true
		}
	}
	return nil, false
}

// done fails for an argument that nothing took.
func (k *kwargs) done(r *run) {
	if len(k.names) > 0 {
		r.fail("unexpected argument %q", k.names[0])
	}
}

// scope holds few variables as a rule, which a look along the names finds
// sooner than a map does.
type scope struct {
	names  []string
	vals   []any
	more   map[string]any // the names beyond fewNames
	parent *scope
}

const fewNames = 12

func newScope(parent *scope) *scope { return &scope{parent: parent} }

// own is a variable of this scope itself.
func (s *scope) own(name string) (any, bool) {
	for i, n := range s.names {
		if n == name {
			return s.vals[i], true
		}
	}
	v, ok := s.more[name]
	return v, ok
}

func (s *scope) set(name string, v any) {
	for i, n := range s.names {
		if n == name {
			s.vals[i] = v
			return
		}
	}
	if len(s.names) < fewNames {
		s.names, s.vals = append(s.names, name), append(s.vals, v)
		return
	}
	if s.more == nil {
		s.more = map[string]any{}
	}
	s.more[name] = v
}

func (s *scope) get(name string) any {
	for ; s != nil; s = s.parent {
		if v, ok := s.own(name); ok {
			return v
		}
	}
	if f, ok := globals[name]; ok {
		return f
	}
	if name == "self" {
		return reference{}
	}
	return undefined{what: "'" + name + "'"}
}

type buffer struct {
	parts []Text
	n     int
}

type run struct {
	line, steps, work, depth int
	leave                    func() // one level less deep
	out, root                *buffer
	generation               [][2]int
	turns                    []Turn
	turn                     int            // the message that is being rendered; -1: none
	iterations               int            // loops around the statement that runs
	since                    int            // bytes of output when the innermost iteration began
	origins                  map[any]Origin // of dicts and lists
}

type renderError struct{ error }

func (r *run) fail(format string, args ...any) { panic(renderError{fmt.Errorf(format, args...)}) }

func (r *run) step(line int) {
	r.line = line
	r.tick(1)
}

func (r *run) tick(n int) {
	if r.steps += n; r.steps > maxSteps {
		r.fail("the template runs too long")
	}
}

// made accounts for a string that was made.
func (r *run) made(t Text) Text {
	r.tick(1 + len(t.Segs))
	r.room(len(t.S))
	return t
}

// room accounts for n bytes before they are made.
func (r *run) room(n int) {
	if n > maxWork-r.work {
		r.fail("the template makes too much text")
	}
	r.work += n
}

func (r *run) enter() func() {
	if r.depth++; r.depth > maxDepth {
		r.fail("nested deeper than %d", maxDepth)
	}
	return r.leave
}

func (r *run) write(t Text) {
	if t.S == "" {
		return
	}
	if r.out.n += len(t.S); r.out.n > maxOutput {
		r.fail("the output exceeds %d bytes", maxOutput)
	}
	r.tick(1 + len(t.Segs))
	r.out.parts = append(r.out.parts, t)
	if r.out != r.root || r.turn < 0 {
		return
	}
	r.took(r.out.n-len(t.S), r.out.n)
}

// took gives the output from lo to hi to the message that is being rendered.
func (r *run) took(lo, hi int) {
	if n := len(r.turns); n > 0 && r.turns[n-1].Message == r.turn && r.turns[n-1].End == lo {
		r.turns[n-1].End = hi
		return
	}
	r.turns = append(r.turns, Turn{r.turn, lo, hi})
}

// at makes v the message that is being rendered, if it is one, or a dict that
// the template made of one, and if there is none already.
func (r *run) at(v any) {
	d, ok := v.(*Dict)
	if !ok || r.turn >= 0 || r.iterations == 0 {
		return
	}
	if o, ok := r.origins[d]; ok {
		if o.Field == "" {
			r.begin(o.Message)
		}
		return
	}
	for _, k := range d.Keys {
		t, _ := d.Values[k].(Text)
		for _, g := range t.Segs {
			if g.Origin.Message >= 0 {
				r.begin(g.Origin.Message)
				return
			}
		}
	}
}

// begin starts the turn of message m, to which all belongs that the iteration
// has written already.
func (r *run) begin(m int) {
	r.turn = m
	if r.since < r.root.n {
		r.took(r.since, r.root.n)
	}
}

func (r *run) capture(body []stmt, s *scope) Text {
	return r.captured(func() { runAll(body, r, s) })
}

// captured is what f writes.
func (r *run) captured(f func()) Text {
	defer r.enter()()
	outer := r.out
	r.out = &buffer{}
	f()
	t := Concat(r.out.parts...)
	r.out = outer
	return r.made(t)
}

// Render evaluates t. Strings under messages[i] have the origin of message i
// and the field of the message they lie in; other variables that of no message.
func (t *Template) Render(vars *Dict) (out Output, err error) {
	root := &buffer{}
	r := &run{line: 1, out: root, root: root, origins: map[any]Origin{}, turn: -1}
	r.leave = func() { r.depth-- }
	defer func() {
		if e := recover(); e != nil {
			re, ok := e.(renderError)
			if !ok {
				panic(e)
			}
			out, err = Output{}, fmt.Errorf("template line %d: %w", r.line, re.error)
		}
	}()
	s := newScope(nil)
	if vars != nil {
		for _, k := range vars.Keys {
			if k == "messages" {
				s.set(k, r.messages(vars.Values[k]))
			} else {
				s.set(k, r.convert(vars.Values[k], Literal))
			}
		}
	}
	runAll(t.body, r, newScope(s))
	return Output{Concat(root.parts...), r.generation, r.turns}, nil
}

func (r *run) messages(v any) any {
	rows, ok := v.([]any)
	if !ok {
		return r.convert(v, Literal)
	}
	out := &list{}
	for i, row := range rows {
		d, ok := row.(*Dict)
		if !ok {
			out.items = append(out.items, r.convert(row, Origin{Message: i}))
			continue
		}
		m := newDict(len(d.Keys))
		for _, k := range d.Keys {
			m.Set(k, r.convert(d.Values[k], Origin{i, k}))
		}
		r.origins[m] = Origin{Message: i}
		out.items = append(out.items, m)
	}
	return out
}

// convert makes a caller's value one of the evaluator's.
func (r *run) convert(v any, o Origin) any {
	defer r.enter()()
	switch v := v.(type) {
	case nil, bool, int64, float64:
		return from(v, o)
	case int:
		return from(int64(v), o)
	case Text:
		return v
	case string:
		return validText(v, o)
	case json.Number:
		if n, err := strconv.ParseInt(string(v), 10, 64); err == nil {
			return from(n, o)
		}
		if !strings.ContainsAny(string(v), ".eE") {
			return from(r.bigInteger(string(v)), o)
		}
		f, err := strconv.ParseFloat(string(v), 64)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			r.fail("%q is no number", v)
		}
		return from(f, o)
	case []any:
		l := &list{}
		for _, e := range v {
			l.items = append(l.items, r.convert(e, o))
		}
		r.origins[l] = o
		return l
	case *Dict:
		d := newDict(len(v.Keys))
		for _, k := range v.Keys {
			d.Set(k, r.convert(v.Values[k], o))
		}
		r.origins[d] = o
		return d
	}
	r.fail("a variable has the type %T", v)
	return nil
}

// maxDigits is how long an integer Python reads, by its default limit.
const maxDigits = 4300

// bigInteger is an integer beyond 64 bits: it can be printed and compared with
// ==, and templates do nothing else with one.
func (r *run) bigInteger(s string) any {
	if len(strings.TrimPrefix(s, "-")) > maxDigits {
		r.fail("an integer has over %d digits", maxDigits)
	}
	n, ok := new(big.Int).SetString(s, 10)
	if !ok {
		r.fail("%q is no number", s)
	}
	return n
}

// given is a number, a boolean or null of a message, with its origin.
type given struct {
	v any
	o Origin
}

func from(v any, o Origin) any {
	if o == Literal {
		return v
	}
	return given{v, o}
}

// bare is v without the origin of a number, boolean or null.
func bare(v any) any {
	if g, ok := v.(given); ok {
		return g.v
	}
	return v
}

// validText is s with U+FFFD for every run of bytes that are no UTF-8.
func validText(s string, o Origin) Text { return NewText(strings.ToValidUTF8(s, "\ufffd"), o) }

func (r *run) origin(v any) Origin {
	if o, ok := r.origins[v]; ok {
		return o
	}
	return Literal
}

func truth(v any) bool {
	switch v := bare(v).(type) {
	case nil, undefined:
		return false
	case bool:
		return v
	case int64:
		return v != 0
	case float64:
		return v != 0
	case Text:
		return v.S != ""
	case *list:
		return len(v.items) > 0 || v.view == "generator"
	case *Dict:
		return len(v.Keys) > 0
	}
	return true
}

func typeName(v any) string {
	switch v := bare(v).(type) {
	case nil:
		return "NoneType"
	case bool:
		return "bool"
	case int64, *big.Int:
		return "int"
	case float64:
		return "float"
	case Text:
		return "str"
	case *list:
		switch {
		case v.tuple:
			return "tuple"
		case v.view != "":
			return v.view
		}
		return "list"
	case *Dict:
		return "dict"
	case undefined:
		return "undefined"
	}
	return "object"
}

func (r *run) defined(v any) {
	if u, ok := v.(undefined); ok {
		if u.of != "" {
			r.fail("'%s object' has no attribute '%s'", u.of, u.what)
		}
		r.fail("%s is undefined", u.what)
	}
}

// iterate is the items of v: of a dict its keys, of a string its characters.
func (r *run) iterate(v any) []any {
	switch v := v.(type) {
	case undefined:
		return nil
	case *list:
		items := v.items
		if v.view == "generator" {
			v.items = nil // it runs once
		}
		return items
	case *Dict:
		o := r.origin(v)
		r.tick(len(v.Keys))
		out := make([]any, len(v.Keys))
		for i, k := range v.Keys {
			out[i] = keyValue(k, o)
		}
		return out
	case Text:
		var out []any
		for _, c := range r.chars(v) {
			out = append(out, c)
		}
		return out
	}
	r.fail("'%s' object is not iterable", typeName(v))
	return nil
}

// chars is the characters of t.
func (r *run) chars(t Text) []Text {
	r.tick(4 * len(t.S))
	out := make([]Text, 0, utf8.RuneCountInString(t.S))
	g := 0
	for i, c := range t.S {
		for i >= t.Segs[g].End {
			g++
		}
		out = append(out, NewText(string(c), t.Segs[g].Origin))
	}
	return out
}

// number is v as int64 or float64.
func number(v any) (any, bool) {
	switch v := bare(v).(type) {
	case bool:
		if v {
			return int64(1), true
		}
		return int64(0), true
	case int64, float64:
		return v, true
	}
	return nil, false
}

func toFloat(v any) float64 {
	if n, ok := v.(int64); ok {
		return float64(n)
	}
	f, _ := v.(float64)
	return f
}

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
