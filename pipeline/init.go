package pipeline

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"eaft/internal/cli"
	"eaft/internal/store"
)

// Init writes a commented run.yaml for a model and corpora, which must be there, that
// runs as it is. Every flag that a stage has stands in it, as a comment with its default.
func Init(path, model string, corpora []string, flags Flags) error {
	if model == "" {
		return cli.Usagef("--model is missing: %s", cli.Models)
	}
	if len(corpora) == 0 {
		return cli.Usagef("--corpus is missing: a file, a folder or a pattern; may be given several times")
	}
	var b strings.Builder
	fmt.Fprintf(&b, `# A run: pipeline plan %[1]s says what would be done, pipeline run %[1]s does it.
# Paths are relative to this file. Every field can be set by --set train.lr=1e-5
# or by the environment, EAFT_TRAIN_LR=1e-5. What stands behind # is the default, and
# nothing where there is none: without the # it changes nothing.

`, store.Base(path))
	dir := store.Dir(path)
	seen := func(p string) (string, error) {
		switch {
		case store.IsURL(p):
			return p, nil
		case store.IsURL(path):
			return "", cli.Usagef("%s: machines that read %s do not see it; put it into the bucket, and give its URL", p, path)
		}
		p = store.Local(p)
		abs, err := filepath.Abs(p)
		if err != nil || filepath.IsAbs(p) {
			return p, err
		}
		base, err := filepath.Abs(dir)
		if err != nil {
			return "", err
		}
		return filepath.Rel(base, abs)
	}
	if _, err := store.Stat(model); err == nil {
		if model, err = seen(model); err != nil {
			return err
		}
	}
	fmt.Fprintf(&b, "model: %s\ncorpora:\n", scalar(model))
	where := &Config{Path: path, Dir: dir}
	for _, c := range corpora {
		if c == "-" {
			return cli.Usagef("--corpus -: standard input cannot be read again; name a file")
		}
		rel, err := seen(c)
		if err != nil {
			return err
		}
		paths, _, err := where.find(rel)
		if err != nil {
			return cli.Usagef("--corpus %s: %w", c, err)
		}
		if len(paths) == 0 {
			return cli.Usagef("--corpus %s: there is no such file, no folder with files, and no file that it fits as a pattern", c)
		}
		fmt.Fprintf(&b, "  - %s\n", scalar(rel))
	}
	b.WriteString(`
out: run          # folder for everything that is made
workers: 1        # processes that share the shards of tokenize and score
#cpu:             # instruction set of all machines, such as avx2; else the best one of the first
`)
	for _, stage := range stages {
		fs, err := flags(commands[stage][0], commands[stage][1:]...)
		if err != nil {
			return err
		}
		head := map[string]string{
			"tokenize": "From the corpora to tokens/1.",
			"score":    "What the model thinks of every token: scores/1.",
			"inspect":  "The conflict report, and the gates: a list of fail-if stops the run here.",
			"train":    "Without this field nothing is trained.",
		}[stage]
		fmt.Fprintf(&b, "\n# %s\n%s:\n", head, stage)
		writeFlags(&b, stage, fs, "  #")
	}
	b.WriteString(`
# Evaluations of the base model and of the trained one (the best with train.best), by
# names of yours: of files that are tokenized for it, or of a split that tokenize.split
# makes. An example:
#eval:
#  known:
#    corpora: [known.jsonl]
`)
	fs, err := flags(commands["eval"][0], commands["eval"][1:]...)
	if err != nil {
		return err
	}
	writeFlags(&b, "eval", fs, "#    #")
	made, err := store.CreateNew(path, []byte(b.String()))
	if err == nil && !made {
		err = cli.Usagef("%s: a run's file is not overwritten; name another one, or remove it", path)
	}
	return err
}

func writeFlags(b *strings.Builder, stage string, flags []cli.Flag, indent string) {
	for _, f := range flags {
		if slices.Contains(own[stage], f.Name) {
			continue
		}
		value := f.Default
		switch {
		case isList(f):
			value = emptyList
		case f.Name == "threads": // the default is each machine's own
			value = ""
		case f.Type == "string":
			value = scalar(value)
		}
		fmt.Fprintf(b, "%s%s: %-*s # %s\n", indent, f.Name, 20-len(f.Name), value, strings.ReplaceAll(f.Usage, "\n", " "))
	}
}

// scalar spells a text in YAML: as it is where that reads back as a text.
func scalar(s string) string {
	plain := s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-") == "" && !strings.HasPrefix(s, "-")
	if plain && (strings.ContainsAny(s[:1], "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ/") || strings.HasPrefix(s, "../") || strings.HasPrefix(s, "./")) &&
		!slices.Contains([]string{"true", "false", "null", "yes", "no", "on", "off", "y", "n"}, strings.ToLower(s)) {
		return s
	}
	return strconv.Quote(s)
}
