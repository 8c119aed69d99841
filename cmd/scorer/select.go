package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"golang.org/x/term"

	"eaft/internal/cli"
	"eaft/internal/store"
	"eaft/report"
)

const whereHelp = `
A filter is comparisons joined by and:
  numbers: p, h, mass, logprob, entropy, rank, pos, row, expected_p   with < <= > >= = !=
  texts:   id, source, class, why, role, token, expected              with = != ~ (contains)
  conflict, not conflict`

const exportUsage = `Usage: scorer export SCORES --format arrow|jsonl|csv [flags]

Writes the trained targets, one record each, with everything that is known of
them: an Arrow IPC stream for pandas, polars and DuckDB, JSON lines, or CSV. A
file of --out is there when it is whole; without, they go to stdout, and where
that ends early, by damage that is met late, the exit code and a message say so.

  scorer export scores --format arrow --out targets.arrow
  scorer export scores --format csv --where "conflict and class=digit" | head
` + whereHelp

func runExport(ctx context.Context, args []string, std cli.IO) error {
	fs := pflag.NewFlagSet("scorer export", pflag.ContinueOnError)
	format := fs.String("format", "", "arrow, jsonl or csv")
	where := fs.String("where", "", "only the targets that this filter chooses")
	out := fs.String("out", "", "write to this file instead of stdout")
	common := cutFlags(fs, std.Err)
	if err := cli.Parse(fs, args, std, exportUsage); err != nil {
		return err
	}
	if fs.NArg() != 1 {
		return cli.Usagef("want one folder of scores, got %d arguments; see scorer export --help", fs.NArg())
	}
	if !slices.Contains(report.Formats, *format) {
		return cli.Usagef("--format %q: use %s", *format, strings.Join(report.Formats, ", "))
	}
	w, err := report.ParseWhere(*where)
	if err != nil {
		return cli.Usagef("--where: %w", err)
	}
	o, err := common(fs.Arg(0))
	if err != nil {
		return err
	}
	if *out != "" {
		return exportTo(ctx, *out, o, w, *format)
	}
	if f, ok := std.Out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		if *format == "arrow" {
			return cli.Usagef("an Arrow stream is nothing for a terminal; write it to a file with --out, or send it to a program")
		}
		o.Log = nil // a bar among the records
	}
	stdout := &counter{w: std.Out}
	err = report.Export(ctx, stdout, o, w, *format)
	if err != nil && stdout.n > 0 {
		err = fmt.Errorf("%w; the %d bytes on standard output are not all, do not use them", err, stdout.n)
	}
	return err
}

// exportTo writes a file that has its name when it is whole.
func exportTo(ctx context.Context, name string, o report.Options, w report.Where, format string) error {
	if name == "-" {
		return cli.Usagef("--out -: name a file, or leave it out for standard output")
	}
	if err := store.Creatable(name); err != nil {
		return cli.Usagef("--out: %w", err)
	}
	f, err := store.Create(name)
	if err != nil {
		return err
	}
	if err := report.Export(ctx, f, o, w, format); err != nil {
		f.Abort()
		return err
	}
	return f.Commit()
}

// counter counts the bytes that were written.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

const filterUsage = `Usage: scorer filter SCORES --where W --action drop|keep|mask --out DIR [flags]

Writes the scored tokens anew as a tokens/1 dataset that any trainer reads:
without the rows that have a chosen target (drop), with those alone (keep), or
with the labels of the chosen targets set to -100 (mask).

  scorer filter scores --where "conflict" --action mask --out tok-masked
  scorer filter scores --where "conflict and why=content" --action drop --out tok-clean
` + whereHelp

func runFilter(ctx context.Context, args []string, std cli.IO) error {
	fs := pflag.NewFlagSet("scorer filter", pflag.ContinueOnError)
	out := fs.String("out", "", "folder for the tokens")
	where := fs.String("where", "", "the targets that are meant")
	action := fs.String("action", "", "drop, keep or mask")
	common := cutFlags(fs, std.Err)
	if err := cli.Parse(fs, args, std, filterUsage); err != nil {
		return err
	}
	switch {
	case fs.NArg() != 1:
		return cli.Usagef("want one folder of scores, got %d arguments; see scorer filter --help", fs.NArg())
	case *out == "":
		return cli.Usagef("--out is missing: name a folder for the tokens")
	case *where == "":
		return cli.Usagef("--where is missing: say which targets are meant, such as conflict")
	}
	w, err := report.ParseWhere(*where)
	if err != nil {
		return cli.Usagef("--where: %w", err)
	}
	a, err := report.ParseAction(*action)
	if err != nil {
		return cli.Usagef("--action: %w", err)
	}
	o, err := common(fs.Arg(0))
	if err != nil {
		return err
	}
	f, err := report.Filter(ctx, o, w, a, *out)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(std.Out, "rows      %d of %d\ntokens    %d\ntargets   %d trained; %d chosen, %d masked\n", f.RowsOut, f.RowsIn, f.Tokens, f.Targets, f.Chosen, f.Masked)
	return err
}
