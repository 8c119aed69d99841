package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

func TestCode(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, ExitDone},
		{pflag.ErrHelp, ExitDone},
		{errors.New("x"), ExitFailed},
		{fmt.Errorf("outer: %w", Usagef("x")), ExitUsage},
		{Gatef("x"), ExitGate},
		{fmt.Errorf("outer: %w", context.Canceled), ExitStopped},
	} {
		if got := Code(c.err); got != c.want {
			t.Errorf("Code(%v) = %d, want %d", c.err, got, c.want)
		}
	}
}

// A command that keeps nothing does not promise to go on; its other errors stay.
func TestStartsOver(t *testing.T) {
	if err := StartsOver(fmt.Errorf("row 3: %w", context.Canceled)); Code(err) != ExitStopped || !strings.Contains(err.Error(), "starts over") {
		t.Errorf("stopped: %v", err)
	}
	for _, err := range []error{nil, Usagef("x"), errors.New("x")} {
		if got := StartsOver(err); got != err {
			t.Errorf("%v became %v", err, got)
		}
	}
}

func TestMeant(t *testing.T) {
	names := []string{"out", "max-length", "lr", "k"}
	for name, want := range map[string]string{"output": "out", "maxlength": "max-length", "max_length": "max-length", "max": "max-length",
		"ot": "out", "learning-rate": "", "l": "", "": ""} {
		if got := Meant(name, names); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

func TestParse(t *testing.T) {
	parse := func(args ...string) (*pflag.FlagSet, string, error) {
		fs := pflag.NewFlagSet("tool inspect", pflag.ContinueOnError)
		fs.Bool("json", false, "as JSON")
		var out bytes.Buffer
		err := Parse(fs, args, IO{Out: &out}, "Usage: tool inspect SCORES")
		return fs, out.String(), err
	}
	fs, _, err := parse("scores", "--json")
	if err != nil || fs.NArg() != 1 || !fs.Changed("json") {
		t.Errorf("a flag after an argument: %v, %v", fs.Args(), err)
	}
	if _, _, err := parse("--jsn"); Code(err) != ExitUsage || !strings.Contains(err.Error(), "tool inspect --help") {
		t.Errorf("unknown flag: %v", err)
	}
	for flag, want := range map[string]string{"--jsn": "is --json meant?", "--jso": "is --json meant?", "--JSON-lines": "unknown flag: --JSON-lines; see"} {
		if _, _, err := parse(flag); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", flag, err)
		}
	}
	if _, out, err := parse("--help"); Code(err) != ExitDone || !strings.Contains(out, "--json") {
		t.Errorf("help: %q, %v", out, err)
	}
}

// Elsewhere than on a terminal nothing is redrawn, and what an earlier run did
// does not count as speed.
func TestProgressIntoALog(t *testing.T) {
	var out bytes.Buffer
	p := NewProgress(&out, "score", "tokens", 1000, 900)
	if r := p.Rate(); r != 0 {
		t.Errorf("rate %v before any work", r)
	}
	p.last = p.last.Add(-31e9)
	p.Add(50, "loss 1.5")
	p.Add(50, "")
	p.Done()
	if s := out.String(); strings.ContainsAny(s, "\r\x1b") || strings.Count(s, "\n") != 1 || !strings.Contains(s, "950/1000 tokens") || !strings.Contains(s, "loss 1.5") {
		t.Errorf("log: %q", s)
	}
}

// A line on a terminal fits it: the bar goes first, then the end of the text.
func TestProgressOfBytes(t *testing.T) {
	var out bytes.Buffer
	p := NewProgress(&out, "fetch", "bytes", 1e7, 0)
	p.last = time.Time{}
	p.Add(2.5e6, "model.safetensors")
	if got := out.String(); !strings.HasPrefix(got, "fetch  25%  2.5/10.0 MB  ") || !strings.Contains(got, " MB/s  ETA ") {
		t.Errorf("%q", got)
	}
}

func TestProgressFits(t *testing.T) {
	text := "score  45%  9/20 rows  1.3/s  ETA 8s  2019 of 2220 tokens computed (90.9%)  "
	for columns, want := range map[int]string{
		120: "[==========              ] score  45%  9/20 rows  1.3/s  ETA 8s  2019 of 2220 tokens computed (90.9%)",
		80:  "score  45%  9/20 rows  1.3/s  ETA 8s  2019 of 2220 tokens computed (90.9%)",
		20:  "score  45%  9/20 ro",
		0:   "",
	} {
		if got := fit(text, 0.45, columns); got != want {
			t.Errorf("%d columns: %q, want %q", columns, got, want)
		}
	}
}

// What a program is told of a command's flags is all that it needs to set them.
func TestFlagsAsJSON(t *testing.T) {
	fs := pflag.NewFlagSet("train", pflag.ContinueOnError)
	fs.Int("epochs", 1, "passes")
	fs.Bool("hidden", false, "for tests")
	fs.MarkHidden("hidden")
	fs.Uint64("shuffle", 0, "seed")
	NoDefault(fs, "shuffle")
	var out bytes.Buffer
	err := Parse(fs, []string{FlagsArg}, IO{Out: &out}, "Usage: train")
	want := `[{"name":"epochs","type":"int","default":"1","usage":"passes"},{"name":"shuffle","type":"uint64","default":"","usage":"seed"}]` + "\n"
	if !errors.Is(err, pflag.ErrHelp) || out.String() != want {
		t.Errorf("%v: %s, want %s", err, out.String(), want)
	}
}
