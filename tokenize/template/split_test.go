package template

import (
	"testing"

	"eaft/internal/bound"
)

// TestSplitWhitespace: expectations are what jinja2 3.1 with trim_blocks and
// lstrip_blocks leaves of the text around tags.
func TestSplitWhitespace(t *testing.T) {
	for src, want := range map[string]string{
		"a\n  {% if x %}\nb\n":         "[a\n]%[b]",
		"a  {% if x %}  \nb":           "[a  ]%[  \nb]",
		"a \n {%- if x -%} \n b":       "[a]%[b]",
		"  {%+ if x +%}\nb":            "[  ]%[\nb]",
		"  {{ x }}\nb\r\nc":            "[  ]$[\nb\nc]",
		"a {{- '}}' -}} b":             "[a]$[b]",
		"{{ {'a': {'b': 1}}['a'] }}":   "$",
		"  {# c #}\n{#- d -#} e":       "[e]",
		"{% raw %}{{ x }}{% endraw %}": "[{{ x }}]",
	} {
		pieces, err := Split(src)
		if err != nil {
			t.Errorf("%q: %v", src, err)
			continue
		}
		got := ""
		for _, p := range pieces {
			switch p.Kind {
			case Data:
				got += "[" + p.Text + "]"
			case Statement:
				got += "%"
			case Expression:
				got += "$"
			}
		}
		if got != want {
			t.Errorf("%q: %q, want %q", src, got, want)
		}
	}
	for _, src := range []string{"{{ x", "{% if '%}", "{# ", "{% raw %} x", "{{"} {
		if _, err := Split(src); err == nil {
			t.Errorf("%q: no error", src)
		}
	}
}

func FuzzSplit(f *testing.F) {
	f.Add("{%- for m in messages %}{{ m['a'] }}{% endfor -%}")
	f.Add("{% raw -%} {{ {%+ endraw %}{#- -#}")
	f.Fuzz(func(t *testing.T, src string) {
		bound.Memory(t, len(src))
		_, _ = Split(src)
	})
}
