package pipeline

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"eaft/internal/cli"
	"eaft/internal/store"
)

// Config is a run: what run.yaml says, with what the environment and the command
// line say instead.
type Config struct {
	Path    string // of the file
	Dir     string // its folder, or the URL of it; the paths in it are relative to it
	Model   string
	Out     string // folder for everything that is made
	Corpora []string
	CPU     string // instruction set (EAFT_CPU); "": the best of the machine that began
	Workers int    // processes that share a stage
	Shards  int    // of the tokens, which are those of the scores; 0: not said

	Tokenize, Score, Inspect Options
	Train                    *Options // nil: nothing is trained
	Eval                     []Eval

	places map[string]string // where fields stand, by name: "run.yaml:12", "--set cpu"
}

// place is where a field stands, or the file.
func (c *Config) place(field string) string {
	if at := c.places[field]; at != "" {
		return at
	}
	return c.Path
}

// Options are the flags that a stage is given.
type Options struct {
	Set   []Option
	Where string
}

// Option is one flag of a stage that is set to something else than its default.
type Option struct {
	Flag   cli.Flag
	Values []string
	Where  string // "run.yaml:12", "--set train.lr" or "EAFT_TRAIN_LR"
}

// Eval is an evaluation, of the base model and of the trained one.
type Eval struct {
	Name     string
	Corpora  []string // tokenized for it
	Split    string   // or a split that tokenize made
	Options  Options
	Tokenize Options
}

// Flags describes the flags of a program's command, such as "scorer", "score".
type Flags func(program string, command ...string) ([]cli.Flag, error)

// own are the flags that the run itself sets.
var own = map[string][]string{
	"tokenize": {"model", "out", "json", "shard"},
	"score":    {"model", "tokens", "out", "json", "shard"},
	"inspect":  {"tokens", "json", "html", "row"},
	"train":    {"model", "tokens", "scores", "out"},
	"eval":     {"model", "tokens", "json", "out"},
}

// commands are the programs of the stages and their subcommands.
var commands = map[string][]string{
	"tokenize": {"tokenize"}, "score": {"scorer", "score"}, "inspect": {"scorer", "inspect"}, "train": {"train"}, "eval": {"train", "eval"},
}

const maxFile = 1 << 20 // bytes of a run.yaml

// yamlHints say what is probably wrong where YAML's errors say this.
var yamlHints = map[string]string{
	"cannot start any token":     "a tab, perhaps, where YAML wants spaces; or a text that needs quotes",
	"mapping values are not all": "the line is indented further than the one before, perhaps; or that one has no colon with a space behind it; or a text with a colon needs quotes",
	"alphabetic or numeric":      "a text that begins with * or & needs quotes, perhaps",
	"unknown anchor":             "a text that begins with * needs quotes, perhaps",
}

// hinted is an error of YAML's with what is probably wrong.
func hinted(err error) error {
	for said, hint := range yamlHints {
		if strings.Contains(err.Error(), said) {
			return fmt.Errorf("%w: %s", err, hint)
		}
	}
	return err
}

// Load reads a run's file. An unknown, repeated or contradictory field is an
// error that names its line.
func Load(path string, over []Override, flags Flags) (*Config, error) {
	f, err := store.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w; pipeline init writes one", err)
	}
	if err != nil {
		return nil, cli.Usagef("%w", err)
	}
	defer f.Close()
	if st, err := store.Stat(path); err == nil && st.Dir {
		return nil, cli.Usagef("%s is a folder; name the run's file, such as %s", path, store.Join(path, "run.yaml"))
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, cli.Usagef("%s: larger than %d bytes", path, maxFile)
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	if err := dec.Decode(&doc); err != nil && !errors.Is(err, io.EOF) {
		return nil, cli.Usagef("%s: %w", path, hinted(err))
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, cli.Usagef("%s:%d: a second document; a run is one", path, more.Line)
	}
	root := &yaml.Node{Kind: yaml.MappingNode, Line: 1}
	if len(doc.Content) > 0 && doc.Content[0].Tag != "!!null" {
		root = doc.Content[0]
	}
	r := &reader{path: path, flags: flags, from: map[*yaml.Node]string{}, known: map[string][]cli.Flag{}}
	for _, o := range over {
		if err := r.override(root, o); err != nil {
			return nil, err
		}
	}
	c := &Config{Path: path, Dir: store.Dir(path), Out: "run", Workers: 1}
	if err := r.config(root, c); err != nil {
		return nil, err
	}
	if store.IsURL(c.Dir) {
		c.Out = c.at(c.Out) // stages are told where it is
	} else {
		c.Out = store.Local(c.Out) // what is below it is a path
	}
	return c, c.check(r)
}

// reader turns nodes into a Config.
type reader struct {
	path  string
	flags Flags
	from  map[*yaml.Node]string // where a node that is not the file's comes from
	known map[string][]cli.Flag // by stage
}

func (r *reader) where(n *yaml.Node) string {
	if from, ok := r.from[n]; ok {
		return from
	}
	return fmt.Sprintf("%s:%d", r.path, n.Line)
}

func (r *reader) errorf(n *yaml.Node, format string, a ...any) error {
	return cli.Usagef("%s: "+format, append([]any{r.where(n)}, a...)...)
}

// each calls f with the fields of a mapping.
func (r *reader) each(n *yaml.Node, what string, f func(key string, v *yaml.Node) error) error {
	if n.Kind != yaml.MappingNode {
		return r.errorf(n, "%s: want fields (name: value)", cmp.Or(what, "the file"))
	}
	seen := map[string]bool{}
	for i := 0; i < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		switch {
		case k.Kind != yaml.ScalarNode:
			return r.errorf(k, "%s: a field's name is a word", what)
		case seen[k.Value]:
			return r.errorf(k, "%s stands twice", join(what, k.Value))
		case v.Kind == yaml.AliasNode || v.Anchor != "":
			return r.errorf(v, "%s: anchors and aliases are not used here; write the value out", join(what, k.Value))
		}
		seen[k.Value] = true
		if err := f(k.Value, v); err != nil {
			return err
		}
	}
	return nil
}

// isNull says that a field has no value, and is as good as left out.
func isNull(v *yaml.Node) bool { return v.Tag == "!!null" }

func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + "." + b
}

var topFields = []string{"model", "out", "corpora", "cpu", "workers", "tokenize", "score", "inspect", "train", "eval"}

func (r *reader) config(root *yaml.Node, c *Config) error {
	c.places = map[string]string{}
	return r.each(root, "", func(key string, v *yaml.Node) (err error) {
		c.places[key] = r.where(v)
		switch {
		case !slices.Contains(topFields, key):
			return r.errorf(v, "unknown field %q%s", key, r.elsewhere(key))
		case isNull(v) && (key != "train" || r.from[v] != ""): // in the file an empty train trains with the defaults
			return nil
		}
		switch key {
		case "model":
			c.Model, err = r.text(v, key)
		case "out":
			c.Out, err = r.text(v, key)
		case "cpu":
			c.CPU, err = r.text(v, key)
		case "corpora":
			c.Corpora, err = r.list(v, key)
		case "workers":
			var s string
			if s, err = r.text(v, key); err == nil {
				if c.Workers, err = strconv.Atoi(s); err != nil || c.Workers < 1 || c.Workers > 1024 {
					err = r.errorf(v, "workers: %q is not a number from 1 to 1024", s)
				}
			}
		case "tokenize":
			c.Tokenize, err = r.options(v, key, key)
		case "score":
			c.Score, err = r.options(v, key, key)
		case "inspect":
			c.Inspect, err = r.options(v, key, key)
		case "train":
			var o Options
			o, err = r.options(v, key, key)
			c.Train = &o
		case "eval":
			err = r.each(v, key, func(name string, v *yaml.Node) error {
				switch {
				case isNull(v) && r.from[v] != "":
					return nil
				case isNull(v):
					return r.errorf(v, "eval.%s is empty: say what to measure with, such as {corpora: FILE} or {split: NAME}, or take the line out", name)
				case v.Kind != yaml.MappingNode:
					return r.errorf(v, "eval.%s: want the fields of an evaluation, below a name of yours: eval: {NAME: {corpora: FILE}}", name)
				}
				e, err := r.eval(c, name, v)
				c.Eval = append(c.Eval, e)
				return err
			})
		}
		return err
	})
}

// elsewhere hints at what a field was meant for that the run has not: a line that is
// indented too little, below its stage, is one of the run.
func (r *reader) elsewhere(key string) string {
	var meant []string
	for _, stage := range stages {
		if slices.Contains(r.settable(stage), key) {
			meant = append(meant, stage+"."+key)
		}
	}
	if len(meant) == 0 {
		return nearest(key, topFields)
	}
	return fmt.Sprintf("; %s is meant: indented below its stage, or so in --set", strings.Join(meant, " or "))
}

func (r *reader) eval(c *Config, name string, n *yaml.Node) (e Eval, err error) {
	what := "eval." + name
	if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
		return e, r.errorf(n, "%s: an evaluation's name has small letters, digits and _", what)
	}
	e.Name = name
	rest := &yaml.Node{Kind: yaml.MappingNode, Line: n.Line}
	err = r.each(n, what, func(key string, v *yaml.Node) (err error) {
		switch own := slices.Contains([]string{"corpora", "split", "tokenize"}, key); {
		case own && isNull(v):
		case key == "corpora":
			c.places[what+"."+key] = r.where(v)
			e.Corpora, err = r.list(v, what+"."+key)
		case key == "split":
			e.Split, err = r.text(v, what+"."+key)
		case key == "tokenize":
			e.Tokenize, err = r.options(v, what+"."+key, "tokenize")
		default:
			rest.Content = append(rest.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: key, Line: v.Line}, v)
		}
		return err
	})
	if err != nil {
		return e, err
	}
	if len(e.Corpora) > 0 && e.Split != "" {
		return e, r.errorf(n, "%s: corpora and split exclude each other: tokens of files, or of a share of the corpora", what)
	}
	if len(e.Corpora) == 0 && len(e.Tokenize.Set) > 0 {
		return e, r.errorf(n, "%s.tokenize: without corpora nothing is tokenized here", what)
	}
	e.Options, err = r.options(rest, what, "eval")
	e.Options.Where = r.where(n)
	return e, err
}

// stage asks a stage for its flags, once.
func (r *reader) stage(name string) (flags []cli.Flag, err error) {
	if r.known[name] == nil {
		r.known[name], err = r.flags(commands[name][0], commands[name][1:]...)
	}
	return r.known[name], err
}

// value is what a flag of a stage is set to, or its default.
func (r *reader) value(stage string, o *Options, name string) (string, error) {
	if v := o.Value(name); len(v) > 0 {
		return v[0], nil
	}
	flags, err := r.stage(stage)
	for _, f := range flags {
		if f.Name == name {
			return f.Default, nil
		}
	}
	return "", err
}

// options reads the flags of a stage.
func (r *reader) options(n *yaml.Node, what, stage string) (Options, error) {
	o := Options{Where: r.where(n)}
	if isNull(n) {
		return o, nil
	}
	flags, err := r.stage(stage)
	if err != nil {
		return o, err
	}
	err = r.each(n, what, func(key string, v *yaml.Node) error {
		i := slices.IndexFunc(flags, func(f cli.Flag) bool { return f.Name == key })
		if slices.Contains(own[stage], key) {
			return r.errorf(v, "%s.%s is set by the run itself; leave it out", what, key)
		}
		if i < 0 {
			return r.errorf(v, "unknown field %q of %s%s", key, what, nearest(key, r.settable(stage)))
		}
		if isNull(v) {
			return nil
		}
		f := flags[i]
		values, err := r.values(v, what+"."+key, f)
		if err == nil && !isDefault(f, values) {
			o.Set = append(o.Set, Option{f, values, r.where(v)})
		}
		return err
	})
	return o, err
}

// values reads what a flag is set to, and checks its type. Empty is only what is so
// by default.
func (r *reader) values(v *yaml.Node, what string, f cli.Flag) ([]string, error) {
	if isList(f) {
		if v.Kind == yaml.SequenceNode && len(v.Content) == 0 && f.Default == emptyList {
			return nil, nil
		}
		return r.list(v, what)
	}
	if v.Kind == yaml.ScalarNode && v.Value == f.Default {
		return []string{v.Value}, nil
	}
	s, err := r.text(v, what)
	if err != nil {
		return nil, err
	}
	switch f.Type {
	case "bool":
		_, err = strconv.ParseBool(s)
	case "int", "int64":
		_, err = strconv.ParseInt(s, 0, 64)
	case "uint64", "uint":
		_, err = strconv.ParseUint(s, 0, 64)
	case "float64":
		_, err = strconv.ParseFloat(s, 64)
	}
	if err != nil {
		return nil, r.errorf(v, "%s: %q is no %s; it is: %s", what, s, kinds[f.Type], f.Usage)
	}
	return []string{s}, nil
}

// kinds are pflag's types in words.
var kinds = map[string]string{"bool": "true or false", "int": "integer", "int64": "integer", "uint": "integer from 0", "uint64": "integer from 0", "float64": "number"}

func (r *reader) text(v *yaml.Node, what string) (string, error) {
	if v.Kind != yaml.ScalarNode {
		return "", r.errorf(v, "%s: want one value, not a list or fields", what)
	}
	if v.Value == "" {
		return "", r.errorf(v, "%s is empty; leave it out, or give it a value", what)
	}
	return v.Value, nil
}

// list reads several values, or one.
func (r *reader) list(v *yaml.Node, what string) (out []string, err error) {
	items := []*yaml.Node{v}
	if v.Kind == yaml.SequenceNode {
		if items = v.Content; len(items) == 0 {
			return nil, r.errorf(v, "%s: an empty list", what)
		}
		for _, item := range items {
			if from, ok := r.from[v]; ok {
				r.from[item] = from
			}
		}
	}
	for _, item := range items {
		s, err := r.text(item, what)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

// nearest is a hint at the name that was meant.
func nearest(name string, names []string) string {
	if at := cli.Meant(name, names); at != "" {
		return fmt.Sprintf("; is %s meant?", at)
	}
	return "; known are " + strings.Join(names, ", ")
}
