package tokenize

import (
	"fmt"
	"strings"

	"eaft/tokenize/template"
)

// chat renders conversations with a chat template, and knows from probing it
// what the template writes around an assistant's turn.
type chat struct {
	template *template.Template
	bos, eos string
	prompt   string // what add_generation_prompt appends; "" if nothing
	stops    []int  // ends in prompt of its lines and special tokens
	lead     string // before an answer, of a template that appends no prompt
	end      int32  // the special token after an answer; -1 if there is none
}

// mark stands for an assistant's content when the template is probed.
const mark = "eaft-mark"

// newChat asks the template itself, with the plainest conversation that it
// renders: some want tools, some a list of parts for a content.
func newChat(t *template.Template, l *Language) (*chat, error) {
	c := &chat{template: t, bos: l.BOS, eos: l.EOS, end: -1}
	var why error
	for _, tools := range []any{nil, []any{probeTool()}} {
		for _, content := range []func(string) any{plain, part} {
			err := c.probe(l, content, tools)
			if err == nil {
				return c, nil
			}
			if why == nil {
				why = err
			}
		}
	}
	return nil, fmt.Errorf("chat template: %w", why)
}

func plain(s string) any { return s }

func part(s string) any { return []any{dictOf("type", "text", "text", s)} }

func probeTool() any {
	return dictOf("type", "function", "function", dictOf("name", "f", "description", "", "parameters",
		dictOf("type", "object", "properties", template.NewDict())))
}

func dictOf(pairs ...any) *template.Dict {
	d := template.NewDict()
	for i := 0; i < len(pairs); i += 2 {
		d.Set(pairs[i].(string), pairs[i+1])
	}
	return d
}

// probe learns what stands around an answer.
func (c *chat) probe(l *Language, content func(string) any, tools any) error {
	question, answer := dictOf("role", "user", "content", content("Hello")), dictOf("role", "assistant", "content", content(mark))
	answered, err := c.render([]any{question, answer}, tools, false)
	if err != nil {
		return fmt.Errorf("one question with its answer: %w", err)
	}
	_, tail, ok := strings.Cut(answered.Text.S, mark)
	turn := newTurns(answered, 2)[1]
	if !ok || turn.own.empty() {
		return fmt.Errorf("an assistant's content is not in its rendering")
	}
	without, err1 := c.render([]any{question}, tools, false)
	with, err2 := c.render([]any{question}, tools, true)
	if err1 == nil && err2 == nil {
		if prompt, ok := strings.CutPrefix(with.Text.S, without.Text.S); ok {
			c.prompt, c.stops = prompt, stops(l, prompt)
		}
	}
	if lead := answered.Text.S[turn.region.lo:turn.own.lo]; c.prompt == "" && strings.TrimSpace(lead) != "" {
		c.lead = lead
	}
	for _, id := range l.Tokenizer.Encode(tail).IDs {
		if l.Tokenizer.IsSpecial(id) {
			c.end = id
			break
		}
	}
	return nil
}

// stops are where a header may end when a turn has only the first part of the
// generation prompt: behind a line break or a special token.
func stops(l *Language, prompt string) []int {
	var out []int
	e := l.Tokenizer.Encode(prompt)
	for i, id := range e.IDs {
		if end := int(e.Ends[i]); l.Tokenizer.IsSpecial(id) || prompt[end-1] == '\n' {
			out = append(out, end)
		}
	}
	return out
}

func message(role, content string) *template.Dict {
	d := template.NewDict()
	d.Set("role", role)
	d.Set("content", content)
	return d
}

// render is transformers' apply_chat_template.
func (c *chat) render(messages []any, tools any, prompt bool) (template.Output, error) {
	vars := template.NewDict()
	vars.Set("messages", messages)
	if tools != nil {
		vars.Set("tools", tools)
	}
	vars.Set("add_generation_prompt", prompt)
	for name, token := range map[string]string{"bos_token": c.bos, "eos_token": c.eos} {
		if token != "" {
			vars.Set(name, token)
		}
	}
	return c.template.Apply(vars)
}

// body is where an assistant's turn goes on behind its header: what the
// generation prompt holds already is no part of what a model is to learn.
func (c *chat) body(text string, t turn, messages []any, i int, tools any) (int, error) {
	lead := text[t.region.lo:t.region.hi]
	if !t.own.empty() {
		lead = text[t.region.lo:t.own.lo]
	}
	if n, ok := c.header(lead); ok {
		return t.region.lo + n, nil
	}
	// The turn begins in its own way, such as behind a tool's output: then the
	// prompt for just this turn tells.
	if i > 0 {
		before, err := c.render(messages[:i], tools, true)
		if n := len(before.Text.S); err == nil && strings.HasPrefix(text, before.Text.S) && n >= t.region.lo && n <= t.region.lo+len(lead) {
			return n, nil
		}
	}
	return 0, fmt.Errorf("messages[%d]: where its header ends cannot be told: it begins with %.40q, a generation prompt is %.40q", i, lead, c.prompt)
}

// header is how many bytes of what stands before an answer are its header.
func (c *chat) header(lead string) (n int, ok bool) {
	switch k := strings.Index(lead, c.prompt); {
	case strings.TrimSpace(lead) == "":
		return 0, true
	case c.prompt == "" && c.lead == "":
		return 0, true // the template writes none: the lead is the answer's, as the mark of a tool call
	case c.prompt == "":
		if strings.HasPrefix(lead, c.lead) {
			return len(c.lead), true
		}
		return 0, true
	case k >= 0:
		return k + len(c.prompt), true
	}
	for k := len(c.stops) - 1; k >= 0; k-- {
		if n := c.stops[k]; strings.HasPrefix(lead, c.prompt[:n]) {
			return n, true
		}
	}
	words := strings.TrimSpace(c.prompt)
	if k := strings.Index(lead, words); words != "" && k >= 0 {
		n := k + len(words)
		space := c.prompt[strings.Index(c.prompt, words)+len(words):]
		if rest := lead[n:]; strings.HasPrefix(rest, space) {
			n += len(space)
		} else {
			n += len(rest) - len(strings.TrimLeft(rest, "\n"))
		}
		return n, true
	}
	return 0, false
}
