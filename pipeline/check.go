package pipeline

import (
	"slices"
	"strconv"
	"strings"

	"eaft/internal/cli"
	"eaft/internal/store"
)

// Value is what a flag of the stage is set to; nothing if that is its default.
func (o *Options) Value(name string) []string {
	if opt := o.find(name); opt != nil {
		return opt.Values
	}
	return nil
}

func (o *Options) find(name string) *Option {
	for i := range o.Set {
		if o.Set[i].Flag.Name == name {
			return &o.Set[i]
		}
	}
	return nil
}

// args spells the options as arguments.
func (o *Options) args(c *Config) (args []string) {
	for _, opt := range o.Set {
		for _, v := range opt.Values {
			name, dir, named := strings.Cut(v, "=")
			switch {
			case opt.Flag.Name == "eval" && named && !store.IsURL(v):
				v = name + "=" + c.argument(dir)
			case opt.Flag.Name == "eval" || opt.Flag.Type == "string":
				v = c.argument(v)
			}
			args = append(args, "--"+opt.Flag.Name+"="+v)
		}
	}
	return args
}

// adapts says that train makes an adapter: with merge a model too, but it is the
// adapter that is evaluated, for bfloat16 products would round what is merged.
func (o *Options) adapts() bool { return o.find("lora") != nil }

// keepsBest says that train keeps the best model beside that of the last step, and
// that the best one is wanted.
func (o *Options) keepsBest() bool { return o.find("best") != nil }

// splits are the names that tokenize.split gives.
func (c *Config) splits() (names []string) {
	for _, v := range c.Tokenize.Value("split") {
		for _, part := range strings.Split(v, ",") {
			name, _, _ := strings.Cut(part, "=")
			names = append(names, strings.TrimSpace(name))
		}
	}
	return names
}

// heldOut is what train.eval means by a name: an evaluation of this run that has
// tokens, or a split; nil, if neither has it.
func (c *Config) heldOut(name string) *Eval {
	for i := range c.Eval {
		if e := &c.Eval[i]; e.Name == name && (e.Split != "" || len(e.Corpora) > 0) {
			return e
		}
	}
	if slices.Contains(c.splits(), name) {
		return &Eval{Name: name, Split: name}
	}
	return nil
}

// check refuses what does not go together.
func (c *Config) check(r *reader) error {
	switch {
	case c.Model == "":
		return cli.Usagef("%s: model is missing: %s", c.Path, cli.Models)
	case len(c.Corpora) == 0:
		return cli.Usagef("%s: corpora is missing: the files to tokenize", c.Path)
	case slices.Contains(c.Corpora, "-"):
		return cli.Usagef("%s: corpora: standard input cannot be read again; name a file", c.place("corpora"))
	}
	if opt := c.Score.find("limit"); opt != nil && c.Train != nil {
		return cli.Usagef("%s: score.limit leaves rows without scores, and train (%s) needs those of all rows; leave one of them out", opt.Where, c.Train.Where)
	}
	if opt := c.Score.find("adapter"); opt != nil && c.Train != nil {
		return cli.Usagef("%s: score.adapter has another model scored than train (%s) starts from, which needs the scores of its own; leave one of them out", opt.Where, c.Train.Where)
	}
	if err := c.sameK(r); err != nil {
		return err
	}
	if opt := c.Inspect.find("calibration"); opt != nil && !c.isThere(opt.Values[0]) {
		return cli.Usagef("%s: inspect.calibration: %s is not there; it is the folder of scores of ordinary text, which scorer score writes", opt.Where, opt.Values[0])
	}
	if c.Train != nil {
		if opt := c.Train.find("match-step"); opt != nil && !c.isThere(opt.Values[0]) {
			return cli.Usagef("%s: train.match-step: %s is not there; it is the folder of a finished run", opt.Where, opt.Values[0])
		}
		if opt := c.Train.find("resume"); opt != nil && opt.Values[0] != "none" && !c.isThere(opt.Values[0]) {
			return cli.Usagef("%s: train.resume: %q is neither auto nor none nor the folder of a checkpoint", opt.Where, opt.Values[0])
		}
	}
	if err := c.checkMix(); err != nil {
		return err
	}
	if opt := c.Tokenize.find("shards"); opt != nil {
		n, _ := strconv.ParseInt(opt.Values[0], 0, 0) // as the flag is read: 0x10 is 16
		c.Shards = int(n)
	}
	for _, e := range c.Eval {
		if e.Split != "" && !slices.Contains(c.splits(), e.Split) {
			return cli.Usagef("%s: eval.%s.split: tokenize.split makes no %q", e.Options.Where, e.Name, e.Split)
		}
		data := e.Options.find("data")
		if data == nil && e.Split == "" && len(e.Corpora) == 0 {
			return cli.Usagef("%s: eval.%s has nothing to measure with: give corpora or a split, or a task with its data", e.Options.Where, e.Name)
		}
		if data != nil && !c.isThere(data.Values[0]) {
			return cli.Usagef("%s: eval.%s.data: %s is not there; it is the file of records, or of plain text for perplexity", data.Where, e.Name, data.Values[0])
		}
		opt := e.Options.find("adapter")
		if opt != nil && !c.isThere(opt.Values[0]) {
			return cli.Usagef("%s: eval.%s.adapter: %s is not there; it is the folder of an adapter, as PEFT and train --lora write it", opt.Where, e.Name, opt.Values[0])
		}
		if opt != nil && c.Train != nil && c.Train.adapts() {
			return cli.Usagef("%s: eval.%s.adapter: train makes an adapter itself, with lora; leave this one out", opt.Where, e.Name)
		}
	}
	if c.Train != nil {
		for _, v := range c.Train.Value("eval") {
			_, dir, named := strings.Cut(v, "=")
			if !named || store.IsURL(v) {
				dir = v
			}
			if st, err := store.Stat(c.at(dir)); c.heldOut(v) == nil && (err != nil || !st.Dir) {
				return cli.Usagef("%s: train.eval: %q is no evaluation in eval with corpora or a split, no split of tokenize.split, and no folder", c.Train.find("eval").Where, v)
			}
		}
	}
	if store.Same(c.at(c.Out), c.Dir) {
		return cli.Usagef("%s: out is the folder of the file itself; name one of its own", c.place("out"))
	}
	return nil
}

// sameK refuses a training that would not take the scores for their k.
func (c *Config) sameK(r *reader) error {
	if c.Train == nil {
		return nil
	}
	opt := c.Score.find("k")
	if opt == nil {
		opt = c.Train.find("k")
	}
	if opt == nil {
		return nil // the defaults are alike
	}
	score, err := r.value("score", &c.Score, "k")
	if err != nil {
		return err
	}
	train, err := r.value("train", c.Train, "k")
	if err != nil {
		return err
	}
	integer := func(s string) (int64, error) { return strconv.ParseInt(s, 0, 64) }
	if !alike(integer, score, train) {
		return cli.Usagef("%s: score.k is %s and train.k is %s, and train takes scores with its own k only; give both the same", opt.Where, score, train)
	}
	return nil
}
