package pipeline

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"eaft/internal/cli"
)

// Override sets a field instead of the file.
type Override struct {
	Path  []string
	Value string // YAML: a value, or a list [a, b]
	Where string
}

// Set is what --set is given for it.
func (o Override) Set() string { return strings.Join(o.Path, ".") + "=" + o.Value }

// ParseSet reads what --set was given: train.lr=1e-5.
func ParseSet(args []string) (out []Override, err error) {
	for _, arg := range args {
		field, value, ok := strings.Cut(arg, "=")
		if !ok || field == "" {
			return nil, cli.Usagef("--set %q: use FIELD=VALUE, such as train.lr=1e-5", arg)
		}
		out = append(out, Override{strings.Split(field, "."), value, "--set " + field})
	}
	return out, nil
}

// environment are the variables that set a field of the run itself. EAFT_CPU is
// one of them: to the stages it says the same.
var environment = []string{"model", "out", "corpora", "cpu", "workers"}

// stages are those whose flags the environment sets.
var stages = []string{"tokenize", "score", "inspect", "train"}

// FromEnvironment reads EAFT_MODEL, EAFT_OUT, EAFT_CORPORA, EAFT_CPU,
// EAFT_WORKERS, and for a flag of a stage its name in capitals:
// EAFT_TRAIN_MAX_GRAD_NORM is train.max-grad-norm. A variable that one of these was
// probably meant by is refused; what else begins with EAFT_ is not for a run.
func FromEnvironment(environ []string, flags Flags) (out []Override, err error) {
	r := &reader{flags: flags, known: map[string][]cli.Flag{}}
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		field, ours := strings.CutPrefix(name, "EAFT_")
		if !ours || value == "" {
			continue
		}
		field = strings.ToLower(field)
		stage, flag, ok := strings.Cut(field, "_")
		switch {
		case slices.Contains(environment, field):
			out = append(out, Override{[]string{field}, value, name})
		case ok && slices.Contains(stages, stage):
			out = append(out, Override{[]string{stage, dashed(flag)}, value, name})
		default:
			if meant := r.variable(field); meant != "" {
				return nil, cli.Usagef("%s sets no field of a run; %s", name, meant)
			}
		}
	}
	slices.SortFunc(out, func(a, b Override) int { return strings.Compare(a.Where, b.Where) })
	return out, nil
}

// dashed is the flag of a variable's name.
func dashed(name string) string { return strings.ReplaceAll(name, "_", "-") }

// variable is what was meant by a variable that sets nothing, EAFT_ and field in
// capitals; "" if nothing is like it.
func (r *reader) variable(field string) string {
	var meant []string
	stage, flag, _ := strings.Cut(field, "_")
	for _, s := range stages {
		near := s == cli.Meant(stage, stages)
		for _, f := range r.settable(s) {
			if f == dashed(field) || near && f == dashed(flag) { // a flag without its stage, or one of a misspelled stage
				meant = append(meant, "EAFT_"+strings.ToUpper(strings.ReplaceAll(s+"_"+f, "-", "_")))
			}
		}
	}
	if at := cli.Meant(field, environment); at != "" && stage == field && at[0] == field[0] { // one word, and none such as PORT
		meant = append(meant, "EAFT_"+strings.ToUpper(at))
	} else if field == "corpus" {
		meant = append(meant, "EAFT_CORPORA")
	}
	_, of, _ := strings.Cut(flag, "_")
	switch {
	case len(meant) > 0:
		return "is " + strings.Join(meant, " or ") + " meant?"
	case slices.Contains(stages, field):
		return "name a flag of " + field + " behind it, as in EAFT_TRAIN_LR"
	case stage == "eval" && (of == "corpora" || of == "split" || slices.Contains(r.settable(stage), dashed(of))):
		return "evaluations are set in the file, or by --set eval.NAME.FIELD=VALUE"
	}
	return ""
}

// settable are the flags of a stage that a run does not set itself. None if the stage
// does not tell: whoever loads the file says so.
func (r *reader) settable(stage string) (names []string) {
	flags, _ := r.stage(stage)
	for _, f := range flags {
		if !slices.Contains(own[stage], f.Name) {
			names = append(names, f.Name)
		}
	}
	return names
}

// node is a value or a list in YAML. What is neither there, such as *.jsonl, is a text as
// it stands; fields are set one by one.
func node(text string) (*yaml.Node, error) {
	var doc yaml.Node
	err := yaml.Unmarshal([]byte(text), &doc)
	trimmed := strings.TrimSpace(text)
	switch {
	case trimmed == "":
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"}, nil
	case strings.ContainsAny(trimmed[:1], "['\"") && err != nil:
		return nil, err
	case err != nil, len(doc.Content) == 0, doc.Content[0].Kind == yaml.MappingNode, doc.Content[0].Kind == yaml.ScalarNode && doc.Content[0].LineComment != "":
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}, nil
	}
	return doc.Content[0], nil
}

// override puts a value into the tree, in place of the file's.
func (r *reader) override(n *yaml.Node, o Override) error {
	value, err := node(o.Value)
	if err != nil {
		return cli.Usagef("%s: %q: %w", o.Where, o.Value, hinted(err))
	}
	r.from[value] = o.Where
	for i, key := range o.Path {
		if n.Kind != yaml.MappingNode {
			return cli.Usagef("%s: %s is no field with fields in it", o.Where, strings.Join(o.Path[:i], "."))
		}
		at := slices.IndexFunc(n.Content, func(k *yaml.Node) bool { return k.Value == key })
		for at >= 0 && at%2 == 1 { // a value that is spelled like the key
			next := slices.IndexFunc(n.Content[at+1:], func(k *yaml.Node) bool { return k.Value == key })
			if next < 0 {
				at = -1
				break
			}
			at += 1 + next
		}
		last := i == len(o.Path)-1
		if at < 0 {
			if i == 0 && !last && (key == "train" || key == "eval") {
				return cli.Usagef("%s: %s has no %s to set anything of; write %s: there", o.Where, r.path, key, key)
			}
			k := &yaml.Node{Kind: yaml.ScalarNode, Value: key}
			r.from[k] = o.Where
			n.Content = append(n.Content, k, &yaml.Node{Kind: yaml.MappingNode})
			at = len(n.Content) - 2
			r.from[n.Content[at+1]] = o.Where
		}
		if last {
			n.Content[at+1] = value
			return nil
		}
		if v := n.Content[at+1]; v.Tag == "!!null" {
			n.Content[at+1] = &yaml.Node{Kind: yaml.MappingNode, Line: v.Line}
		}
		n = n.Content[at+1]
	}
	return nil
}
