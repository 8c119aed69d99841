package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"eaft/internal/cli"
	"eaft/model/demo"
	"eaft/parquet"
)

const toolUse = `T:{{ tools|tojson }}
{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] }}{% for c in m['tool_calls'] or [] %}<call>{{ c['function']['name'] }}</call>{% endfor %}{{ '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}`

// Rows with tools have the template named tool_use, where a model has one: as a list in
// tokenizer_config.json, or beside chat_template.jinja. Python, where EAFT_PYTHON names
// one with transformers, says what apply_chat_template makes of them.
func TestToolTemplate(t *testing.T) {
	const tools = `"tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object","properties":{}}}}]`
	const call = `,{"role":"assistant","content":"","tool_calls":[{"id":"call00001","type":"function","function":{"name":"f","arguments":{}}}]},{"role":"tool","content":"4"}`
	row := func(calls, more string) string {
		return `{"messages":[{"role":"user","content":"q"}` + calls + `,{"role":"assistant","content":"a"}]` + more + `}`
	}
	rows := []string{row("", ""), row("", ","+tools), row(call, ","+tools), row("", `,"tools":null`), row(call, "")}
	usesTools := []bool{false, true, true, false, false}
	var config map[string]any
	data, err := fs.ReadFile(demo.FS, "tokenizer_config.json")
	if err == nil {
		err = json.Unmarshal(data, &config)
	}
	if err != nil {
		t.Fatal(err)
	}
	plain := config["chat_template"].(string)
	for _, form := range []string{"list", "files"} {
		t.Run(form, func(t *testing.T) {
			model, dir := t.TempDir(), t.TempDir()
			write := func(dir, name string, data []byte) {
				t.Helper()
				path := filepath.Join(dir, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, data, 0o666); err != nil {
					t.Fatal(err)
				}
			}
			for _, name := range []string{"config.json", "tokenizer.json"} {
				data, err := fs.ReadFile(demo.FS, name)
				if err != nil {
					t.Fatal(err)
				}
				write(model, name, data)
			}
			delete(config, "chat_template")
			if form == "list" {
				config["chat_template"] = []map[string]string{{"name": "tool_use", "template": toolUse}, {"name": "default", "template": plain}}
			} else {
				write(model, "chat_template.jinja", []byte(plain))
				write(model, "additional_chat_templates/tool_use.jinja", []byte(toolUse))
			}
			data, err := json.Marshal(config)
			if err != nil {
				t.Fatal(err)
			}
			write(model, "tokenizer_config.json", data)

			var out, said bytes.Buffer
			if err := render(context.Background(), []string{"--model", model}, cli.IO{In: strings.NewReader(strings.Join(rows, "\n")), Out: &out, Err: io.Discard}); err != nil {
				t.Fatal(err)
			}
			var texts []string
			for dec := json.NewDecoder(&out); dec.More(); {
				var r rendered
				if err := dec.Decode(&r); err != nil {
					t.Fatal(err)
				}
				texts = append(texts, r.Text)
			}
			for i, text := range texts {
				if strings.HasPrefix(text, "T:") != usesTools[i] {
					t.Errorf("%s: %q", rows[i], text)
				}
			}
			compareTools(t, model, rows, texts)

			write(dir, "rows.jsonl", []byte(strings.Join(rows, "\n")))
			err = run(context.Background(), []string{"--model", model, "--out", filepath.Join(dir, "tok"), "--max-reject", "1", filepath.Join(dir, "rows.jsonl")}, cli.IO{Out: io.Discard, Err: &said})
			if err != nil {
				t.Fatalf("%v\n%s", err, &said)
			}
			r, err := parquet.OpenTokens(filepath.Join(dir, "tok", "part-00000-of-00001.parquet"))
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			var got []string
			for {
				var row parquet.TokensRow
				if err := r.Next(&row); err == io.EOF {
					break
				} else if err != nil {
					t.Fatal(err)
				}
				got = append(got, row.Text)
			}
			// A call in a row without tools would be lost in the template that it has.
			if want := texts[:4]; !slices.Equal(got, want) {
				t.Errorf("tokenized %q, want %q", got, want)
			}
			rejects, err := os.ReadFile(filepath.Join(dir, "tok", "rejects.jsonl"))
			if err != nil || !bytes.Contains(rejects, []byte("the chat template does not write tool calls")) {
				t.Errorf("%s, %v", rejects, err)
			}
		})
	}
}

// compareTools compares with transformers.
func compareTools(t *testing.T, model string, rows, texts []string) {
	t.Helper()
	python := os.Getenv("EAFT_PYTHON")
	if python == "" {
		t.Log("EAFT_PYTHON names no interpreter with transformers: not compared")
		return
	}
	cmd := exec.Command(python, "-c", `
import json, sys
from transformers import AutoTokenizer
t = AutoTokenizer.from_pretrained(sys.argv[1])
for line in sys.stdin:
    r = json.loads(line)
    print(json.dumps(t.apply_chat_template(r["messages"], tools=r.get("tools"), tokenize=False)))
`, model)
	cmd.Stdin, cmd.Stderr = strings.NewReader(strings.Join(rows, "\n")), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(bytes.NewReader(out))
	for i, got := range texts {
		var want string
		if err := dec.Decode(&want); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("%s: %q, transformers has %q", rows[i], got, want)
		}
	}
}
