package eval

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"eaft/internal/cli"
)

// Fields say which fields of a record are what. A field may be a path of names
// joined by dots; Choices may be several columns, joined by commas.
type Fields struct {
	Question string `json:"question,omitempty"`
	Answer   string `json:"answer,omitempty"`
	Choices  string `json:"choices,omitempty"`
	Context  string `json:"context,omitempty"`
	Subject  string `json:"subject,omitempty"`
	ID       string `json:"id,omitempty"`
}

// usual are names that fields have in published data, the likeliest first.
var usual = map[string][]string{
	"question": {"question", "QUESTION", "query", "prompt"},
	"choices":  {"choices", "options"},
	"answer":   {"answer_idx", "answerKey", "final_decision", "answer", "label", "gold"},
	"context":  {"context", "CONTEXTS", "passage"},
	"subject":  {"subject", "type", "category"},
	"id":       {"id"},
}

func (f *Fields) each(do func(what string, name *string)) {
	do("question", &f.Question)
	do("answer", &f.Answer)
	do("choices", &f.Choices)
	do("context", &f.Context)
	do("subject", &f.Subject)
	do("id", &f.ID)
}

// ParseFields reads --map: WHAT=FIELD, such as answer=answer_idx or
// choices=A,B,C,D.
func ParseFields(args []string) (Fields, error) {
	var f Fields
	for _, arg := range args {
		what, field, ok := strings.Cut(arg, "=")
		known := false
		f.each(func(w string, name *string) {
			if w == what && ok && field != "" && *name == "" {
				known, *name = true, field
			}
		})
		if !known {
			return f, cli.Usagef("--map %q: use WHAT=FIELD, each once, for WHAT one of question, choices, answer, context, subject, id", arg)
		}
	}
	return f, nil
}

// Detect names the fields that are not given by what the first record has.
func (f *Fields) Detect(raw []byte) {
	var m map[string]json.RawMessage
	if json.Unmarshal(raw, &m) != nil {
		return // the first use of a field says so
	}
	f.each(func(what string, name *string) {
		for _, n := range usual[what] {
			if _, ok := m[n]; ok && *name == "" {
				*name = n
			}
		}
	})
}

// record is one record of a file.
type record struct {
	where string // file and number, for messages
	id    string
	raw   json.RawMessage
}

// get follows a path of names.
func (r *record) get(what, path string) (json.RawMessage, error) {
	if path == "" {
		return nil, cli.Usagef("%s: which field is the %s is not known: say --map %s=FIELD", r.where, what, what)
	}
	v := r.raw
	for _, name := range strings.Split(path, ".") {
		var m map[string]json.RawMessage
		if err := json.Unmarshal(v, &m); err != nil {
			return nil, cli.Usagef("%s: %s: it is not in an object: %w", r.where, path, err)
		}
		next, ok := m[name]
		if !ok || string(next) == "null" {
			return nil, cli.Usagef("%s: field %s, the %s, is missing: say --map %s=FIELD, or mend the record", r.where, path, what, what)
		}
		v = next
	}
	return v, nil
}

// text is a field that is a text, a number, or a list of texts, which are lines.
func (r *record) text(what, path string) (string, error) {
	v, err := r.get(what, path)
	if err != nil {
		return "", err
	}
	var s string
	if json.Unmarshal(v, &s) == nil {
		return s, nil
	}
	var n json.Number
	if json.Unmarshal(v, &n) == nil {
		return n.String(), nil
	}
	var list []string
	if json.Unmarshal(v, &list) == nil {
		return strings.Join(list, "\n"), nil
	}
	return "", cli.Usagef("%s: field %s, the %s, is %.40s: a text, a number or a list of texts was expected", r.where, path, what, v)
}

// choices are the texts to choose among, and by which names an answer may mean
// them: a list, an object from name to text, {"text": [...], "label": [...]}, or
// several columns.
func (r *record) choices(path string) (texts, names []string, err error) {
	if strings.Contains(path, ",") {
		for _, column := range strings.Split(path, ",") {
			s, err := r.text("choices", column)
			if err != nil {
				return nil, nil, err
			}
			texts, names = append(texts, s), append(names, column)
		}
		return texts, names, nil
	}
	v, err := r.get("choices", path)
	if err != nil {
		return nil, nil, err
	}
	var both struct{ Text, Label []string }
	switch {
	case json.Unmarshal(v, &texts) == nil:
	case json.Unmarshal(v, &both) == nil && len(both.Text) > 0 && len(both.Text) == len(both.Label):
		texts, names = both.Text, both.Label
	default:
		if names, texts, err = ordered(v); err != nil {
			return nil, nil, cli.Usagef("%s: field %s, the choices: a list of texts or an object of them was expected: %w", r.where, path, err)
		}
	}
	if len(texts) < 2 || len(texts) > len(letters) {
		return nil, nil, cli.Usagef("%s: field %s has %d choices: 2 to %d can be told apart", r.where, path, len(texts), len(letters))
	}
	return texts, names, nil
}

// ordered is an object of texts in its own order.
func ordered(v json.RawMessage) (names, texts []string, err error) {
	d := json.NewDecoder(bytes.NewReader(v))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, nil, fmt.Errorf("it is %.40s", v)
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, nil, err
		}
		var s string
		if err := d.Decode(&s); err != nil {
			return nil, nil, err
		}
		names, texts = append(names, name.(string)), append(texts, s)
	}
	return names, texts, nil
}

const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

// gold is the choice that an answer means: by its number, from 0, if it is a
// JSON number; else by its name, its text, its letter, or a number in a text.
// Two readings that differ are refused.
func (r *record) gold(path string, texts, names []string) (int, error) {
	v, err := r.get("answer", path)
	if err != nil {
		return 0, err
	}
	var n json.Number
	var s string
	if v[0] != '"' && json.Unmarshal(v, &n) == nil {
		if i, err := strconv.Atoi(n.String()); err == nil && i >= 0 && i < len(texts) {
			return i, nil
		}
		return 0, cli.Usagef("%s: field %s, the answer, is %s, which is none of %d choices counted from 0", r.where, path, v, len(texts))
	}
	if err := json.Unmarshal(v, &s); err != nil {
		return 0, cli.Usagef("%s: field %s, the answer, is %.40s: a number or a text was expected", r.where, path, v)
	}
	if i := slices.Index(names, s); i >= 0 {
		return i, nil
	}
	found := -1
	for _, i := range []int{slices.Index(texts, s), letter(s), number(s)} {
		switch {
		case i < 0 || i >= len(texts) || i == found:
		case found >= 0:
			return 0, cli.Usagef("%s: field %s, the answer, is %q, which may mean choice %s or %s: write the choice's letter or its number", r.where, path, s, letters[found:found+1], letters[i:i+1])
		default:
			found = i
		}
	}
	if found < 0 {
		return 0, cli.Usagef("%s: field %s, the answer, is %.40q: no choice has this name, text, letter or number", r.where, path, s)
	}
	return found, nil
}

func letter(s string) int {
	if len(s) != 1 {
		return -1
	}
	return strings.Index(letters, strings.ToUpper(s))
}

func number(s string) int {
	if i, err := strconv.Atoi(s); err == nil {
		return i
	}
	return -1
}
