package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/spf13/pflag"

	"eaft/internal/cli"
	"eaft/tokenize/template"
	"eaft/tokenize/tokenizer"
)

// eachLine calls f with every line; a line may be as long as memory allows.
func eachLine(in io.Reader, f func(n int, line []byte) error) error {
	r := bufio.NewReaderSize(in, 1<<20)
	for n := 1; ; n++ {
		line, err := r.ReadBytes('\n')
		if err != nil && err != io.EOF {
			return err
		}
		if len(line) > 0 {
			if err := f(n, line); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
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
		data, err := os.ReadFile(*lang.tokenizer)
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
	err := eachLine(std.In, func(n int, line []byte) error {
		var s string
		if err := json.Unmarshal(line, &s); err != nil {
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

const renderUsage = `Usage: tokenize render --template FILE | --model M

Reads one JSON object a line, the template's variables (messages, tools,
add_generation_prompt, bos_token, eos_token, any other), and prints
{"text": ..., "spans": [{"role", "turn", "start", "end"}]} or {"error": ...}
for each. Spans are the bytes of text that come from a message.

  echo '{"messages":[{"role":"user","content":"Hi"}]}' | tokenize render --model M.gguf`

func render(args []string, std cli.IO) error {
	fs := pflag.NewFlagSet("tokenize render", pflag.ContinueOnError)
	lang := languageFlags(fs)
	if err := cli.Parse(fs, args, std, renderUsage); err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return cli.Usagef("render reads standard input; %q is too much", fs.Args())
	}
	t, bos, eos, err := lang.chatTemplate()
	if err != nil {
		return err
	}
	out := bufio.NewWriter(std.Out)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	err = eachLine(std.In, func(n int, line []byte) error {
		result, err := renderLine(t, bos, eos, line)
		if err != nil {
			return enc.Encode(map[string]string{"error": err.Error()})
		}
		return enc.Encode(result)
	})
	if err != nil {
		return err
	}
	return out.Flush()
}

func (f language) chatTemplate() (t *template.Template, bos, eos string, err error) {
	if *f.tokenizer != "" {
		return nil, "", "", cli.Usagef("--tokenizer does nothing for render")
	}
	var source string
	switch {
	case *f.template != "" && *f.model == "":
		data, err := os.ReadFile(*f.template)
		if err != nil {
			return nil, "", "", &cli.Error{Code: cli.ExitUsage, Err: err}
		}
		source = string(data)
	default:
		l, err := f.load()
		if err != nil {
			return nil, "", "", err
		}
		if source, bos, eos = l.Template, l.BOS, l.EOS; source == "" {
			return nil, "", "", cli.Usagef("model %s has no chat template; give one with --template", *f.model)
		}
	}
	if t, err = template.Parse(source); err != nil {
		return nil, "", "", cli.Usagef("chat template: %w", err)
	}
	return t, bos, eos, nil
}

type span struct {
	Role  string `json:"role"`
	Turn  int    `json:"turn"`
	Start int    `json:"start"`
	End   int    `json:"end"`
}

type rendered struct {
	Text  string `json:"text"`
	Spans []span `json:"spans"`
}

func renderLine(t *template.Template, bos, eos string, line []byte) (*rendered, error) {
	v, err := template.DecodeJSON(line)
	if err != nil {
		return nil, err
	}
	vars, ok := v.(*template.Dict)
	if !ok {
		return nil, fmt.Errorf("the line is no JSON object")
	}
	for name, value := range map[string]string{"bos_token": bos, "eos_token": eos} {
		if _, given := vars.Get(name); !given && value != "" {
			vars.Set(name, value)
		}
	}
	out, err := t.Render(vars)
	if err != nil {
		return nil, err
	}
	r := &rendered{Text: out.Text.S, Spans: []span{}}
	messages, _ := vars.Values["messages"].([]any)
	lo := 0
	for _, g := range out.Text.Segs {
		if m := g.Origin.Message; m >= 0 {
			if k := len(r.Spans) - 1; k >= 0 && r.Spans[k].Turn == m && r.Spans[k].End == lo {
				r.Spans[k].End = g.End
			} else {
				role := ""
				if m < len(messages) {
					if d, ok := messages[m].(*template.Dict); ok {
						role, _ = d.Values["role"].(string)
					}
				}
				r.Spans = append(r.Spans, span{role, m, lo, g.End})
			}
		}
		lo = g.End
	}
	return r, nil
}
