package template

import (
	"os"
	"runtime"
	"strings"
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
	for _, s := range hostile {
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
		if plainASCII(src) && time.Since(start) < time.Second {
			if out, err := tm.Apply(scripted(t)); err == nil && len(out.Text.S) < 1<<20 {
				checkScripts(t, src+"7", out.Text)
			}
		}
	})
}

// hostile are templates that ask for more than there is, or hide where their
// output comes from.
var hostile = []string{
	"{{ 'a' * 999999999 }}", "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "{{ 9223372036854775807 + 1 }}",
	"{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
	"{% set ns = namespace(x='ab') %}{% for i in range(99999) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
	"{% set ns = namespace(x=[1]) %}{% for i in range(99999) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
	"{{ ('a' * 9999999)|list|length }}", "{{ ('a' * 9999999).replace('a', 'bb') }}", "{{ ('a' * 9999999).split('a')|length }}", "{{ ('%9999d' * 99999) % 1 }}",
	"{{ ('<' * 9999999)|escape|escape }}", "{{ ('a' * 9999999)|batch(1)|list|length }}", "{{ [1]|slice(99999999)|list }}", "{{ [1]|tojson(indent='x' * 9999999) }}",
	"{{ 'a'.center(999999999) }}", "{{ '%.9999f' % 1.5 }}", "{{ 2 ** 9999999 }}", "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
	"{% macro f(x) %}{% call f(x) %}{{ x }}{% endcall %}{% endmacro %}{{ f(1) }}", "{% set x = [] %}{% for i in range(300) %}{% set x = [x] %}{% endfor %}{{ x }}",
	"{% set ns = namespace(x=[]) %}{% for i in range(300) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x|tojson }}{{ ns.x == [ns.x] }}",
	"{{ messages|map(attribute='content')|join|upper|reverse|list|tojson(indent=1)|escape }}", "{% for m in messages %}{{ m|tojson }}{{ m.content[1:-1]|trim('|')|title }}{% endfor %}",
	"{{ messages[1].tool_calls|string|replace('a', messages[0].content)|truncate(20) }}", "{% generation %}{{ '%s{}' % messages[0].content }}{{ '{}'.format(messages[1].content) }}{% endgeneration %}",
	"{{ self.x }}{{ self }}", "{{ ''.__class__ }}{{ messages.__class__.__mro__ }}", "{% include '/etc/passwd' %}", "{% import 'os' as os %}", "{{ cycler.__init__.__globals__ }}",
	"{{ 'a'|attr('format') }}", "{{ messages.append(1) }}{{ dict.update }}", "{% set messages = 1 %}{% for m in messages %}{% endfor %}", "{{ range(0, 99999999999) }}",
}

func plainASCII(s string) bool {
	for _, c := range s {
		if c >= 0x80 || c == '\\' {
			return false
		}
	}
	return true
}

// TestHostile: every one of them ends soon, with an error or a small text.
func TestHostile(t *testing.T) {
	for _, src := range hostile {
		start := time.Now()
		tm, err := Parse(src)
		if err != nil {
			continue
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		out, err := tm.Apply(scripted(t))
		runtime.ReadMemStats(&after)
		if d := time.Since(start); d > 10*time.Second {
			t.Errorf("%s: took %v", src, d)
		}
		if mib := (after.TotalAlloc - before.TotalAlloc) >> 20; mib > 2048 {
			t.Errorf("%s: took %d MiB in all", src, mib)
		}
		if err == nil && len(out.Text.S) > maxOutput {
			t.Errorf("%s: made %d bytes", src, len(out.Text.S))
		}
	}
}

// TestParseIsLinear: templates of a kind that a careless parser is slow on, or
// too deep for.
func TestParseIsLinear(t *testing.T) {
	for _, src := range []string{
		strings.Repeat("{{ a }}\n", 200_000), strings.Repeat("{# c #}", 300_000), "{{ " + strings.Repeat("1-", 1_000_000) + "1 }}", "{{ 1" + strings.Repeat("|string", 100_000) + " }}",
		"{{ " + strings.Repeat("(", 1_000_000) + " }}", "{{ " + strings.Repeat("not ", 500_000) + "1 }}", strings.Repeat("{% if a %}", 100_000), "{{ a" + strings.Repeat(".a", 500_000) + " }}",
		"{{ " + strings.Repeat("a or ", 500_000) + "a }}", "{{ 1" + strings.Repeat(" if 1", 300_000) + " }}", "{{ '" + strings.Repeat("\\'", 500_000) + "' }}", strings.Repeat("x", maxSource+1),
		"{{ a" + strings.Repeat(" is defined", 100_000) + " }}", "{{ [" + strings.Repeat("1,", 500_000) + "] }}", "{% raw %}" + strings.Repeat("{% x %}", 300_000),
	} {
		start := time.Now()
		if tm, err := Parse(src); err == nil {
			_, _ = tm.Render(NewDict())
		}
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("%.20s...: took %v", src, d)
		}
	}
}
