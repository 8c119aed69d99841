package tokenize

import (
	"maps"
	"testing"
	"testing/fstest"

	"eaft/internal/bound"
	"eaft/model/weights"
)

// FuzzMap: a mapping is refused, or is read again from its own text, and every
// record becomes a row by it or is rejected.
func FuzzMap(f *testing.F) {
	l := chatML(f)
	for _, s := range []string{"user=question+context,assistant=answer", "messages=chat.0.turns,role=who,content=said,role:bot=assistant", "text=a.b.0", "input_ids=x,labels=y", "id=k", "history=h", "user=a", "role:x=y", "held=2%,a=0.5", "near=0.9"} {
		f.Add(s, []byte(`{"question":"q","context":["c",1],"answer":{"text":"a"},"chat":[{"turns":[{"who":"bot","said":"x"}]}],"a":{"b":["t"]},"x":[1],"y":[-100],"h":[["q","r"]]}`))
	}
	o := options("x", "x")
	o.MaxLength, o.Overlong = 16, Split
	f.Fuzz(func(t *testing.T, arg string, raw []byte) {
		bound.Memory(t, len(arg)+len(raw))
		if shares, err := ParseSplit([]string{arg}); err == nil {
			splitOf(keyOf(dict("a", arg)), shares)
		}
		if d, err := ParseDedup([]string{arg}); err == nil && d.Near != 0 && !(d.Near >= 0.3 && d.Near <= 1) {
			t.Fatalf("%q asks for a similarity of %v", arg, d.Near)
		}
		m, err := ParseMap([]string{arg})
		if err != nil {
			return
		}
		if again, err := ParseMap([]string{mapping(m).String()}); err != nil || !maps.Equal(m, again) {
			t.Fatalf("%q is %v, and %q is %v (%v)", arg, m, mapping(m), again, err)
		}
		fields, err := decode(raw)
		if err != nil {
			return
		}
		lay := mapped(m, detect(fields))
		if lay == nil {
			return
		}
		out := (&run{l: l, o: &o}).process(record{raw: raw, layout: lay})
		if out.err != nil {
			t.Fatalf("%q of %s ends the run: %v", arg, raw, out.err)
		}
		for _, p := range out.pieces {
			if p.row != nil && len(p.row.Labels) != len(p.row.InputIDs) {
				t.Fatalf("%d tokens and %d labels", len(p.row.InputIDs), len(p.row.Labels))
			}
		}
	})
}

// FuzzLanguage: whatever the side files of a model say, its tokenizer and template
// are refused, or make rows of a conversation or reject it. Of a template's memory
// there is a bound of its own (tokenize/template TestHostile).
func FuzzLanguage(f *testing.F) {
	c, err := weights.Open("../model/demo")
	if err != nil {
		f.Fatal(err)
	}
	defer c.Close()
	tok, err := c.TokenizerJSON()
	if err != nil {
		f.Fatal(err)
	}
	source, _, _, err := c.ChatTemplate()
	if err != nil {
		f.Fatal(err)
	}
	talk := `{"messages":[{"role":"system","content":"s"},{"role":"user","content":"a"},{"role":"assistant","content":"b","tool_calls":[{"function":{"name":"f","arguments":"{}"}}]}]}`
	for _, template := range []string{source, "{{ messages[0].content }}", "{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}", "{{ bos_token * 99 }}{{ messages[-1].content[::-1] }}", "{{ raise_exception('no') }}",
		"{% for m in messages %}{{ m.role }}{{ m.content|upper }}{{ m.tool_calls }}{% endfor %}", "{{ messages|tojson }}", "{{", ""} {
		for _, side := range []string{`{}`, `{"bos_token":"<s>","eos_token":{"content":"</s>"}}`, `{"bos_token":"","eos_token":"x","add_bos_token":true}`, `[]`} {
			f.Add([]byte(side), template, talk)
		}
		f.Add([]byte(`{"eos_token":null}`), template, `{"instruction":"i","output":"o"}`)
	}
	o := options("x", "x")
	o.MaxLength, o.Overlong = 64, Split
	f.Fuzz(func(t *testing.T, side []byte, template, raw string) {
		c, err := weights.OpenFS(fstest.MapFS{"config.json": {Data: []byte("{}")}, "tokenizer.json": {Data: tok}, "tokenizer_config.json": {Data: side}, "chat_template.jinja": {Data: []byte(template)}}, "x")
		if err != nil {
			t.Fatal(err)
		}
		l, err := LanguageOf(c)
		if err != nil {
			return
		}
		row, err := encodeOne(l, &o, raw)
		if err != nil {
			return
		}
		for i, y := range row.Labels {
			if y != ignored && y != row.InputIDs[i] {
				t.Fatalf("token %d is %d, its label %d", i, row.InputIDs[i], y)
			}
		}
		if len(row.Labels) != len(row.InputIDs) || len(row.InputIDs) > 64 {
			t.Fatalf("%d tokens and %d labels", len(row.InputIDs), len(row.Labels))
		}
	})
}
