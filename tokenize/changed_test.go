package tokenize

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"eaft/internal/cli"
	"eaft/tokenize/tokenizer"
)

// Whatever makes a dataset is noticed by its content when it changes; what only
// looks changed (time, threads, another path) is not.
func TestChangesAreNoticed(t *testing.T) {
	l := chatML(t)
	in := write(t, "in.jsonl", strings.Join(numbered(20), "\n"))
	out := t.TempDir()
	if _, _, err := Run(context.Background(), l, options(out, in)); err != nil {
		t.Fatal(err)
	}
	whole := folder(t, out)

	data, err := os.ReadFile(in)
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "in.jsonl")
	if err := os.WriteFile(other, bytes.Replace(data, []byte("It is 7"), []byte("It is 8"), 1), 0o644); err != nil {
		t.Fatal(err)
	}
	moved := filepath.Join(t.TempDir(), "in.jsonl")
	if err := os.WriteFile(moved, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(moved, time.Unix(1, 0), time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	template, err := NewLanguage(l.Tokenizer, "{# changed #}"+l.Template, "", l.BOS, l.EOS)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := tokenizer.FromJSON(bytes.ReplaceAll(l.Tokenizer.JSON(), []byte("endoftext"), []byte("endofline")))
	if err != nil {
		t.Fatal(err)
	}
	vocabulary, err := NewLanguage(tok, l.Template, "", l.BOS, l.EOS)
	if err != nil {
		t.Fatal(err)
	}
	seed := uint64(1)
	for name, c := range map[string]struct {
		l      *Language
		change func(*Options)
		says   string // "" for nothing to do
	}{
		"nothing":                {l, func(*Options) {}, ""},
		"path, time and threads": {l, func(o *Options) { o.Inputs, o.Threads = []string{moved}, 1 }, ""},
		"gate":                   {l, func(o *Options) { o.MaxReject = 0 }, ""},
		"a byte of the source":   {l, func(o *Options) { o.Inputs = []string{other} }, "another source"},
		"one more source":        {l, func(o *Options) { o.Inputs = append(o.Inputs, corpus(t, 5)) }, "same name"},
		"template":               {template, func(*Options) {}, "another template"},
		"tokenizer":              {vocabulary, func(*Options) {}, "another tokenizer"},
		"mapping":                {l, func(o *Options) { o.Map = map[string]string{"messages": "messages"} }, "another options"},
		"over-length":            {l, func(o *Options) { o.Overlong = Split }, "another options"},
		"shuffle":                {l, func(o *Options) { o.Shuffle = &seed }, "another options"},
		"dedup":                  {l, func(o *Options) { o.Dedup = &Dedup{Exact: true} }, "another options"},
		"shards":                 {l, func(o *Options) { o.Shards = 2 }, "another options"},
	} {
		o := options(out, in)
		c.change(&o)
		_, again, err := Run(context.Background(), c.l, o)
		if c.says == "" {
			if err != nil || !again {
				t.Errorf("%s: done again: %v, %v", name, !again, err)
			}
		} else if cli.Code(err) != cli.ExitUsage || !strings.Contains(fmt.Sprint(err), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
		sameFolder(t, name, folder(t, out), whole)
	}
}

// Any number of threads and shards gives the same rows, and for the same number
// of shards the same bytes.
func TestThreads(t *testing.T) {
	l := chatML(t)
	in := corpus(t, 700)
	var first map[string]string
	for _, threads := range []int{1, 2, 7} {
		o := options(t.TempDir(), in)
		o.Threads, o.Shards = threads, 3
		if _, _, err := Run(context.Background(), l, o); err != nil {
			t.Fatal(err)
		}
		got := folder(t, o.Out)
		if first == nil {
			first = got
		}
		sameFolder(t, fmt.Sprintf("%d threads", threads), got, first)
	}
}

// A ledger that does not add up is an internal error, not a dataset.
func TestConservationIsChecked(t *testing.T) {
	l := chatML(t)
	o := options(t.TempDir(), write(t, "in.jsonl", strings.Join(numbered(5), "\n")))
	r := &run{l: l, o: &o, dirs: o.dirs()}
	var err error
	if r.sources, err = findSources(o.Inputs, nil, o.Out); err != nil {
		t.Fatal(err)
	}
	if _, err := r.read(); err != nil {
		t.Fatal(err)
	}
	if err := r.shards(context.Background()); err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []func(){func() { r.sets[0].manifest.Ledger.RowsOut-- }, func() { r.sets[0].manifest.Ledger.RowsOut++; r.sets[0].manifest.Ledger.RowsIn++ }} {
		wrong()
		if err := r.finish(5); err == nil || !strings.Contains(err.Error(), "internal error") {
			t.Errorf("%+v: %v", r.sets[0].manifest.Ledger, err)
		}
	}
}
