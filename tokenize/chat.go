package tokenize

import (
	"fmt"
	"strings"

	"eaft/tokenize/template"
)

// chat renders conversations and finds in the rendering, by the origin of its
// bytes, what a model is to learn: everything that an assistant's turn has after
// the header that a generation prompt would have written, through its
// end-of-turn token.
type chat struct {
	template  *template.Template
	bos, eos  string
	header    string // what add_generation_prompt appends
	endOfTurn string // from the end of an assistant's content through the first special token
}

// rendering is a conversation's text and the byte range of each message.
type rendering struct {
	text    string
	trained []byteRange // assistant turns, ascending
	turns   []byteRange // by message; for an assistant its trained range
}

type byteRange struct{ lo, hi int }

// mark stands for an assistant's content when the template is probed.
const mark = "eaft-mark"

// newChat asks the template itself what it writes around an assistant's turn.
func newChat(t *template.Template, l *Language) (*chat, error) {
	c := &chat{template: t, bos: l.BOS, eos: l.EOS}
	user := message("user", "Hello")
	without, err := c.render([]any{user}, nil, false)
	if err != nil {
		return nil, fmt.Errorf("chat template, one user message: %w", err)
	}
	with, err := c.render([]any{user}, nil, true)
	if err != nil {
		return nil, fmt.Errorf("chat template, generation prompt: %w", err)
	}
	header, ok := strings.CutPrefix(with.Text.S, without.Text.S)
	if !ok || header == "" {
		return nil, fmt.Errorf("chat template: add_generation_prompt appends nothing, so where an assistant's turn begins cannot be told")
	}
	c.header = header
	answered, err := c.render([]any{user, message("assistant", mark)}, nil, false)
	if err != nil {
		return nil, fmt.Errorf("chat template, one answer: %w", err)
	}
	_, tail, ok := strings.Cut(answered.Text.S, mark)
	if !ok {
		return nil, fmt.Errorf("chat template: an assistant's content is not in its rendering")
	}
	e := l.Tokenizer.Encode(tail)
	for i, id := range e.IDs {
		if l.Tokenizer.IsSpecial(id) {
			c.endOfTurn = tail[:e.Ends[i]]
			break
		}
	}
	if c.endOfTurn == "" {
		return nil, fmt.Errorf("chat template: no special token ends an assistant's turn (after its content comes %q)", tail)
	}
	return c, nil
}

func message(role, content string) *template.Dict {
	d := template.NewDict()
	d.Set("role", role)
	d.Set("content", content)
	return d
}

func (c *chat) render(messages []any, tools any, prompt bool) (template.Output, error) {
	vars := template.NewDict()
	vars.Set("messages", messages)
	if tools != nil {
		vars.Set("tools", tools)
	}
	vars.Set("add_generation_prompt", prompt)
	vars.Set("bos_token", c.bos)
	vars.Set("eos_token", c.eos)
	return c.template.Render(vars)
}

// conversation renders messages and locates every turn. An assistant's turn
// that cannot be located is an error: better a rejected row than a wrong mask.
func (c *chat) conversation(messages []any, tools any) (*rendering, error) {
	out, err := c.render(messages, tools, false)
	if err != nil {
		return nil, err
	}
	r := &rendering{text: out.Text.S, turns: make([]byteRange, len(messages))}
	bytes := newMessageBytes(out.Text, len(messages))
	at := 0
	for i, m := range messages {
		if role, _ := m.(*template.Dict).Get("role"); role != "assistant" {
			r.turns[i] = bytes.all[i]
			continue
		}
		lo, err := c.findHeader(out.Text, at, i)
		if err != nil {
			return nil, fmt.Errorf("messages[%d]: %w", i, err)
		}
		limit := bytes.nextAfter(i, len(r.text))
		hi, err := c.findEnd(out.Text, max(lo, bytes.content[i].hi), limit)
		if err != nil {
			return nil, fmt.Errorf("messages[%d]: %w", i, err)
		}
		turn := byteRange{lo, hi}
		r.turns[i], r.trained, at = turn, append(r.trained, turn), hi
	}
	if extra, err := c.findHeader(out.Text, at, -1); err == nil {
		return nil, fmt.Errorf("the template writes an assistant's header at byte %d that belongs to no assistant message", extra)
	}
	return r, nil
}

// findHeader is the end of the first header at or after byte at that the
// template wrote: its bytes are literal, or the role of message i (of any
// message for i = -1). So a header that someone typed into a content is none.
func (c *chat) findHeader(t template.Text, at, i int) (int, error) {
	for {
		k := strings.Index(t.S[at:], c.header)
		if k < 0 {
			return 0, fmt.Errorf("the rendering has no %q for this assistant message", c.header)
		}
		at += k
		if wrote(t, at, at+len(c.header), func(o template.Origin) bool {
			return o.Message < 0 || o.Field == "role" && (o.Message == i || i < 0)
		}) {
			return at + len(c.header), nil
		}
		at++
	}
}

// findEnd is the end of the first end of turn between at and limit that the
// template wrote itself.
func (c *chat) findEnd(t template.Text, at, limit int) (int, error) {
	for {
		k := strings.Index(t.S[at:limit], c.endOfTurn)
		if k < 0 {
			return 0, fmt.Errorf("the rendering has no %q after this assistant message", c.endOfTurn)
		}
		at += k
		if wrote(t, at, at+len(c.endOfTurn), func(o template.Origin) bool { return o.Message < 0 }) {
			return at + len(c.endOfTurn), nil
		}
		at++
	}
}

// wrote reports whether every byte of [lo, hi) has an origin that ok accepts.
func wrote(t template.Text, lo, hi int, ok func(template.Origin) bool) bool {
	start := 0
	for _, g := range t.Segs {
		if g.End > lo && start < hi && !ok(g.Origin) {
			return false
		}
		start = g.End
	}
	return true
}

// messageBytes are, by message, the bytes that came from it.
type messageBytes struct {
	all, content []byteRange // content: all but the role
}

func newMessageBytes(t template.Text, n int) messageBytes {
	b := messageBytes{make([]byteRange, n), make([]byteRange, n)}
	grow := func(r *byteRange, lo, hi int) {
		if r.hi == 0 {
			r.lo = lo
		}
		r.hi = hi
	}
	lo := 0
	for _, g := range t.Segs {
		if m := g.Origin.Message; m >= 0 && m < n {
			grow(&b.all[m], lo, g.End)
			if g.Origin.Field != "role" {
				grow(&b.content[m], lo, g.End)
			}
		}
		lo = g.End
	}
	return b
}

// nextAfter is where the first byte of a later message stands.
func (b messageBytes) nextAfter(i, end int) int {
	for _, r := range b.all[i+1:] {
		if r.hi > 0 {
			return r.lo
		}
	}
	return end
}
