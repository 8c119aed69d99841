package tokenize

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"eaft/tokenize/template"
)

// layout is how the records of one file are laid out.
type layout struct {
	name   string
	fields mapping
	// rename: roles have names of their own (ShareGPT), which become user,
	// assistant, system and tool.
	rename bool
	// plainCalls: the chat template knows no tool calls, so that those given as
	// a text (function_call) are rendered as that text.
	plainCalls     bool
	plainWithTools bool            // so of a row with tools, which may have a template of their own
	absent         map[string]bool // optional fields that no record seen has
	unread         []string        // fields of the records seen that are not read
}

// mappedName is the layout that --map decides.
const mappedName = "mapped"

// detectRecords is how many records of a file are looked at: one that fits
// decides.
const detectRecords = 100

// Fields that hold a conversation, and pairs of fields that are a prompt and its
// completion, in the order in which they are looked for.
var (
	chatFields = []string{"messages", "conversations", "conversation", "chat", "dialogue", "dialog"}
	pairFields = [][2]string{
		{"prompt", "completion"}, {"prompt", "response"}, {"question", "answer"}, {"query", "response"}, {"query", "answer"},
		{"instruction", "response"}, {"problem", "solution"}, {"input", "output"}, {"prompt", "answer"}, {"question", "response"},
		{"description", "explanation"},
	}
)

// detect tells the layout from a record's fields; nil if it is none that is
// known.
func detect(record *template.Dict) *layout {
	for _, field := range chatFields {
		if list, ok := record.Values[field].([]any); ok && len(list) > 0 {
			first, _ := list[0].(*template.Dict)
			if first == nil {
				continue
			}
			l := &layout{name: "messages", fields: mapping{"messages": field}}
			if _, ok := first.Get("role"); !ok {
				if _, ok := first.Get("from"); !ok {
					continue
				}
				l = &layout{name: "ShareGPT", fields: mapping{"messages": field, "role": "from", "content": "value"}, rename: true}
			}
			return l.also("tools", "system")
		}
	}
	has := func(field string) bool { _, ok := record.Get(field); return ok }
	switch {
	case has("input_ids"):
		return (&layout{name: "tokens", fields: mapping{"input_ids": "input_ids"}}).also("labels")
	case has("instruction") && has("output"):
		l := &layout{name: "Alpaca", fields: mapping{"user": "instruction", "assistant": "output"}}
		if has("input") {
			l.fields["user"] += "+input"
		}
		return l.also("system", "history")
	}
	for _, pair := range pairFields {
		if has(pair[0]) && has(pair[1]) {
			l := &layout{name: "prompt and completion", fields: mapping{"user": pair[0], "assistant": pair[1]}}
			if pair[0] == "instruction" && has("context") { // Dolly
				l.fields["user"] += "+context"
			}
			for _, field := range pair {
				if _, ok := messagesIn(record, field); ok {
					l.also("tools")
				}
			}
			return l.also("system")
		}
	}
	if _, ok := record.Values["text"].(string); ok {
		return &layout{name: "plain text", fields: mapping{"text": "text"}}
	}
	return nil
}

// also takes up fields that go by the name of their target. They are looked for
// in every record, for the first may lack them.
func (l *layout) also(targets ...string) *layout {
	for _, t := range targets {
		l.fields[t] = t
	}
	return l
}

// mapped is the layout that a mapping asks for, on top of what was detected (nil
// for nothing).
func mapped(m mapping, found *layout) *layout {
	l := &layout{fields: mapping{}}
	switch {
	case m.decides():
		l.name = mappedName
		if m["messages"] != "" {
			l.fields["tools"] = "tools"
		}
		if m["input_ids"] != "" {
			l.fields["labels"] = "labels"
		}
	case found == nil:
		return nil
	default:
		l.name, l.rename = found.name, found.rename
		for t, field := range found.fields {
			l.fields[t] = field
		}
	}
	for t, field := range m {
		l.fields[t] = field
		if t == "role" || t == "content" || strings.HasPrefix(t, rolePrefix) {
			l.rename = true
		}
	}
	return l
}

// String is what the user is shown.
func (l *layout) String() string {
	shown := maps.Clone(l.fields)
	maps.DeleteFunc(shown, func(t, _ string) bool { return l.absent[t] })
	s := fmt.Sprintf("%s (%s)", l.name, shown)
	const most = 8
	switch n := len(l.unread); {
	case n > most:
		s += fmt.Sprintf("; not read: %s and %d more fields", strings.Join(l.unread[:most], ", "), n-most)
	case n > 0:
		s += "; not read: " + strings.Join(l.unread, ", ")
	}
	return s
}

// reads reports whether a record's field is read, or something in it.
func (l *layout) reads(name string) bool {
	if name == "id" && l.fields["id"] == "" {
		return true
	}
	for target, expression := range l.fields {
		if target == "role" || target == "content" || strings.HasPrefix(target, rolePrefix) {
			continue // of messages
		}
		for _, field := range strings.Split(expression, "+") {
			if field == name || strings.HasPrefix(field, name+".") {
				return true
			}
		}
	}
	return false
}

// lacks says which fields were seen: of what is read others need not be shown, and
// what is not read is.
func (l *layout) lacks(seen map[string]bool) {
	l.absent = map[string]bool{}
	for _, t := range []string{"system", "history", "tools", "labels"} {
		l.absent[t] = l.fields[t] == t && !seen[t]
	}
	l.unread = nil
	for _, name := range slices.Sorted(maps.Keys(seen)) {
		if !l.reads(name) {
			l.unread = append(l.unread, name)
		}
	}
}

// otherwise adds to a reject that the record would fit another layout than its file's.
func (l *layout) otherwise(record *template.Dict, err error) error {
	var why *reject
	if !errors.As(err, &why) || l.name == mappedName {
		return err
	}
	other := detect(record)
	if other == nil || other.name == l.name && why.reason != missingField {
		return err
	}
	same := true // what --map adds is in l alone
	for target, field := range other.fields {
		same = same && l.fields[target] == field
	}
	if _, e := other.canonical(record); e != nil || same {
		return err
	}
	seen := map[string]bool{}
	for _, k := range record.Keys {
		seen[k] = true
	}
	other.lacks(seen)
	other.unread = nil
	return rejectf(why.reason, "%s; the record is %s, but its file is read as %s: a file has one layout, put records of another into their own file", why.detail, other, l.name)
}

// detector finds a file's layout from its first records.
type detector struct {
	seen   int
	best   *layout
	fits   bool
	reason string // why the first record is of no use
	kind   string // of a reject
	fields map[string]bool
	open   bool // the first record is a JSON object that goes on behind its line
}

// see looks at one more record.
func (d *detector) see(raw []byte, m mapping) {
	n := d.seen
	d.seen++
	if d.fields == nil {
		d.fields = map[string]bool{}
	}
	record, err := decode(raw)
	if record != nil {
		for _, k := range record.Keys {
			d.fields[k] = true
		}
	}
	if d.fits {
		return
	}
	d.open = d.open || n == 0 && err != nil && bytes.HasPrefix(raw, []byte("{")) && !bytes.Contains(raw, []byte("}"))
	var l *layout
	if err == nil {
		if l = mapped(m, detect(record)); l == nil {
			err = fmt.Errorf("no layout that is known has the fields %s", strings.Join(record.Keys, ", "))
		} else {
			_, err = l.canonical(record)
		}
	}
	var why *reject
	if err == nil || errors.As(err, &why) && why.reason == emptyAnswer {
		d.best, d.fits = l, true
		return
	}
	if d.reason == "" {
		fields := ""
		if record != nil && l != nil {
			l.lacks(d.fields)
			l.unread = nil // the fields are all named
			fields = fmt.Sprintf("; the record's fields are %s, read as %s", strings.Join(record.Keys, ", "), l)
		}
		d.reason = fmt.Sprintf("record %d: %v%s", n, err, fields)
		if why != nil {
			d.kind = why.reason
		}
	}
}

// layout is the one found; the error names a record, its fields and the remedy.
func (d *detector) layout() (*layout, error) {
	if d.fits {
		d.best.lacks(d.fields)
		return d.best, nil
	}
	if d.open {
		return nil, fmt.Errorf("%s: the file is neither JSON Lines, one object a line, nor an object whose values are all records: where each record stands on several lines, put it on one, as with jq -c . FILE; where the records are a list in it, take that out, as with jq .FIELD FILE", d.reason)
	}
	remedy := "Name the fields: --map user=FIELD,assistant=FIELD, --map messages=FIELD, --map text=FIELD or --map input_ids=FIELD"
	switch d.kind {
	case invalidUTF8:
		remedy = "Make UTF-8 of the file, as with iconv -f LATIN1 -t UTF-8 where it is that"
	case malformedJSON:
		remedy = "Mend the file: a record is a JSON object, which has neither NaN nor single quotes"
	}
	return nil, fmt.Errorf("%s (nor does any of the first %d records fit). %s", d.reason, d.seen, remedy)
}

// decode reads a record as a JSON object.
func decode(raw []byte) (*template.Dict, error) {
	if !utf8.Valid(raw) {
		return nil, rejectf(invalidUTF8, "the record has bytes that are no UTF-8")
	}
	v, err := template.DecodeJSON(raw)
	if err != nil {
		return nil, rejectf(malformedJSON, "%s", strings.TrimPrefix(err.Error(), malformedJSON+" "))
	}
	record, ok := v.(*template.Dict)
	if !ok {
		return nil, rejectf(wrongType, "the record is %s where an object is needed", kindOf(v))
	}
	return record, nil
}
