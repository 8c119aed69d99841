package pipeline

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"eaft/internal/cli"
)

// probe finds values that a stage would refuse before any stage has run, and
// not hours later: each program is given its own options and an input that is
// not there. A program that complains of that input has accepted the options;
// what else it complains of is the error, with the line of the field.
func (p *Pipeline) probe(ctx context.Context, plan []Planned) error {
	dir, err := os.MkdirTemp("", "eaft-probe-")
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return err // there may be room later
	}
	if err != nil {
		return cli.Usagef("no temporary files can be made: %w; set TMPDIR to a folder where they can", err)
	}
	defer os.RemoveAll(dir)
	for _, pl := range plan {
		if pl.What == Done || pl.What == Mend {
			continue
		}
		if err := p.probeStep(ctx, &pl, dir); err != nil {
			return err
		}
	}
	return nil
}

func (p *Pipeline) probeStep(ctx context.Context, pl *Planned, dir string) error {
	absent := filepath.Join(dir, "absent")
	args, asked := slices.Clone(pl.Args), false
	for i, a := range args {
		switch {
		case a == "--" || pl.kind == "inspect" && i == 1:
			at := i
			if a == "--" {
				at++
				args = args[:at+1]
			}
			args[at], asked = absent, true
		case a == "--tokens" || a == "--scores":
			args[i+1], asked = absent, true
		case pl.kind == "eval" && strings.HasPrefix(a, "--data="):
			args[i], asked = "--data="+absent, true
		case a == "--out" || a == "--html":
			args[i+1] = filepath.Join(dir, "out")
		case a == "--model" && strings.HasPrefix(args[i+1], pl.trainedBy()):
			args[i+1] = p.argument(p.Model) // the trained one is yet to be made
		}
		if a == "--" {
			break
		}
	}
	if !asked {
		return nil // it has no input that could be left out
	}
	var said bytes.Buffer
	err := p.Runner.Run(ctx, Stage{Program: pl.Program, Args: args, Out: io.Discard, Err: &said, Quiet: true})
	last := lastLine(said.String(), pl.Program)
	if cli.Code(err) != cli.ExitUsage || strings.Contains(last, absent) {
		return ctx.Err()
	}
	if opt := pl.options.blamed(last); opt != nil {
		return cli.Usagef("%s: %s: %s", opt.Where, pl.Name, last)
	}
	if where := pl.options.Where; where != "" {
		return cli.Usagef("%s: %s: %s", where, pl.Name, last)
	}
	return cli.Usagef("%s: %s", pl.Name, last)
}

// trainedBy is the folder of the step whose model this one evaluates; what no
// path begins with if there is none.
func (s *Step) trainedBy() string {
	for _, need := range s.Needs {
		if need.kind == "train" {
			return need.Folder
		}
	}
	return "\x00"
}

// blamed is the option that an error names first; nil if it names none of them.
func (o *Options) blamed(text string) *Option {
	for _, flag := range flagName.FindAllString(text, -1) {
		if opt := o.find(flag[2:]); opt != nil {
			return opt
		}
	}
	return nil
}

var flagName = regexp.MustCompile(`--[a-z0-9][a-z0-9-]*`)
