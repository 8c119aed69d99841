package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/pflag"

	"eaft/internal/cli"
	"eaft/internal/store"
	"eaft/tokenize"
	"eaft/tokenize/template"
)

const renderUsage = `Usage: tokenize render --template FILE | --model M [FILE...]

Reads one JSON object a line, from files or standard input, gzip and zstd too:
what one gives to transformers' apply_chat_template (messages, tools, documents,
add_generation_prompt) and the template's other variables (bos_token, eos_token,
any other). Prints a line for each:

  {"text": ..., "spans": [{"role", "turn", "start", "end"}]}   or   {"error": ...}

A span is where message number turn stands: the bytes [start, end) of text (in
UTF-8) from the first to the last that come from the message, its role aside.

  echo '{"messages":[{"role":"user","content":"Hi"}]}' | tokenize render --model M.gguf`

func render(ctx context.Context, args []string, std cli.IO) error {
	fs := pflag.NewFlagSet("tokenize render", pflag.ContinueOnError)
	model := fs.String("model", "", "model whose chat template and special tokens are used: "+cli.Models)
	file := fs.String("template", "", "chat template (Jinja) to use instead of the model's")
	if err := cli.Parse(fs, args, std, renderUsage); err != nil {
		return err
	}
	t, err := chatTemplates(ctx, *model, *file, std)
	if err != nil {
		return err
	}
	inputs := fs.Args()
	if len(inputs) == 0 {
		inputs = []string{"-"}
	}
	out := bufio.NewWriter(std.Out)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	for _, path := range inputs {
		in := io.NopCloser(std.In)
		if path != "-" {
			if in, err = store.Open(path); err != nil {
				return &cli.Error{Code: cli.ExitUsage, Err: err}
			}
		}
		text, err := tokenize.Unpack(in)
		if err != nil {
			in.Close()
			return cli.Usagef("%s: %w", path, err)
		}
		err = eachLine(text, out.Flush, func(n int, line []byte) error {
			result, err := t.renderLine(line)
			if err != nil {
				return enc.Encode(map[string]string{"error": err.Error()})
			}
			return enc.Encode(result)
		})
		text.Close()
		in.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return out.Flush()
}

// templates are those of a model, and its special tokens; without a model these are "".
type templates struct {
	chat, toolUse *template.Template // toolUse: of conversations with tools; nil: the same
	bos, eos      string
}

// chatTemplates are the template of file, else those of the model.
func chatTemplates(ctx context.Context, model, file string, std cli.IO) (t templates, err error) {
	var source, toolUse string
	if model != "" {
		c, err := openModel(ctx, model, std)
		if err != nil {
			return t, err
		}
		defer c.Close()
		if source, t.bos, t.eos, err = c.ChatTemplate(); err != nil {
			return t, &cli.Error{Code: cli.ExitUsage, Err: err}
		}
		if toolUse, err = c.ToolTemplate(); err != nil {
			return t, &cli.Error{Code: cli.ExitUsage, Err: err}
		}
	}
	switch {
	case file != "":
		data, err := store.ReadFile(file)
		if err != nil {
			return t, &cli.Error{Code: cli.ExitUsage, Err: err}
		}
		source, toolUse = string(data), ""
	case model == "":
		return t, cli.Usagef("--template or --model is missing")
	case source == "":
		return t, cli.Usagef("model %s has no chat template; give one with --template", model)
	}
	if t.chat, err = template.Parse(source); err != nil {
		return t, cli.Usagef("chat template: %w", err)
	}
	if toolUse != "" {
		if t.toolUse, err = template.Parse(toolUse); err != nil {
			return t, cli.Usagef("chat template tool_use: %w", err)
		}
	}
	return t, nil
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

func (t *templates) renderLine(line []byte) (*rendered, error) {
	v, err := template.DecodeJSON(line)
	if err != nil {
		return nil, err
	}
	vars, ok := v.(*template.Dict)
	if !ok {
		return nil, fmt.Errorf("the line is no JSON object")
	}
	for name, value := range map[string]string{"bos_token": t.bos, "eos_token": t.eos} {
		if _, given := vars.Get(name); !given && value != "" {
			vars.Set(name, value)
		}
	}
	chat := t.chat
	if t.toolUse != nil && vars.Values["tools"] != nil {
		chat = t.toolUse
	}
	out, err := chat.Apply(vars)
	if err != nil {
		return nil, err
	}
	messages, _ := vars.Values["messages"].([]any)
	return &rendered{out.Text.S, spans(out.Text, messages)}, nil
}

// spans are the stretches of text that come from one message: what the template
// writes between two pieces of a message belongs to it, what it writes between
// two messages to neither.
func spans(t template.Text, messages []any) []span {
	out := []span{}
	lo := 0
	for _, g := range t.Segs {
		m, k := g.Origin.Message, len(out)-1
		switch {
		case m < 0 || g.Origin.Field == "role":
		case k >= 0 && out[k].Turn == m:
			out[k].End = g.End
		default:
			s := span{Turn: m, Start: lo, End: g.End}
			if d, ok := messages[m].(*template.Dict); ok {
				s.Role, _ = d.Values["role"].(string)
			}
			out = append(out, s)
		}
		lo = g.End
	}
	return out
}
