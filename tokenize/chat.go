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

// newChat asks the template itself. A template that refuses the probes, for it
// wants other conversations, is not refused for that.
func newChat(t *template.Template, l *Language) (*chat, error) {
	c := &chat{template: t, bos: l.BOS, eos: l.EOS, end: -1}
	question, answer := message("user", "Hello"), message("assistant", mark)
	without, err1 := c.render([]any{question}, nil, false)
	with, err2 := c.render([]any{question}, nil, true)
	if err1 == nil && err2 == nil {
		if prompt, ok := strings.CutPrefix(with.Text.S, without.Text.S); ok {
			c.prompt, c.stops = prompt, stops(l, prompt)
		}
	}
	answered, err := c.render([]any{question, answer}, nil, false)
	if err != nil {
		if err1 != nil {
			return nil, fmt.Errorf("chat template, one question with its answer: %w", err)
		}
		return c, nil
	}
	_, tail, ok := strings.Cut(answered.Text.S, mark)
	if !ok {
		return nil, fmt.Errorf("chat template: an assistant's content is not in its rendering")
	}
	turn := newTurns(answered, 2)[1]
	if !turn.own.empty() && c.prompt == "" {
		if lead := answered.Text.S[turn.region.lo:turn.own.lo]; strings.TrimSpace(lead) != "" {
			c.lead = lead
		}
	}
	for _, id := range l.Tokenizer.Encode(tail).IDs {
		if l.Tokenizer.IsSpecial(id) {
			c.end = id
			break
		}
	}
	return c, nil
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
func (c *chat) body(text string, t turn, messages []any, i int, tools any) int {
	lead := text[t.region.lo:t.region.hi]
	if !t.own.empty() {
		lead = text[t.region.lo:t.own.lo]
	}
	if k := strings.Index(lead, c.prompt); c.prompt != "" && k >= 0 {
		return t.region.lo + k + len(c.prompt)
	}
	if c.lead != "" && strings.HasPrefix(lead, c.lead) {
		return t.region.lo + len(c.lead)
	}
	for k := len(c.stops) - 1; k >= 0; k-- {
		if n := c.stops[k]; strings.HasPrefix(lead, c.prompt[:n]) {
			return t.region.lo + n
		}
	}
	if strings.TrimSpace(lead) == "" {
		return t.region.lo
	}
	// The turn begins in its own way, such as behind a tool's output: then the
	// prompt for just this turn tells.
	if before, err := c.render(messages[:i], tools, true); err == nil && i > 0 {
		n := len(before.Text.S)
		if strings.HasPrefix(text, before.Text.S) && n > t.region.lo && n <= t.region.lo+len(lead) {
			return n
		}
	}
	return t.region.lo
}
