package template

import "fmt"

// reasoningFields are the names under which a message's reasoning is passed, the standard one first.
var reasoningFields = []string{"reasoning_content", "thinking", "reasoning"}

// Apply renders vars as transformers' apply_chat_template does: what is null in
// a message counts as absent, reasoning is found under each of its names, and
// tools, documents and add_generation_prompt are null, null and false unless
// given. vars is not changed.
func (t *Template) Apply(vars *Dict) (Output, error) {
	v, _ := vars.Get("messages")
	messages, ok := v.([]any)
	if !ok {
		return Output{}, fmt.Errorf("messages is no list")
	}
	if len(messages) == 0 {
		return Output{}, fmt.Errorf("messages is empty")
	}
	plain := make([]any, len(messages))
	for i, v := range messages {
		m, ok := v.(*Dict)
		if !ok {
			return Output{}, fmt.Errorf("messages[%d] is no object", i)
		}
		plain[i] = plainMessage(m, i)
	}
	all := NewDict()
	for _, name := range vars.Keys {
		all.Set(name, vars.Values[name])
	}
	all.Set("messages", plain)
	for name, v := range map[string]any{"tools": nil, "documents": nil, "add_generation_prompt": false} {
		if _, given := all.Get(name); !given {
			all.Set(name, v)
		}
	}
	return t.Render(all)
}

// plainMessage is message i without its nulls, its reasoning under each name
// that templates read; a copy has the origin of the field it was given in.
func plainMessage(m *Dict, i int) *Dict {
	out := newDict(len(m.Keys) + 2)
	var reasoning any
	for _, field := range reasoningFields {
		if v := m.Values[field]; v != nil {
			reasoning = v
			if s, ok := v.(string); ok {
				reasoning = validText(s, Origin{i, field})
			}
			break
		}
	}
	if reasoning != nil {
		out.Set("thinking", reasoning)
	}
	for _, k := range m.Keys {
		if v := m.Values[k]; v != nil {
			out.Set(k, v)
		}
	}
	if reasoning != nil {
		out.Set("reasoning_content", reasoning)
	}
	return out
}
