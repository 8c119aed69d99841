package tokenize

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"eaft/internal/cli"
	"eaft/tokenize/template"
)

// mapping says which fields of a record are what, by target: see targets. A
// field is a path of names joined by dots; several fields joined by + are one
// text, each on lines of its own.
type mapping map[string]string

// targets are what fields can be mapped to.
var mapTargets = []string{"id", "system", "user", "assistant", "history", "messages", "role", "content", "tools", "text", "input_ids", "labels", weightTarget}

// rolePrefix begins a target that renames a role: role:NAME=user.
const rolePrefix = "role:"

// ParseMap reads what --map was given: TARGET=FIELD, several apart by commas.
func ParseMap(args []string) (map[string]string, error) {
	m := map[string]string{}
	for _, arg := range args {
		for _, part := range strings.Split(arg, ",") {
			target, field, ok := strings.Cut(part, "=")
			target, field = strings.TrimSpace(target), strings.TrimSpace(field)
			switch {
			case !ok || target == "" || field == "":
				return nil, cli.Usagef("--map %q: use TARGET=FIELD, such as user=question", part)
			case m[target] != "":
				return nil, cli.Usagef("--map %s is given twice; join fields with +, as in user=context+question", target)
			case !strings.HasPrefix(target, rolePrefix) && !slices.Contains(mapTargets, target):
				return nil, cli.Usagef("--map %q: %s is none of %s, role:NAME", part, target, strings.Join(mapTargets, ", "))
			}
			m[target] = field
		}
	}
	return m, mapping(m).check()
}

// check refuses mappings that say two things or half of one.
func (m mapping) check() error {
	kinds := 0
	for _, target := range []string{"messages", "text", "input_ids"} {
		if m[target] != "" {
			kinds++
		}
	}
	pair := m["user"] != "" || m["assistant"] != ""
	switch {
	case pair && (m["user"] == "" || m["assistant"] == ""):
		return cli.Usagef("--map: user and assistant go together")
	case kinds > 1 || kinds == 1 && pair:
		return cli.Usagef("--map: a row is one of messages, user and assistant, text, input_ids")
	case m["labels"] != "" && m["input_ids"] == "":
		return cli.Usagef("--map: labels need input_ids")
	case m["history"] != "" && (kinds > 0):
		return cli.Usagef("--map: history goes before user and assistant")
	}
	for target, role := range m {
		if strings.HasPrefix(target, rolePrefix) && !slices.Contains(roles, role) {
			return cli.Usagef("--map %s=%s: the roles are %s", target, role, strings.Join(roles, ", "))
		}
	}
	return nil
}

// decides reports whether the mapping says what a row is, rather than details of
// what is detected.
func (m mapping) decides() bool {
	return m["messages"] != "" || m["user"] != "" || m["text"] != "" || m["input_ids"] != ""
}

// String spells the mapping as --map takes it.
func (m mapping) String() string {
	var parts []string
	for _, target := range slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		if d := slices.Index(mapTargets, a) - slices.Index(mapTargets, b); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	}) {
		parts = append(parts, target+"="+m[target])
	}
	return strings.Join(parts, ",")
}

// find follows a path: names of objects and positions of lists.
func find(record *template.Dict, path string) (any, bool) {
	if v, ok := record.Get(path); ok {
		return v, true
	}
	var at any = record
	for _, name := range strings.Split(path, ".") {
		switch node := at.(type) {
		case *template.Dict:
			v, ok := node.Get(name)
			if !ok {
				return nil, false
			}
			at = v
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i < 0 || i >= len(node) {
				return nil, false
			}
			at = node[i]
		default:
			return nil, false
		}
	}
	return at, true
}

// text joins the fields of an expression; those that are missing, null or empty
// are passed over as long as one is there.
func (m mapping) textOf(record *template.Dict, target string) (string, error) {
	var parts []string
	found := false
	fields := strings.Split(m[target], "+")
	for _, field := range fields {
		v, ok := find(record, field)
		if !ok || v == nil {
			continue
		}
		found = true
		s, err := plainText(field, v)
		if err != nil {
			return "", err
		}
		if s != "" {
			parts = append(parts, s)
		}
	}
	switch {
	case !found:
		return "", rejectf(missingField, "no %s", strings.Join(fields, ", "))
	case len(parts) == 0:
		return "", rejectf(emptyAnswer, "%s is empty", strings.Join(fields, ", "))
	}
	return strings.Join(parts, "\n"), nil
}

// plainText is a text, a number as it is written, or a list of them, each on a
// line of its own.
func plainText(field string, v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case json.Number:
		return v.String(), nil
	case []any:
		parts := make([]string, len(v))
		for i, e := range v {
			s, ok := e.(string)
			if n, number := e.(json.Number); number {
				s, ok = n.String(), true
			}
			if !ok {
				return "", rejectf(wrongType, "%s[%d] is %s where a text is needed", field, i, kindOf(e))
			}
			parts[i] = s
		}
		return strings.Join(parts, "\n"), nil
	case *template.Dict:
		if len(v.Keys) > 0 {
			return "", rejectf(wrongType, "%s is an object where a text is needed; a field in it is named by its path, such as %s.%s", field, field, v.Keys[0])
		}
	}
	return "", rejectf(wrongType, "%s is %s where a text is needed", field, kindOf(v))
}

// kindOf names a JSON value's kind for people.
func kindOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case string:
		return "a text"
	case json.Number:
		return "a number"
	case bool:
		return strconv.FormatBool(v)
	case []any:
		return "a list"
	case *template.Dict:
		return "an object"
	}
	return fmt.Sprintf("a %T", v)
}
