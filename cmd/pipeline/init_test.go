package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"eaft/internal/cli"
	"eaft/pipeline"
)

// initialised is a file that init wrote, and what comes of its lines.
type initialised struct {
	t     *testing.T
	path  string
	flags pipeline.Flags
}

func initialise(t *testing.T) (*initialised, []string) {
	in := &initialised{t: t, path: filepath.Join(t.TempDir(), "run.yaml")}
	corpus, err := os.ReadFile("../../examples/demo/corpus.jsonl")
	for _, name := range []string{"corpus.jsonl", "known.jsonl"} {
		if err == nil {
			err = os.WriteFile(filepath.Join(filepath.Dir(in.path), name), corpus, 0o666)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	in.run("init", "--model", "demo", "--corpus", "corpus.jsonl")
	data, err := os.ReadFile(in.path)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string][]cli.Flag{} // what the programs say does not change
	in.flags = func(program string, command ...string) (flags []cli.Flag, err error) {
		name := program + " " + strings.Join(command, " ")
		if known[name] == nil {
			known[name], err = (&pipeline.Runner{Dir: programs}).Flags(program, command...)
		}
		return known[name], err
	}
	return in, strings.Split(string(data), "\n")
}

func (in *initialised) run(args ...string) string {
	in.t.Helper()
	cmd := exec.Command(filepath.Join(programs, "pipeline"), args...)
	cmd.Dir = filepath.Dir(in.path)
	out, err := cmd.CombinedOutput()
	if err != nil {
		in.t.Errorf("pipeline %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// steps are what a file with these lines would run: keys, which are of all options,
// and arguments.
func (in *initialised) steps(lines []string) (out []pipeline.Step) {
	in.t.Helper()
	if err := os.WriteFile(in.path, []byte(strings.Join(lines, "\n")), 0o666); err != nil {
		in.t.Fatal(err)
	}
	c, err := pipeline.Load(in.path, nil, in.flags)
	if err != nil {
		in.t.Error(err)
		return nil
	}
	p := &pipeline.Pipeline{Config: c, ISA: isa, ModelHash: func(ref string) (string, error) { return modelHash(c.Dir, ref) }}
	plan, err := p.Plan(context.Background())
	if err != nil {
		in.t.Error(err)
	}
	for _, pl := range plan {
		out = append(out, pipeline.Step{Name: pl.Name, Key: pl.Key, Args: pl.Args})
	}
	return out
}

var commented = regexp.MustCompile(`^ *# *[a-z0-9-]+:( |$)`)

// uncomment takes the # of lines with fields away.
func uncomment(lines []string) []string {
	lines = slices.Clone(lines)
	for i, line := range lines {
		if commented.MatchString(line) {
			lines[i] = strings.Replace(line, "#", "", 1)
		}
	}
	return lines
}

// defaults uncomments the lines from..to, one by one and all together, and wants
// what the file does with none of them.
func (in *initialised) defaults(lines []string, from, to, least int) {
	in.t.Helper()
	want, n := in.steps(lines), 0
	before := in.run("plan", "run.yaml")
	for i := from; i < to; i++ {
		if !commented.MatchString(lines[i]) {
			continue
		}
		n++
		if got := in.steps(slices.Concat(lines[:i], uncomment(lines[i:i+1]), lines[i+1:])); !reflect.DeepEqual(got, want) {
			in.t.Errorf("%s\nmakes %v\nof    %v", lines[i], got, want)
		}
	}
	if n < least {
		in.t.Fatalf("only %d lines are commented out", n)
	}
	if got := in.steps(slices.Concat(lines[:from], uncomment(lines[from:to]), lines[to:])); !reflect.DeepEqual(got, want) {
		in.t.Errorf("all lines make %v\nof %v", got, want)
	}
	if got := in.run("plan", "run.yaml"); got != before { // for which it asks the stages
		in.t.Errorf("with all lines the plan is\n%s\nwithout\n%s", got, before)
	}
}

// Every line that init comments out, uncommented as it stands, is taken and changes
// nothing; so do those of the evaluation that is its example.
func TestInitDefaults(t *testing.T) {
	in, lines := initialise(t)
	eval := slices.Index(lines, "#eval:")
	in.defaults(lines, 0, eval, 80)
	alone := len(in.steps(lines))
	lines = slices.Concat(lines[:eval], uncomment(lines[eval:eval+3]), lines[eval+3:])
	for i := eval + 3; i < len(lines); i++ {
		lines[i] = strings.TrimPrefix(lines[i], "#")
	}
	if n := len(in.steps(lines)) - alone; n != 3 {
		t.Fatalf("the example of an evaluation makes %d steps", n)
	}
	in.defaults(lines, eval, len(lines), 14)
}
