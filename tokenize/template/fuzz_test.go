package template

import (
	"os"
	"testing"
	"time"
)

func FuzzRender(f *testing.F) {
	raw, err := os.ReadFile("testdata/fixtures.json")
	if err != nil {
		f.Fatal(err)
	}
	v, err := DecodeJSON(raw)
	if err != nil {
		f.Fatal(err)
	}
	vars, _ := v.(*Dict).Get("vars")
	cases, _ := v.(*Dict).Get("cases")
	for _, c := range cases.([]any) {
		if s, ok := c.(*Dict).Get("source"); ok {
			f.Add(s.(string))
		}
	}
	for _, s := range []string{"{{ 'a' * 999999999 }}", "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "{{ 9223372036854775807 + 1 }}",
		"{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "{% set ns = namespace(x='ab') %}{% for i in range(99999) %}{% set ns.x = ns.x + ns.x %}{% endfor %}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		start := time.Now()
		tm, err := Parse(src)
		if err != nil {
			return
		}
		out, err := tm.Render(vars.(*Dict))
		if err == nil {
			checkOrigins(t, "template", out.Text, vars.(*Dict))
		}
		if d := time.Since(start); d > 20*time.Second {
			t.Errorf("took %v", d)
		}
	})
}
