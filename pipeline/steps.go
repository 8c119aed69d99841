package pipeline

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"eaft/internal/store"
	"eaft/parquet"
)

// Step is one stage of a run with everything that decides its result.
type Step struct {
	Name    string   // "eval known base"
	Program string   // "train"
	Args    []string // all of them
	Needs   []*Step
	After   []*Step           // must be done before, and decide nothing of the result: gates
	Parts   map[string]string // what the key is made of: names and values or hashes
	Key     string            // hash of the parts
	Folder  string            // seen from Config.Dir: out/eval-known-base-0123456789ab
	Schema  string            // of the dataset it makes; "" if none
	Markers []string          // files in Folder that complete the result, the last one written last
	Stdout  string            // file in Folder for the standard output; "": shown
	Shards  int               // that workers can do one by one; 0: as many as its input has; -1: none
	kind    string
	options *Options
}

// out is where the stage writes, seen from Config.Dir.
func (s *Step) out() string { return under(s.Folder, "out") }

// free are flags that change nothing in a result: a stage does not run again for
// their sake.
var free = []string{"threads", "memory", "save-every", "keep", "resume"}

// schemas are those of what the steps make. A new one makes everything anew.
var schemas = map[string]string{"tokenize": parquet.SchemaTokens, "score": parquet.SchemaScores, "inspect": "report/1", "train": "audit/1", "eval": "eval/1"}

// Facts are what a Config leaves to be looked up.
type Facts struct {
	ModelHash func(ref string) (string, error)
	ISA       string // on which the run is computed
	memo      *memo
}

// Steps are the stages of the run in order, with their keys. It reads all inputs.
func (c *Config) Steps(f Facts) ([]*Step, error) {
	ref := c.argument(c.Model)
	model, err := c.hashModel(f.memo, ref, f.ModelHash)
	if err != nil {
		return nil, err
	}
	b := &builder{c: c, memo: f.memo, isa: f.ISA, ref: ref, model: model}
	tok := b.tokenize("tokenize", c.Corpora, c.place("corpora"), &c.Tokenize)
	data := tok.out()
	if len(c.splits()) > 0 {
		data = under(data, "train")
	}
	score := b.add(&Step{Name: "score", kind: "score", Schema: parquet.SchemaScores, Needs: []*Step{tok}}, &c.Score)
	score.Args = append([]string{"score", "--model", ref, "--tokens", data, "--out", score.out()}, c.Score.args(c)...)
	score.Markers = []string{path.Join("out", parquet.ManifestName)}
	inspect := b.add(&Step{Name: "inspect", kind: "inspect", Needs: []*Step{score}, Shards: -1, Stdout: "out/report.json"}, &c.Inspect)
	inspect.Args = append([]string{"inspect", score.out(), "--json", "--html", under(inspect.out(), "report.html")}, c.Inspect.args(c)...)
	inspect.Markers = []string{"out/report.html", "out/report.json"}
	b.tok = tok
	var train *Step
	if c.Train != nil {
		o, needs, parts := b.heldOut(c.Train)
		// What the gates of inspect refuse is not trained on.
		train = b.add(&Step{Name: "train", kind: "train", Needs: append([]*Step{tok, score}, needs...), After: []*Step{inspect}, Parts: parts, Shards: -1, Stdout: "summary.txt"}, o)
		train.Args = append([]string{"--model", ref, "--tokens", data, "--scores", score.out(), "--out", train.out()}, o.args(b.c)...)
		train.Markers = []string{"out/run.json"}
	}
	for i := range c.Eval {
		b.eval(&c.Eval[i], train)
	}
	return b.steps, b.err
}

type builder struct {
	c          *Config
	memo       *memo
	isa, model string
	ref        string           // of the model, for the stages
	tok        *Step            // of the corpora
	own        map[string]*Step // tokenize of evaluations, by their names
	steps      []*Step
	err        error
}

func (b *builder) tokenize(name string, corpora []string, where string, o *Options) *Step {
	s := &Step{Name: name, kind: "tokenize", Schema: parquet.SchemaTokens, Shards: b.c.Shards, Parts: map[string]string{}}
	if len(o.Value("dedup")) > 0 || s.Shards < 2 || o != &b.c.Tokenize {
		s.Shards = -1 // whether a row repeats is known when all before it are read
	}
	for i, p := range corpora {
		hash, err := b.c.hashPath(b.memo, p, where)
		if err != nil && b.err == nil {
			b.err = err
		}
		s.Parts[fmt.Sprintf("corpus %d %s", i, p)] = hash
	}
	b.add(s, o)
	s.Args = append([]string{"--model", b.ref, "--out", s.out()}, o.args(b.c)...)
	s.Args = append(s.Args, "--")
	for _, p := range corpora {
		s.Args = append(s.Args, b.c.argument(p))
	}
	s.Markers = []string{path.Join("out", parquet.ManifestName)}
	if o == &b.c.Tokenize && len(b.c.splits()) > 0 {
		s.Markers = nil
		for _, split := range append([]string{"train"}, b.c.splits()...) {
			s.Markers = append(s.Markers, path.Join("out", split, parquet.ManifestName))
		}
	}
	return s
}

// tokens are those of an evaluation: the step that makes them, and their folder;
// nil without.
func (b *builder) tokens(e *Eval) (*Step, string) {
	switch {
	case e.Split != "":
		return b.tok, under(b.tok.out(), e.Split)
	case len(e.Corpora) == 0:
		return nil, ""
	}
	s := b.own[e.Name]
	if s == nil {
		s = b.tokenize("tokenize "+e.Name, e.Corpora, b.c.place("eval."+e.Name+".corpora"), &e.Tokenize)
		if b.own == nil {
			b.own = map[string]*Step{}
		}
		b.own[e.Name] = s
	}
	return s, s.out()
}

// heldOut gives train the folders of what its eval names: evaluations of this run,
// or splits of its tokens. What makes them is among the needs; which it is, among
// the parts, for the folders are not.
func (b *builder) heldOut(o *Options) (*Options, []*Step, map[string]string) {
	i := slices.IndexFunc(o.Set, func(opt Option) bool { return opt.Flag.Name == "eval" })
	if i < 0 {
		return o, nil, nil
	}
	out := &Options{Set: slices.Clone(o.Set), Where: o.Where}
	out.Set[i].Values = slices.Clone(o.Set[i].Values)
	var needs []*Step
	parts := map[string]string{}
	for j, name := range o.Set[i].Values {
		e := b.c.heldOut(name)
		if e == nil {
			continue // a folder
		}
		s, dir := b.tokens(e)
		if s != b.tok && !slices.Contains(needs, s) {
			needs = append(needs, s)
		}
		out.Set[i].Values[j] = name + "=" + dir
		parts["eval "+name] = "split " + e.Split
	}
	return out, needs, parts
}

func (b *builder) eval(e *Eval, train *Step) {
	var needs []*Step
	var args []string
	if s, dir := b.tokens(e); s != nil {
		needs, args = []*Step{s}, []string{"--tokens", dir}
	}
	models := []candidate{{name: "base", part: "false", model: []string{"--model", b.ref}}}
	if train != nil {
		models = append(models, b.trained(train))
	}
	for _, m := range models {
		s := &Step{Name: "eval " + e.Name + " " + m.name, kind: "eval", Needs: append(slices.Clone(needs), m.needs...), Shards: -1, Stdout: "out/eval.json",
			Parts: map[string]string{"split": e.Split, "trained": m.part}}
		b.add(s, &e.Options)
		s.Args = slices.Concat([]string{"eval"}, m.model, []string{"--json"}, args, e.Options.args(b.c))
		s.Markers = []string{s.Stdout}
	}
}

// candidate is a model that is evaluated.
type candidate struct {
	name  string
	part  string   // of the step's key: which of the models it is
	model []string // arguments
	needs []*Step
}

// trained is what is evaluated of what train makes.
func (b *builder) trained(train *Step) candidate {
	m := candidate{name: "trained", part: "true", needs: []*Step{train}}
	o := b.c.Train
	if o.keepsBest() {
		m.name, m.part = "best", "best"
	}
	model, adapter := o.makes(train.out())
	m.model = []string{"--model", model}
	if adapter != "" {
		m.model = []string{"--model", b.ref, "--adapter", adapter}
	}
	return m
}

// makes are the folders in out of the model of the last step or, where train keeps one,
// of the best, and of its adapter: the model is merged then. "" if there is none.
func (o *Options) makes(out string) (model, adapter string) {
	merges := o.find("merge") != nil
	switch {
	case o.keepsBest() && o.adapts() && merges:
		return under(out, "best"), under(out, "best", "adapter")
	case o.keepsBest() && o.adapts():
		return "", under(out, "best")
	case o.keepsBest():
		return under(out, "best"), ""
	case o.adapts() && merges:
		return under(out, "model"), under(out, "adapter")
	case o.adapts():
		return "", under(out, "adapter")
	}
	return under(out, "model"), ""
}

// add completes a step's parts, and takes their hash.
func (b *builder) add(s *Step, o *Options) *Step {
	s.Program, s.options = commands[s.kind][0], o
	if s.Parts == nil {
		s.Parts = map[string]string{}
	}
	s.Parts["schema"] = schemas[s.kind]
	if s.kind != "inspect" {
		s.Parts["model"] = b.model
	}
	if s.kind != "inspect" && s.kind != "tokenize" {
		s.Parts["isa"] = b.isa
	}
	for _, need := range s.Needs {
		s.Parts["needs "+need.Name] = need.Key
	}
	for _, opt := range o.Set {
		if slices.Contains(free, opt.Flag.Name) {
			continue
		}
		said := opt.Values
		if s.kind == "train" && opt.Flag.Name == "eval" {
			said = b.c.Train.Value("eval") // as in the file: the folders have keys in their names
		}
		data, _ := json.Marshal(said) // strings
		s.Parts["option "+opt.Flag.Name] = string(data)
		for _, v := range said {
			// An option that names a file stands for what is in it.
			if _, dir, ok := strings.Cut(v, "="); ok && opt.Flag.Name == "eval" && !store.IsURL(v) {
				v = dir
			}
			if opt.Flag.Type != "bool" && b.c.isThere(v) {
				hash, err := b.c.hashPath(b.memo, v, opt.Where)
				if err != nil && b.err == nil {
					b.err = err
				}
				s.Parts["file "+v] = hash
			}
		}
	}
	data, _ := json.Marshal(s.Parts) // in the order of the names
	sum := sha256.Sum256(data)
	s.Key = hex.EncodeToString(sum[:])
	s.Folder = under(filepath.ToSlash(b.c.Out), slug(s.Name)+"-"+s.Key[:12])
	b.steps = append(b.steps, s)
	return s
}

var space = regexp.MustCompile(` +`)

func slug(name string) string { return space.ReplaceAllString(name, "-") }

// difference names the first parts in which a step differs from what was.
func difference(was, is map[string]string) (out []string) {
	names := map[string]bool{}
	maps.Copy(names, keysOf(was))
	maps.Copy(names, keysOf(is))
	for _, name := range slices.Sorted(maps.Keys(names)) {
		a, okA := was[name]
		b, okB := is[name]
		switch {
		case a == b:
		case !okA:
			out = append(out, fmt.Sprintf("%s: now %s", name, spell(b)))
		case !okB:
			out = append(out, fmt.Sprintf("%s: was %s", name, spell(a)))
		default:
			out = append(out, fmt.Sprintf("%s: %s -> %s", name, spell(a), spell(b)))
		}
	}
	return out
}

func keysOf(m map[string]string) map[string]bool {
	out := map[string]bool{}
	for k := range m {
		out[k] = true
	}
	return out
}

var hash = regexp.MustCompile(`^(sha256:)?([0-9a-f]{12})[0-9a-f]{52}$`)

// unescape undoes what JSON does to the texts of options for the sake of HTML.
var unescape = strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&")

// spell is a part for people.
func spell(part string) string { return unescape.Replace(brief(part)) }

// brief shortens a hash.
func brief(s string) string { return hash.ReplaceAllString(s, "$1$2") }
