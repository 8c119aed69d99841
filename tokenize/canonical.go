package tokenize

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"eaft/tokenize/template"
)

// roles are what a conversation's roles become where a layout has names of its
// own for them.
var roles = []string{"system", "user", "assistant", "tool", "function_call"}

// shareGPT are the role names in use there. A function_call is an assistant's
// turn that calls a tool.
var shareGPT = map[string]string{
	"human": "user", "user": "user", "prompter": "user",
	"gpt": "assistant", "chatgpt": "assistant", "assistant": "assistant", "bot": "assistant", "model": "assistant", "bing": "assistant", "bard": "assistant",
	"system": "system", "function_call": "function_call", "tool_call": "function_call",
	"observation": "tool", "tool": "tool", "function": "tool", "tool_response": "tool", "function_response": "tool",
}

// canonical is the record in one of four forms, under fixed names: messages (and
// tools), prompt and completion, text, or input_ids (and labels). The id and the
// weight go along.
func (l *layout) canonical(record *template.Dict) (*template.Dict, error) {
	out := template.NewDict()
	idField := l.fields["id"]
	if idField == "" {
		idField = "id"
	}
	if id, ok := find(record, idField); ok {
		out.Set("id", id)
	} else if l.fields["id"] != "" {
		return nil, rejectf(missingField, "no %s", idField)
	}
	if err := l.weigh(record, out); err != nil {
		return nil, err
	}
	switch f := l.fields; {
	case f["messages"] != "":
		return out, l.conversation(record, out)
	case f["user"] != "":
		return out, l.pair(record, out)
	case f["text"] != "":
		text, err := f.textOf(record, "text")
		out.Set("text", text)
		return out, err
	default:
		ids, ok := find(record, f["input_ids"])
		if !ok {
			return nil, rejectf(missingField, "no %s", f["input_ids"])
		}
		out.Set("input_ids", ids)
		if labels, ok := find(record, f["labels"]); ok {
			out.Set("labels", labels)
		}
		return out, nil
	}
}

// pair makes prompt and completion, or a conversation if there is more than
// these two texts.
func (l *layout) pair(record, out *template.Dict) error {
	prompt, answers, err := l.sides(record)
	if err != nil {
		return err
	}
	before, err := l.before(record)
	if err != nil {
		return err
	}
	if first, ok := firstOf(prompt); ok && first.Values["role"] == "system" && len(before) > 0 && role(before[0]) == "system" {
		before = before[1:]
	}
	tools, err := l.tools(record)
	if err != nil {
		return err
	}
	if len(before) == 0 && tools == nil && len(prompt) == 1 && len(answers) == 1 && isText(prompt[0], "user") && isText(answers[0], "assistant") {
		out.Set("prompt", prompt[0].(*template.Dict).Values["content"])
		out.Set("completion", answers[0].(*template.Dict).Values["content"])
		return nil
	}
	out.Set("messages", slices.Concat(before, prompt, answers))
	if tools != nil {
		out.Set("tools", tools)
	}
	return nil
}

// isText reports whether a message is a role's text and nothing else.
func isText(m any, role string) bool {
	d := m.(*template.Dict)
	_, text := d.Values["content"].(string)
	return text && len(d.Keys) == 2 && d.Values["role"] == role
}

// sides are the prompt's messages and the completion's: each is a text, or a list of
// messages (TRL). Of a prompt's own assistant messages none is trained.
func (l *layout) sides(record *template.Dict) (prompt, answers []any, err error) {
	for _, side := range []struct {
		target string
		out    *[]any
	}{{"user", &prompt}, {"assistant", &answers}} {
		field := l.fields[side.target]
		list, ok := messagesIn(record, field)
		if !ok {
			text, err := l.fields.textOf(record, side.target)
			if err != nil {
				return nil, nil, err
			}
			*side.out = []any{message(side.target, text)}
			continue
		}
		answered := false
		for i, e := range list {
			m, ok := e.(*template.Dict)
			if !ok {
				return nil, nil, rejectf(wrongType, "%s[%d] is %s where an object is needed", field, i, kindOf(e))
			}
			who, ok := m.Values["role"].(string)
			if !ok {
				return nil, nil, rejectf(missingField, "no %s[%d].role", field, i)
			}
			answered = answered || who == "assistant"
			if _, given := m.Get("train"); side.target == "user" && who == "assistant" && !given {
				m.Set("train", false)
			}
			*side.out = append(*side.out, m)
		}
		if side.target == "assistant" && !answered {
			return nil, nil, rejectf(emptyAnswer, "%s has no assistant message", field)
		}
	}
	return prompt, answers, nil
}

// messagesIn is the field's list of messages, if it is one.
func messagesIn(record *template.Dict, field string) ([]any, bool) {
	v, _ := find(record, field)
	list, _ := v.([]any)
	_, ok := firstOf(list)
	return list, ok
}

// before is the system message and the turns of the history.
func (l *layout) before(record *template.Dict) ([]any, error) {
	var out []any
	if s, err := l.system(record); err != nil {
		return nil, err
	} else if s != "" {
		out = append(out, message("system", s))
	}
	v, ok := find(record, l.fields["history"])
	if !ok || v == nil {
		return out, nil
	}
	list, ok := v.([]any)
	if !ok {
		return nil, rejectf(wrongType, "%s is %s where a list of pairs is needed", l.fields["history"], kindOf(v))
	}
	for i, e := range list {
		pair, ok := e.([]any)
		if !ok || len(pair) != 2 {
			return nil, rejectf(wrongType, "%s[%d] is no pair of prompt and answer", l.fields["history"], i)
		}
		for k, role := range []string{"user", "assistant"} {
			text, ok := pair[k].(string)
			if !ok {
				return nil, rejectf(wrongType, "%s[%d][%d] is %s where a text is needed", l.fields["history"], i, k, kindOf(pair[k]))
			}
			out = append(out, message(role, text))
		}
	}
	return out, nil
}

// system is the record's system text; "" if it has none.
func (l *layout) system(record *template.Dict) (string, error) {
	field := l.fields["system"]
	v, ok := find(record, field)
	if field == "" || !ok || v == nil {
		return "", nil
	}
	return plainText(field, v)
}

// conversation makes messages and tools.
func (l *layout) conversation(record, out *template.Dict) error {
	field := l.fields["messages"]
	v, ok := find(record, field)
	if !ok {
		return rejectf(missingField, "no %s", field)
	}
	list, ok := v.([]any)
	if !ok {
		return rejectf(wrongType, "%s is %s where a list is needed", field, kindOf(v))
	}
	tools, err := l.tools(record)
	if err != nil {
		return err
	}
	plainCalls := l.plainCalls
	if tools != nil {
		plainCalls = l.plainWithTools
	}
	if l.rename {
		if list, err = l.renamed(field, list, plainCalls); err != nil {
			return err
		}
	}
	if plainCalls {
		for i, e := range list {
			if d, ok := e.(*template.Dict); ok && !empty(d.Values["tool_calls"]) {
				return rejectf(toolCallsLost, "%s[%d].tool_calls: the chat template does not write tool calls; give one that does with --template", field, i)
			}
		}
	}
	system, err := l.system(record)
	if err != nil {
		return err
	}
	if system != "" {
		if first, ok := firstOf(list); !ok || first.Values["role"] != "system" {
			list = append([]any{message("system", system)}, list...)
		}
	}
	out.Set("messages", list)
	if tools != nil {
		out.Set("tools", tools)
	}
	return nil
}

// callsPlain reports that l's chat template writes no tool calls.
func (l *Language) callsPlain() bool { return l.chat != nil && !l.chat.writesCalls() }

func empty(v any) bool {
	list, ok := v.([]any)
	return v == nil || ok && len(list) == 0
}

// writesCalls asks a chat template whether it writes the tool calls of an
// assistant's turn.
func (c *chat) writesCalls() bool {
	call := dict("id", "call00001", "type", "function", "function", dict("name", mark, "arguments", template.NewDict()))
	out, err := c.render([]any{message("user", "Hello"), dict("role", "assistant", "content", "", "tool_calls", []any{call})}, nil, false)
	return err == nil && strings.Contains(out.Text.S, mark)
}

func firstOf(list []any) (*template.Dict, bool) {
	if len(list) == 0 {
		return nil, false
	}
	d, ok := list[0].(*template.Dict)
	return d, ok
}

// tools are the functions that may be called: a list, or its JSON as a text.
// Bare functions get the wrapping that chat templates expect.
func (l *layout) tools(record *template.Dict) ([]any, error) {
	field := l.fields["tools"]
	v, ok := find(record, field)
	if field == "" || !ok || v == nil || v == "" {
		return nil, nil
	}
	if s, ok := v.(string); ok {
		var err error
		if v, err = template.DecodeJSON([]byte(s)); err != nil {
			return nil, rejectf(wrongType, "%s is a text that is no JSON: %v", field, err)
		}
	}
	list, ok := v.([]any)
	if !ok {
		return nil, rejectf(wrongType, "%s is %s where a list is needed", field, kindOf(v))
	}
	var out []any
	for i, e := range list {
		d, ok := e.(*template.Dict)
		if !ok {
			return nil, rejectf(wrongType, "%s[%d] is %s where an object is needed", field, i, kindOf(e))
		}
		_, wrapped := d.Get("function")
		if _, named := d.Get("name"); named && !wrapped {
			d = dict("type", "function", "function", d)
		}
		out = append(out, d)
	}
	return out, nil
}

// renamed gives the messages the names role and content and the roles of chat
// templates.
func (l *layout) renamed(field string, list []any, plainCalls bool) ([]any, error) {
	roleKey, contentKey := l.fields["role"], l.fields["content"]
	if roleKey == "" {
		roleKey = "role"
	}
	if contentKey == "" {
		contentKey = "content"
	}
	out := make([]any, 0, len(list))
	callID := "" // of the last call, which the next observation answers
	for i, e := range list {
		d, ok := e.(*template.Dict)
		if !ok {
			return nil, rejectf(wrongType, "%s[%d] is %s where an object is needed", field, i, kindOf(e))
		}
		given, ok := d.Values[roleKey].(string)
		if !ok {
			return nil, rejectf(missingField, "no %s[%d].%s", field, i, roleKey)
		}
		role := l.fields[rolePrefix+given]
		if role == "" {
			role = shareGPT[given]
		}
		if role == "" {
			return nil, rejectf(wrongType, "%s[%d].%s is %q, none of %s; name it with --map role:%s=user", field, i, roleKey, given,
				strings.Join(slices.Sorted(maps.Keys(shareGPT)), ", "), given)
		}
		var m *template.Dict
		switch {
		case role == "function_call" && !plainCalls:
			callID = fmt.Sprintf("call%05d", i)
			calls, err := toolCalls(d.Values[contentKey], callID)
			if err != nil {
				return nil, rejectf(wrongType, "%s[%d].%s: %v", field, i, contentKey, err)
			}
			m = dict("role", "assistant", "content", "", "tool_calls", calls)
		case role == "function_call":
			m = dict("role", "assistant", "content", d.Values[contentKey])
		case role == "tool" && callID != "":
			m = dict("role", role, "content", d.Values[contentKey], "tool_call_id", callID)
		default:
			m = dict("role", role, "content", d.Values[contentKey])
		}
		for _, k := range d.Keys {
			if _, taken := m.Get(k); k != roleKey && k != contentKey && !taken {
				m.Set(k, d.Values[k])
			}
		}
		out = append(out, m)
	}
	return out, nil
}

// toolCalls reads {"name": ..., "arguments": {...}}, or a list of them, from a
// function_call's text. Some templates want an id of nine characters.
func toolCalls(content any, id string) ([]any, error) {
	v := content
	if s, ok := v.(string); ok {
		var err error
		if v, err = template.DecodeJSON([]byte(s)); err != nil {
			return nil, fmt.Errorf("a function call that is no JSON: %w", err)
		}
	}
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	var out []any
	for _, e := range list {
		d, ok := e.(*template.Dict)
		if !ok {
			return nil, fmt.Errorf("a function call is an object of name and arguments, not %s", kindOf(e))
		}
		if name, ok := d.Values["name"].(string); !ok || name == "" {
			return nil, fmt.Errorf("a function call without a name")
		}
		out = append(out, dict("id", id, "type", "function", "function", d))
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no function call")
	}
	return out, nil
}

func dict(pairs ...any) *template.Dict {
	d := template.NewDict()
	for i := 0; i < len(pairs); i += 2 {
		d.Set(pairs[i].(string), pairs[i+1])
	}
	return d
}
