package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"

	"github.com/spf13/pflag"

	"eaft/internal/cli"
	"eaft/internal/store"
	"eaft/tokenize/template"
	"eaft/tokenize/tokenizer"
)

// maxLine bounds a line of input, in bytes.
const maxLine = 256 << 20

// eachLine calls f with every line, which is f's until it returns. idle is
// called, if not nil, before it waits for more input.
func eachLine(in io.Reader, idle func() error, f func(n int, line []byte) error) error {
	r := bufio.NewReaderSize(in, 1<<20)
	var long []byte
	for n := 1; ; {
		if r.Buffered() == 0 && idle != nil {
			if err := idle(); err != nil {
				return err
			}
		}
		line, err := r.ReadSlice('\n')
		if err != nil && err != io.EOF && err != bufio.ErrBufferFull {
			return err
		}
		if len(long)+len(line) > maxLine {
			return cli.Usagef("line %d is over %d MiB", n, maxLine>>20)
		}
		if err == bufio.ErrBufferFull {
			long = append(long, line...)
			continue
		}
		if len(long) > 0 {
			long = append(long, line...)
			line = long
		}
		if len(line) > 0 {
			if err := f(n, line); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		n, long = n+1, long[:0]
	}
}

const encodeUsage = `Usage: tokenize encode --tokenizer FILE | --model M

Reads JSON strings, one a line, and prints the ids of each as a JSON array.
Special tokens in the text are recognised; no BOS is added.

  echo '"Hello world"' | tokenize encode --model M.gguf`

func encode(args []string, std cli.IO) error {
	fs := pflag.NewFlagSet("tokenize encode", pflag.ContinueOnError)
	lang := languageFlags(fs)
	if err := cli.Parse(fs, args, std, encodeUsage); err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return cli.Usagef("encode reads standard input; %q is too much", fs.Args())
	}
	var tok *tokenizer.Tokenizer
	if *lang.tokenizer != "" && *lang.model == "" && *lang.template == "" {
		data, err := store.ReadFile(*lang.tokenizer)
		if err != nil {
			return &cli.Error{Code: cli.ExitUsage, Err: err}
		}
		if tok, err = tokenizer.FromJSON(data); err != nil {
			return cli.Usagef("%s: %w", *lang.tokenizer, err)
		}
	} else {
		l, err := lang.load()
		if err != nil {
			return err
		}
		tok = l.Tokenizer
	}
	out := bufio.NewWriter(std.Out)
	err := eachLine(std.In, nil, func(n int, line []byte) error {
		v, err := template.DecodeJSON(line)
		s, ok := v.(string)
		if err == nil && !ok {
			err = errors.New("it is another JSON value")
		}
		if err != nil {
			return cli.Usagef("standard input, line %d: not a JSON string: %w", n, err)
		}
		ids := tok.Encode(s).IDs
		if ids == nil {
			ids = []int32{}
		}
		return json.NewEncoder(out).Encode(ids)
	})
	if err != nil {
		return err
	}
	return out.Flush()
}
