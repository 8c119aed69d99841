package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"eaft/internal/cli"
	"eaft/internal/store"
	"eaft/parquet"
	"eaft/tokenize/tokenizer"
)

const showUsage = `Usage: tokenize show DATASET [ROW]

Prints a row, by its id or its number from 0 (default 0). Trained tokens are
green on a terminal and stand in [[ ]] elsewhere.

  tokenize show tok 17`

func show(args []string, std cli.IO) error {
	fs := pflag.NewFlagSet("tokenize show", pflag.ContinueOnError)
	if err := cli.Parse(fs, args, std, showUsage); err != nil {
		return err
	}
	if fs.NArg() < 1 || fs.NArg() > 2 {
		return cli.Usagef("say which dataset, and at most one row; see tokenize show --help")
	}
	dir, want := fs.Arg(0), "0"
	if fs.NArg() == 2 {
		want = fs.Arg(1)
	}
	if st, err := store.Stat(dir); err == nil && !st.Dir {
		return cli.Usagef("%s: a file, where the folder of a dataset is needed", dir)
	}
	d, err := parquet.OpenDataset(dir, "tokens/1")
	if err != nil {
		if splits, _ := filepath.Glob(filepath.Join(dir, "*", parquet.ManifestName)); len(splits) > 0 {
			return cli.Usagef("%s: holds several datasets, one of which to show: such as %s", dir, filepath.Dir(splits[len(splits)-1]))
		}
		return &cli.Error{Code: cli.ExitUsage, Err: err}
	}
	data, err := store.ReadFile(store.Join(dir, parquet.TokenizerName))
	if err != nil {
		return cli.Usagef("%s: its tokens cannot be spelled: %w", dir, err)
	}
	tok, err := tokenizer.FromJSON(data)
	if err != nil {
		return cli.Usagef("%s: %w", store.Join(dir, parquet.TokenizerName), err)
	}
	row, err := findRow(d, want)
	if err != nil {
		return err
	}
	_, err = io.WriteString(std.Out, marked(row, tok, std.Colours()))
	return err
}

// findRow looks for a row's id first, then takes want as a number.
func findRow(d *parquet.Dataset, want string) (*parquet.TokensRow, error) {
	number, notNumber := strconv.ParseInt(want, 10, 64)
	var byNumber *parquet.TokensRow
	n := int64(0)
	for _, shard := range d.Shards {
		r, err := parquet.OpenTokens(shard)
		if err != nil {
			return nil, &cli.Error{Code: cli.ExitUsage, Err: err}
		}
		for {
			row := &parquet.TokensRow{}
			err := r.Next(row)
			if errors.Is(err, io.EOF) {
				break
			}
			if err == nil && row.ID == want {
				return row, r.Close()
			}
			if err != nil {
				r.Close()
				return nil, err
			}
			if notNumber == nil && n == number {
				byNumber = row
			}
			n++
		}
		if err := r.Close(); err != nil {
			return nil, err
		}
	}
	if byNumber == nil {
		return nil, cli.Usagef("%s: no row has the id %q, nor is it a number below %d", d.Dir, want, n)
	}
	return byNumber, nil
}

// marked is the row's header and its tokens, runs of trained ones marked.
func marked(row *parquet.TokensRow, tok *tokenizer.Tokenizer, colour bool) string {
	open, shut := "[[", "]]"
	if colour {
		open, shut = "\x1b[32m", "\x1b[0m"
	}
	var b strings.Builder
	trained := 0
	for i := 0; i < len(row.InputIDs); {
		k := i
		for k < len(row.InputIDs) && (row.Labels[k] < 0) == (row.Labels[i] < 0) {
			k++
		}
		text := visible(tok.Decode(row.InputIDs[i:k]))
		if row.Labels[i] >= 0 {
			trained += k - i
			text = open + text + shut
		}
		b.WriteString(text)
		i = k
	}
	weight := ""
	if row.Weight != nil {
		weight = fmt.Sprintf("  weight %g", *row.Weight)
	}
	return fmt.Sprintf("id %s  source %s  row %d  %d tokens, %d trained%s\n\n%s\n",
		visible(row.ID), visible(row.Source), row.Row, len(row.InputIDs), trained, weight, b.String())
}

// visible spells control characters, which could drive a terminal, but for line
// breaks and tabs.
func visible(s string) string {
	var b strings.Builder
	for _, r := range strings.ToValidUTF8(s, "\uFFFD") {
		if r != '\n' && r != '\t' && (r < ' ' || r >= 0x7f && r < 0xa0) {
			fmt.Fprintf(&b, "\\x%02x", r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}
