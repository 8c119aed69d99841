package template

import (
	"fmt"
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
	// Unplaced: another such block stood in a macro, set or filter, whose text may
	// have come anywhere.
	Unplaced bool
	Turns    []Turn // ascending
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

type buffer struct {
	parts []Text
	n     int
}

type run struct {
	line, steps, work, depth int
	leave                    func() // one level less deep
	out, root                *buffer
	generation               [][2]int
	unplaced                 bool
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
	return Output{Concat(root.parts...), r.generation, r.unplaced, r.turns}, nil
}
