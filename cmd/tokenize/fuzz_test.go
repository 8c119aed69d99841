package main

import (
	"strings"
	"testing"

	"eaft/tokenize/template"
)

// FuzzRenderLine: whatever a template and a line say, the line is refused, or what
// is rendered has spans that lie in it, in order. Of a template's memory there is
// a bound of its own (tokenize/template TestHostile).
func FuzzRenderLine(f *testing.F) {
	for _, src := range []string{"{% for m in messages %}<{{ m.role }}>{{ m.content }}|{% endfor %}", "{{ messages[1].content }}{{ messages[0].content }}{{ x }}", "{{ messages|tojson }}{{ bos_token }}", "{% set messages = messages[1:] %}{{ messages[0].content }}", "{{"} {
		for _, line := range []string{`{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}`, `{"messages":[]}`, `{"messages":{"0":{"content":"c"}}}`, `{"messages":"ab","x":[1]}`, `{"messages":[1,null]}`,
			`{"messages":[{"content":["a",{"type":"text","text":"b"}]},{"content":1}],"bos_token":null}`, `[]`, `{`, ``} {
			f.Add(src, line)
		}
	}
	f.Fuzz(func(t *testing.T, src, line string) {
		tm, err := template.Parse(src)
		if err != nil {
			return
		}
		r, err := (&templates{chat: tm, bos: "<s>", eos: "</s>"}).renderLine([]byte(line))
		if err != nil {
			return
		}
		at := 0
		for _, s := range r.Spans {
			if s.Start < at || s.End < s.Start || s.End > len(r.Text) {
				t.Fatalf("%q of %q: the span %+v", src, line, s)
			}
			at = s.End
		}
		if strings.Contains(src, "messages") || len(r.Spans) == 0 {
			return
		}
		t.Fatalf("%q of %q has spans of messages: %+v", src, line, r.Spans)
	})
}
