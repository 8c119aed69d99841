package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Where chooses targets: a conjunction of comparisons.
type Where struct {
	text  string
	terms []term
}

type term struct {
	field, op, value string
	number           float64
}

// Fields of a Where.
var (
	whereNumbers = []string{"p", "h", "mass", "logprob", "entropy", "rank", "pos", "row", "expected_p"}
	whereTexts   = []string{"id", "source", "class", "why", "role", "token", "expected"}
)

// ParseWhere reads "p<=0.1 and h<0.2 and class=digit and source~math". The
// operators are <, <=, >, >=, =, != for numbers, =, != and ~ (contains) for
// texts; conflict alone stands for a confident conflict. An empty text chooses
// everything.
func ParseWhere(s string) (Where, error) {
	w := Where{text: strings.TrimSpace(s)}
	if w.text == "" {
		return w, nil
	}
	for _, part := range strings.Split(strings.ReplaceAll(w.text, " AND ", " and "), " and ") {
		t, err := parseTerm(strings.TrimSpace(part))
		if err != nil {
			return Where{}, err
		}
		w.terms = append(w.terms, t)
	}
	return w, nil
}

func parseTerm(s string) (term, error) {
	switch s {
	case "conflict", "not conflict":
		return term{field: "conflict", op: s}, nil
	}
	at := strings.IndexAny(s, "<>=!~")
	if at < 0 {
		return term{}, fmt.Errorf("%q is no comparison: write p<=0.1, class=digit or conflict, joined by and", s)
	}
	t := term{field: strings.TrimSpace(s[:at]), op: s[at : at+1]}
	rest := s[at+1:]
	if t.op != "~" && strings.HasPrefix(rest, "=") {
		t.op, rest = t.op+"=", rest[1:]
	}
	if t.op == "==" {
		t.op = "="
	}
	t.value = strings.Trim(strings.TrimSpace(rest), `"'`)
	switch {
	case t.op == "!":
		return term{}, fmt.Errorf("%q: write !=", s)
	case slices.Contains(whereNumbers, t.field):
		var err error
		if t.number, err = strconv.ParseFloat(t.value, 64); err != nil || math.IsNaN(t.number) || math.IsInf(t.number, 0) || t.op == "~" {
			return term{}, fmt.Errorf("%q: %s is a finite number, to compare with <, <=, >, >=, = or !=", s, t.field)
		}
	case slices.Contains(whereTexts, t.field):
		if t.op != "=" && t.op != "!=" && t.op != "~" {
			return term{}, fmt.Errorf("%q: %s is a text, to compare with =, != or ~", s, t.field)
		}
		if t.field == "class" && t.op != "~" && !slices.Contains(classNames[:], t.value) {
			return term{}, fmt.Errorf("%q: the classes are %s", s, strings.Join(classNames[:], ", "))
		}
		if t.field == "why" && t.op != "~" && !slices.Contains(whyNames[:], t.value) {
			return term{}, fmt.Errorf("%q: the reasons are %s", s, strings.Join(whyNames[:], ", "))
		}
	default:
		return term{}, fmt.Errorf("%q: there is no %q; there are conflict, %s, %s", s, t.field, strings.Join(whereNumbers, ", "), strings.Join(whereTexts, ", "))
	}
	return t, nil
}

// reasons reports whether why conflicts are there decides something.
func (w Where) reasons() bool {
	return slices.ContainsFunc(w.terms, func(t term) bool { return t.field == "why" })
}

// matches reports whether a target is chosen.
func (w Where) matches(t *Target) bool {
	for i := range w.terms {
		if !w.terms[i].matches(t) {
			return false
		}
	}
	return true
}

func (t *term) matches(x *Target) bool {
	switch t.field {
	case "conflict":
		return x.Conflict == (t.op == "conflict")
	case "p":
		return t.compare(float64(x.Prob))
	case "h":
		return t.compare(float64(x.H))
	case "mass":
		return t.compare(float64(x.Mass))
	case "logprob":
		return t.compare(float64(x.LogProb))
	case "entropy":
		return t.compare(float64(x.Entropy))
	case "rank":
		return t.compare(float64(x.Rank))
	case "pos":
		return t.compare(float64(x.Pos))
	case "row":
		return t.compare(float64(x.Row))
	case "expected_p":
		return t.compare(float64(x.ExpectedProb))
	}
	have := map[string]string{"id": x.ID, "source": x.Source, "class": x.Class, "why": x.Why, "role": x.Role, "token": x.Text, "expected": x.ExpectedText}[t.field]
	switch t.op {
	case "=":
		return have == t.value
	case "!=":
		return have != t.value
	}
	return strings.Contains(have, t.value)
}

func (t *term) compare(x float64) bool {
	switch t.op {
	case "<":
		return x < t.number
	case "<=":
		return x <= t.number
	case ">":
		return x > t.number
	case ">=":
		return x >= t.number
	case "=":
		return x == t.number
	}
	return x != t.number
}
