package report

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"eaft/eaft"
	"eaft/internal/cli"
)

// Condition compares a number of the report with a bound.
type Condition struct {
	text, path, op string
	bound          float64
}

// ParseConditions reads several; see ParseCondition. What no report of the kind of
// empty has is an error, before anything is computed.
func ParseConditions(list []string, empty any) ([]Condition, error) {
	tree, err := treeOf(empty)
	if err != nil {
		return nil, err
	}
	var out []Condition
	for _, s := range list {
		c, err := ParseCondition(s)
		if err != nil {
			return nil, err
		}
		if _, used, names := step(tree, c.path); used == 0 {
			return nil, fmt.Errorf("%q: %w", c.path, unknown("the report", c.path, names))
		}
		out = append(out, c)
	}
	return out, nil
}

// ParseCondition reads "conflict_rate>0.03"; the operators are >, >=, <, <=, ==
// and !=. The path goes down the JSON by names; in a list the name is that of
// an element ("by_class.digit.conflict_rate"), or its place.
func ParseCondition(s string) (Condition, error) {
	at := strings.IndexAny(s, "<>=!")
	if at < 0 {
		return Condition{}, fmt.Errorf("%q has no comparison: write conflict_rate>0.03", s)
	}
	c := Condition{text: strings.TrimSpace(s), path: strings.TrimSpace(s[:at]), op: s[at : at+1]}
	rest := s[at+1:]
	if strings.HasPrefix(rest, "=") {
		c.op, rest = c.op+"=", rest[1:]
	}
	if c.op == "=" || c.op == "!" {
		return Condition{}, fmt.Errorf("%q: write >, >=, <, <=, == or !=", s)
	}
	var err error
	if c.bound, err = strconv.ParseFloat(strings.TrimSpace(rest), 64); err != nil || math.IsNaN(c.bound) || math.IsInf(c.bound, 0) {
		return Condition{}, fmt.Errorf("%q: %q is no finite number", s, strings.TrimSpace(rest))
	}
	if c.path == "" {
		return Condition{}, fmt.Errorf("%q: a number's name is missing before %s", s, c.op)
	}
	return c, nil
}

func (c Condition) holds(x float64) bool {
	switch c.op {
	case ">":
		return x > c.bound
	case ">=":
		return x >= c.bound
	case "<":
		return x < c.bound
	case "<=":
		return x <= c.bound
	case "==":
		return x == c.bound
	}
	return x != c.bound
}

// Failed are the conditions that hold, with the number that they hold for. A
// number that the report has not is an error; so is one that is undefined, for
// a gate must not open because nothing was measured.
func Failed(r any, conditions []Condition) ([]string, error) {
	if len(conditions) == 0 {
		return nil, nil
	}
	tree, err := treeOf(r)
	if err != nil {
		return nil, err
	}
	var failed []string
	for _, c := range conditions {
		x, err := lookUp(tree, c.path)
		if err != nil {
			return nil, err
		}
		if c.holds(x) {
			failed = append(failed, fmt.Sprintf("%s: it is %s", c.text, strconv.FormatFloat(x, 'g', 6, 64)))
		}
	}
	return failed, nil
}

// treeOf is r as its JSON has it.
func treeOf(r any) (tree any, err error) {
	data, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	return tree, json.Unmarshal(data, &tree)
}

// unknown says of a name that nothing has it, and which was probably meant.
func unknown(at, name string, names []string) error {
	if near := cli.Meant(name, names); near != "" {
		return fmt.Errorf("%s has no %q; is %s meant?", at, name, near)
	}
	if len(names) > 40 {
		names = append(names[:40:40], "…")
	}
	return fmt.Errorf("%s has no %q; there are %s", at, name, strings.Join(names, ", "))
}

// lookUp follows a path. A name may hold dots itself, as file names do, so the
// longest name that fits is taken.
func lookUp(node any, path string) (float64, error) {
	at := "the report"
	for rest := path; rest != ""; {
		next, used, names := step(node, rest)
		if used == 0 {
			return 0, fmt.Errorf("%q: %w", path, unknown(at, rest, names))
		}
		at = rest[:used]
		node, rest = next, strings.TrimPrefix(rest[used:], ".")
	}
	switch x := node.(type) {
	case float64:
		return x, nil
	case nil:
		return 0, fmt.Errorf("%q is undefined in this report", path)
	}
	return 0, fmt.Errorf("%q is no number", path)
}

// step finds the child whose name begins path, and how long that name is.
func step(node any, path string) (child any, used int, names []string) {
	children := map[string]any{}
	switch n := node.(type) {
	case map[string]any:
		children = n
	case []any:
		for i, e := range n {
			name := strconv.Itoa(i)
			if m, ok := e.(map[string]any); ok {
				for _, key := range []string{"name", "gate", "why"} {
					if own, ok := m[key].(string); ok {
						name = own
					}
				}
			}
			children[name] = e
		}
	}
	for name, c := range children {
		names = append(names, name)
		if (path == name || strings.HasPrefix(path, name+".")) && len(name) > used {
			child, used = c, len(name)
		}
	}
	slices.Sort(names)
	return child, used, names
}

// ParseWhatIf reads "p=0.1,h=0.05", also with <=.
func ParseWhatIf(s string) (eaft.Cuts, error) {
	t, err := eaft.ParseThresholds(strings.ReplaceAll(strings.ReplaceAll(s, "<=", "="), "=", "<="))
	if err != nil || t.Quantile > 0 {
		return eaft.Cuts{}, fmt.Errorf("%q: write p=0.1,h=0.05, both from 0 to 1", s)
	}
	return eaft.Cuts{Prob: t.Prob, H: t.H}, nil
}
