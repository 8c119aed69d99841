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

// FromEnvironment reads EAFT_MODEL, EAFT_OUT, EAFT_CORPORA, EAFT_CPU,
// EAFT_WORKERS, and for a flag of a stage its name in capitals:
// EAFT_TRAIN_MAX_GRAD_NORM is train.max-grad-norm.
func FromEnvironment(environ []string) (out []Override) {
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		field, ours := strings.CutPrefix(name, "EAFT_")
		if !ours || value == "" {
			continue
		}
		field = strings.ToLower(field)
		if slices.Contains(environment, field) {
			out = append(out, Override{[]string{field}, value, name})
			continue
		}
		stage, flag, ok := strings.Cut(field, "_")
		if ok && slices.Contains([]string{"tokenize", "score", "inspect", "train"}, stage) {
			out = append(out, Override{[]string{stage, strings.ReplaceAll(flag, "_", "-")}, value, name})
		}
	}
	slices.SortFunc(out, func(a, b Override) int { return strings.Compare(a.Where, b.Where) })
	return out
}

// override puts a value into the tree, in place of the file's.
func (r *reader) override(n *yaml.Node, o Override) error {
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(o.Value), &doc); err != nil {
		return cli.Usagef("%s: %q: %w", o.Where, o.Value, err)
	}
	value := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"}
	if len(doc.Content) > 0 {
		value = doc.Content[0]
	}
	if value.Kind == yaml.MappingNode {
		// Such as a path with ": " in it; fields are set one by one.
		value = &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: o.Value}
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
