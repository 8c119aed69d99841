package tokenize

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"eaft/parquet"
	"eaft/tokenize/template"
	"eaft/tokenize/tokenizer"
)

// specials are what chat templates write as special tokens.
var specials = regexp.MustCompile(`<\|[^|<>\s]+\|?>|<｜[^｜<>\s]+｜>|</?s>|<(start|end)_of_turn>|<turn\|>|<[be]os>|\[/?(INST|SYSTEM_PROMPT|TOOL_CALLS|TOOL_RESULTS|AVAILABLE_TOOLS)\]`)

// byteTokenizer has a token for every byte, and the special tokens named.
func byteTokenizer(t testing.TB, special []string) *tokenizer.Tokenizer {
	t.Helper()
	vocab := map[string]int{}
	next := rune(256)
	for c := range rune(256) {
		r := c
		if !(c >= '!' && c <= '~' || c >= 0xa1 && c <= 0xac || c >= 0xae) {
			r = next
			next++
		}
		vocab[string(r)] = int(c)
	}
	added := []map[string]any{}
	for i, s := range special {
		added = append(added, map[string]any{"id": 256 + i, "content": s, "special": true, "normalized": false,
			"lstrip": false, "rstrip": false, "single_word": false})
	}
	data, err := json.Marshal(map[string]any{"version": "1.0", "added_tokens": added,
		"pre_tokenizer": map[string]any{"type": "ByteLevel", "add_prefix_space": false, "use_regex": false, "trim_offsets": true},
		"decoder":       map[string]any{"type": "ByteLevel"},
		"model":         map[string]any{"type": "BPE", "vocab": vocab, "merges": []string{}}})
	if err != nil {
		t.Fatal(err)
	}
	tok, err := tokenizer.FromJSON(data)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// languageFor is a template with a tokenizer that knows its special tokens.
func languageFor(t testing.TB, source string) (*Language, error) {
	t.Helper()
	tm, err := template.Parse(source)
	if err != nil {
		return nil, err
	}
	special := []string{"<s>", "</s>"}
	for _, messages := range [][]any{
		{message("user", "u"), message("assistant", "a"), message("user", "v")},
		{message("system", "s"), message("user", "u"), message("assistant", "a")},
	} {
		vars := template.NewDict()
		vars.Set("messages", messages)
		if out, err := tm.Apply(vars); err == nil {
			special = append(special, specials.FindAllString(out.Text.S, -1)...)
		}
	}
	special = append(special, specials.FindAllString(source, -1)...)
	slices.Sort(special)
	return NewLanguage(byteTokenizer(t, slices.Compact(special)), source, "", "<s>", "</s>")
}

// layouts are small templates, one for each way in which chat templates mark
// turns; qwen2_5 and its like lie in template/testdata.
var layouts = map[string]string{
	"header per role":       `{% for m in messages %}<|{{ m.role }}|>` + "\n" + `{{ m.content|trim }}<|end|>` + "\n" + `{% endfor %}{% if add_generation_prompt %}<|assistant|>` + "\n" + `{% endif %}`,
	"renamed role":          `{{ bos_token }}{% for m in messages %}{% set r = 'model' if m.role == 'assistant' else m.role %}{{ '<start_of_turn>' + r + '\n' + m.content|trim + '<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}`,
	"no generation prompt":  `{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}{{ '[INST] ' + m.content + ' [/INST]' }}{% elif m.role == 'assistant' %}{{ m.content + eos_token }}{% else %}{{ '[SYS]' + m.content }}{% endif %}{% endfor %}`,
	"words for a header":    `{% for m in messages %}{{ m.role|upper }}: {{ m.content }}{{ eos_token if m.role == 'assistant' else ' ' }}{% endfor %}`,
	"next header ends":      `[gMASK]<sop>{% for m in messages %}<|{{ m.role }}|>` + "\n" + `{{ m.content }}{% endfor %}{% if add_generation_prompt %}<|assistant|>` + "\n" + `{% endif %}`,
	"indices":               `{% for i in range(messages|length) %}<|{{ messages[i].role }}|>{{ messages[i].content }}</s>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}`,
	"macro":                 `{% macro turn(m) %}<|{{ m['role'] }}|>{{ caller() }}<|end|>{% endmacro %}{% for m in messages %}{% call turn(m) %}{{ m['content'] }}{% endcall %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}`,
	"thought in the prompt": `{% for m in messages %}<|{{ m.role }}|>` + "\n" + `{% if m.role == 'assistant' and loop.last and false %}<think>{% endif %}{{ m.content }}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>` + "\n<think>\n" + `{% endif %}`,
	"last one outside":      `{% for m in messages[:-1] %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}{% set m = messages[-1] %}<|{{ m.role }}|>{{ m.content }}<|end|>{% if add_generation_prompt %}<|assistant|>{% endif %}`,
	"rebuilt messages":      `{% set ns = namespace(l=[]) %}{% for m in messages %}{% set ns.l = ns.l + [{'r': m.role, 'c': m.content}] %}{% endfor %}{% for m in ns.l %}<|{{ m.r }}|>{{ m.c }}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}`,
	"generation":            `{% for m in messages %}<|{{ m.role }}|>{% if m.role == 'assistant' %}{% generation %}{{ m.content }}<|end|>{% endgeneration %}{% else %}{{ m.content }}<|end|>{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}`,
	"everything processed":  `{% for m in messages %}<|{{ m.role }}|>{% set c = (m.content ~ '')|replace('\n', '\n')|trim %}{% set parts = c.split('|') %}{{ parts|join('|')|string }}{% if true %}<|end|>{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}`,
}

// ends is what each layout writes behind an answer; of a turn that the next
// header ends nothing stands behind the last.
func ends(name string) (end, last string) {
	switch {
	case name == "no generation prompt", name == "words for a header", name == "indices":
		return "</s>", "</s>"
	case name == "next header ends":
		return "<|user|>", ""
	case name == "renamed role":
		return "<end_of_turn>", "<end_of_turn>"
	case strings.HasSuffix(name, ".jinja"):
		return "<|im_end|>", "<|im_end|>"
	}
	return "<|end|>", "<|end|>"
}

// sources are the layouts and the templates of template/testdata whose turns
// are plain.
func sources(t *testing.T) map[string]string {
	t.Helper()
	out := maps.Clone(layouts)
	for _, f := range []string{"smollm2.jinja", "qwen2_5.jinja"} {
		src, err := os.ReadFile(filepath.Join("template/testdata", f))
		if err != nil {
			t.Fatal(err)
		}
		out[f] = string(src)
	}
	return out
}

// nasty are pieces of contents that could be taken for the template's own text.
var nasty = []string{"<|im_end|>", "<|im_start|>assistant\n", "<|end|>", "<|assistant|>", "</s>", "[/INST]", "<end_of_turn>\n<start_of_turn>model\n", "ASSISTANT: ",
	"assistant", "\n", " ", "é", "日本", "a|b", "{{ 1 }}", "{% endif %}", "word ", "\"x\"", "<think>", "\t"}

func content(r *rand.Rand, i int) string {
	s := fmt.Sprintf("%dx", i)
	for range r.IntN(6) {
		s += nasty[r.IntN(len(nasty))]
	}
	return s + fmt.Sprintf("y%d", i)
}

// TestTrainedIsContentAndEnd: whatever the contents hold, the trained tokens of
// each assistant turn spell its content and its end of turn, and nothing else
// is trained.
func TestTrainedIsContentAndEnd(t *testing.T) {
	for name, source := range sources(t) {
		l, err := languageFor(t, source)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for seed := range uint64(40) {
			r := rand.New(rand.NewPCG(seed, 1))
			var messages []any
			if r.IntN(2) == 0 {
				messages = append(messages, message("system", content(r, 0)))
			}
			for n := 1 + r.IntN(4); n > 0; n-- {
				messages = append(messages, message("user", content(r, len(messages))), message("assistant", content(r, len(messages)+1)))
			}
			end, last := ends(name)
			var want []string
			for i, m := range messages {
				if role(m) == "assistant" {
					e := end
					if i == len(messages)-1 {
						e = last
					}
					want = append(want, m.(*template.Dict).Values["content"].(string)+e)
				}
			}
			row := &parquet.TokensRow{}
			if err := l.fillConversation(messages, nil, row); err != nil {
				t.Errorf("%s, seed %d: %v", name, seed, err)
				continue
			}
			var got []string
			for _, s := range row.Spans {
				if s.Role == "assistant" {
					got = append(got, l.Tokenizer.Decode(row.InputIDs[s.Start:s.End]))
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s, seed %d: turns %q, want %q", name, seed, got, want)
			}
			if got := trained(l, row); got != strings.Join(want, "|") {
				t.Errorf("%s, seed %d: trained %q, want %q", name, seed, got, want)
			}
		}
	}
}

// TestTrainOn: which turns are trained, by option and by message.
func TestTrainOn(t *testing.T) {
	chat := `[{"role":"system","content":"s"},{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"user","content":"c"},{"role":"assistant","content":"d"}]`
	for _, c := range []struct {
		name, messages, want string
		on                   TrainOn
	}{
		{"assistant", chat, "b<|end|>|d<|end|>", Assistant},
		{"last", chat, "d<|end|>", Last},
		{"all", chat, "<|system|>s<|end|><|user|>a<|end|><|assistant|>b<|end|><|user|>c<|end|><|assistant|>d<|end|>", All},
		{"one not", strings.Replace(chat, `"b"`, `"b","train":false`, 1), "d<|end|>", Assistant},
		{"only one", strings.Replace(chat, `"b"`, `"b","train":true`, 1), "b<|end|>|d<|end|>", Last},
		{"last but it is not", strings.Replace(chat, `"d"`, `"d","train":false`, 1) + " ", "", Last},
		{"a user too", strings.Replace(chat, `"c"`, `"c","train":true`, 1), "b<|end|>|c<|end|>|d<|end|>", Assistant},
		{"null says nothing", strings.Replace(chat, `"b"`, `"b","train":null`, 1), "b<|end|>|d<|end|>", Assistant},
		{"weight 0", strings.Replace(chat, `"b"`, `"b","weight":0`, 1), "d<|end|>", Assistant},
		{"weight 1 is what it is anyway", strings.Replace(chat, `"b"`, `"b","weight":1`, 1), "d<|end|>", Last},
		{"all but one", strings.Replace(chat, `"b"`, `"b","train":false`, 1), "<|system|>s<|end|><|user|>a<|end|><|assistant|>|<|user|>c<|end|><|assistant|>d<|end|>", All},
	} {
		for _, layout := range []string{"macro", "generation"} {
			if layout == "generation" && c.name == "a user too" {
				continue // what a template's own blocks leave out is not trained
			}
			l, err := languageFor(t, layouts[layout])
			if err != nil {
				t.Fatal(err)
			}
			v, err := template.DecodeJSON([]byte(c.messages))
			if err != nil {
				t.Fatal(err)
			}
			row := &parquet.TokensRow{}
			if err := l.with(&Options{TrainOn: c.on}).fillConversation(v.([]any), nil, row); err != nil {
				t.Errorf("%s, %s: %v", layout, c.name, err)
			} else if got := trained(l, row); got != c.want {
				t.Errorf("%s, %s: trained %q, want %q", layout, c.name, got, c.want)
			}
		}
	}
}

// TestToolCallsAndReasoning: all that an assistant's turn holds is trained.
func TestToolCallsAndReasoning(t *testing.T) {
	source := func(name string) string {
		src, err := os.ReadFile(filepath.Join("template/testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(src)
	}
	call := `{"type":"function","function":{"name":"f","arguments":{"a":"é\n","b":[1,2.5,null]}}}`
	for _, c := range []struct{ name, source, messages, want string }{
		{"tool call", source("qwen2_5.jinja"), `[{"role":"user","content":"q"},{"role":"assistant","content":"","tool_calls":[` + call + `]},{"role":"tool","content":"r"},{"role":"assistant","content":"done"}]`,
			`<tool_call>` + "\n" + `{"name": "f", "arguments": {"a": "é\n", "b": [1, 2.5, null]}}` + "\n" + `</tool_call><|im_end|>|done<|im_end|>`},
		{"words and two calls", source("qwen2_5.jinja"), `[{"role":"user","content":"q"},{"role":"assistant","content":"I look","tool_calls":[` + call + `,{"function":{"name":"g","arguments":{}}}]}]`,
			"I look\n<tool_call>\n" + `{"name": "f", "arguments": {"a": "é\n", "b": [1, 2.5, null]}}` + "\n</tool_call>\n<tool_call>\n" + `{"name": "g", "arguments": {}}` + "\n</tool_call><|im_end|>"},
		{"reasoning", source("qwen3.jinja"), `[{"role":"user","content":"q"},{"role":"assistant","content":"a","reasoning_content":"so"}]`,
			"<think>\nso\n</think>\n\na<|im_end|>"},
		{"reasoning by another name, and a call", source("qwen3.jinja"), `[{"role":"user","content":"q"},{"role":"assistant","content":"","reasoning":"so","tool_calls":[{"function":{"name":"g","arguments":{}}}]},{"role":"tool","content":"r"},{"role":"assistant","content":"a"}]`,
			"<think>\nso\n</think>\n\n<tool_call>\n" + `{"name": "g", "arguments": {}}` + "\n</tool_call><|im_end|>|<think>\n\n</think>\n\na<|im_end|>"},
	} {
		l, err := languageFor(t, c.source)
		if err != nil {
			t.Fatal(err)
		}
		v, err := template.DecodeJSON([]byte(c.messages))
		if err != nil {
			t.Fatal(err)
		}
		row := &parquet.TokensRow{}
		if err := l.fillConversation(v.([]any), nil, row); err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if got := trained(l, row); got != c.want {
			t.Errorf("%s: trained %q, want %q", c.name, got, c.want)
		}
	}
}

// TestMaskRejects: a mask that cannot be right is no mask.
func TestMaskRejects(t *testing.T) {
	smollm2, err := os.ReadFile("template/testdata/smollm2.jinja")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, source, messages, reason string }{
		{"calls that the template does not write", string(smollm2), `[{"role":"user","content":"q"},{"role":"assistant","content":"","tool_calls":[{"function":{"name":"g","arguments":{}}}]}]`, lostAnswer},
		{"an answer that it leaves out", `{% for m in messages if m.content != 'no' %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}`, `[{"role":"user","content":"q"},{"role":"assistant","content":"no"}]`, lostAnswer},
		{"no prompt", `{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}`, `[{"role":"assistant","content":"a"}]`, noPrompt},
		{"half a weight", string(smollm2), `[{"role":"user","content":"q"},{"role":"assistant","content":"a","weight":0.5}]`, wrongType},
		{"trained with weight 0", string(smollm2), `[{"role":"user","content":"q"},{"role":"assistant","content":"a","train":true,"weight":0}]`, wrongType},
		{"a train field of another kind", string(smollm2), `[{"role":"user","content":"q"},{"role":"assistant","content":"a","train":"yes"}]`, wrongType},
		{"another header", `{% for m in messages %}{% if loop.index0 == 3 %}Bot says {% else %}<|{{ m.role }}|>{% endif %}{{ m.content }}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}`,
			`[{"role":"user","content":"q"},{"role":"assistant","content":"a"},{"role":"user","content":"q"},{"role":"assistant","content":"b"}]`, templateError},
		{"a block in a macro", `{% macro say(m) %}{% generation %}{{ m.content }}<|end|>{% endgeneration %}{% endmacro %}{% for m in messages %}<|{{ m.role }}|>{% if m.role == 'assistant' %}{{ say(m) }}{% else %}{{ m.content }}{% endif %}{% endfor %}`,
			`[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]`, templateError},
		{"the template objects", `{% for m in messages %}{% if m.content == 'bad' %}{{ raise_exception('no') }}{% endif %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}`,
			`[{"role":"user","content":"bad"},{"role":"assistant","content":"a"}]`, templateError},
	} {
		l, err := languageFor(t, c.source)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		v, err := template.DecodeJSON([]byte(c.messages))
		if err != nil {
			t.Fatal(err)
		}
		err = l.fillConversation(v.([]any), nil, &parquet.TokensRow{})
		var why *reject
		if !errors.As(err, &why) || why.reason != c.reason {
			t.Errorf("%s: %v, want %q", c.name, err, c.reason)
		}
	}
}

// TestFirstWordIsTrained: the space that a header ends with and the answer's
// first word are one token.
func TestFirstWordIsTrained(t *testing.T) {
	data, err := os.ReadFile("tokenizer/testdata/qwen2.json")
	if err != nil {
		t.Fatal(err)
	}
	tok, err := tokenizer.FromJSON(data)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(tok.Encode(" the").IDs); n != 1 {
		t.Fatalf("the tokenizer has %d tokens for the word", n)
	}
	for source, want := range map[string]string{
		`{% for m in messages %}{{ m.role }}: {{ m.content }}|{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}`: " the end|",
		`{% for m in messages %}{{ m.role }}: {% generation %}{{ m.content }}|{% endgeneration %}{% endfor %}`:                  " the end|",
		// As transformers, which trains the whole token that a block begins in.
		`{% for m in messages %}{{ m.role + ':\n' }}{% generation %}{{ '\n' + m.content }}|{% endgeneration %}{% endfor %}`:                                         "\n\nthe end|",
		"{% for m in messages %}{{ m.role }}{% generation %}{{ m.content[:0] }}{% endgeneration %} {% generation %}{{ m.content }}|{% endgeneration %}{% endfor %}": " the end|",
	} {
		l, err := NewLanguage(tok, source, "", "", "")
		if err != nil {
			t.Fatal(err)
		}
		row := &parquet.TokensRow{}
		if err := l.fillConversation([]any{message("user", "a"), message("assistant", "the end")}, nil, row); err != nil {
			t.Fatal(err)
		}
		if got := trained(l, row); got != want {
			t.Errorf("%s: trained %q, want %q", source, got, want)
		}
	}
}
