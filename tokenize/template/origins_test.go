package template

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"
)

// scripts are the alphabets in which the messages of scripted are written, one
// for each field: so a character tells where it must come from.
var scripts = []struct {
	table  *unicode.RangeTable
	origin Origin
}{
	{unicode.Greek, Origin{0, "content"}},
	{unicode.Cyrillic, Origin{1, "content"}},
	{unicode.Armenian, Origin{1, "reasoning"}},
	{unicode.Hiragana, Origin{1, "tool_calls"}},
	{unicode.Hangul, Origin{2, "content"}},
	{unicode.Thai, Origin{3, "content"}},
}

func scripted(t testing.TB) *Dict {
	t.Helper()
	v, err := DecodeJSON([]byte(`{"messages":[{"role":"user","content":"\u2003Αβγ|δε\u2003ζη\u2003"},
		{"role":"assistant","content":"Яблоко|и\u2003груша","reasoning":"ԱբգդԵ","tool_calls":[{"function":{"name":"あ","arguments":{"い":"う\"え\\","お":[777,7.5,true,null,{"か":"き"}],"7":707}}}]},
		{"role":"tool","content":"한글|글"},{"role":"assistant","content":"ก|ข ค"}],
		"tools":[{"name":"plain"}],"n":3}`))
	if err != nil {
		t.Fatal(err)
	}
	return v.(*Dict)
}

// checkScripts: every character has the origin of its alphabet, a seven that of
// the tool calls, and Latin letters no message's unless they are a role's.
func checkScripts(t *testing.T, name string, text Text) {
	t.Helper()
	for i, c := range text.S {
		got := text.At(i)
		for _, s := range scripts {
			if unicode.Is(s.table, c) && got != s.origin {
				t.Errorf("%s: %q at byte %d of %q comes from %v, not from %v", name, c, i, text.S, got, s.origin)
			}
		}
		if strings.ContainsRune(name, '7') {
			continue
		}
		if c == '7' && got != (Origin{1, "tool_calls"}) {
			t.Errorf("%s: the number at byte %d of %q comes from %v", name, i, text.S, got)
		}
		if c == '#' && got != Literal {
			t.Errorf("%s: %q at byte %d of %q is said to come from %v, the template wrote it", name, c, i, text.S, got)
		}
	}
}

// TestOriginsSurvive puts the messages through everything that templates do to
// strings; want is a part of the output that must be there.
func TestOriginsSurvive(t *testing.T) {
	setup := `{% set a = messages[0].content %}{% set b = messages[1].content %}{% set r = messages[1].reasoning_content %}{% set f = messages[1].tool_calls[0].function %}{% set k = messages[2].content %}`
	for template, want := range map[string]string{
		`{{ a ~ '#' ~ b ~ k }}`:            "#Яблоко",
		`{{ a + '#' + b }}`:                "#Яблоко",
		`{{ (a + b)[3:9] }}`:               "γ|δε",
		`{{ (a + b)[::-1] }}`:              "околбЯ",
		`{{ (a ~ '#' ~ b)[7] }}{{ b[0] }}`: "Я",
		`{{ b|upper }}{{ a|lower }}{{ r|title }}{{ b|capitalize }}`:                                                            "ЯБЛОКО",
		`{{ b.upper() }}{{ a.swapcase() }}{{ r.casefold() }}`:                                                                  "ЯБЛОКО",
		`{{ a|trim ~ '#' ~ a.strip() ~ a.lstrip() ~ a.rstrip('#') }}`:                                                          "Αβγ|δε",
		`{{ a.split('|')[1] ~ b.split()[1] ~ a.rsplit('|', 1)[0] }}`:                                                           "груша",
		`{{ a.partition('|')[2] ~ b.rpartition('|')[0] }}`:                                                                     "Яблоко",
		`{{ (a ~ '\n' ~ b).splitlines()[1] }}`:                                                                                 "Яблоко",
		`{{ a.replace('|', b) ~ b|replace('и', '#') ~ a.replace('', '_') }}`:                                                   "γЯблоко",
		`{{ [a, b, k]|join('#') }}{{ '_'.join([k, r]) }}{{ b|join('#') }}`:                                                     "#Яблоко",
		`{{ a|list|reverse|join }}{{ b|reverse }}`:                                                                             "окол",
		`{{ b|tojson ~ a|tojson(ensure_ascii=false) ~ f|tojson }}`:                                                             `"う\"え\\"`,
		`{{ f|tojson(indent=2, sort_keys=true) }}`:                                                                             `"か": "き"`,
		`{{ f|string ~ f.arguments ~ [a, b]|string ~ messages[1].tool_calls }}`:                                                `'い'`,
		`{% for n, v in f.arguments.items() %}{{ n }}#{{ v if v is string else v|tojson }}_{% endfor %}`:                       "777",
		`{% for n, v in f.arguments|dictsort %}{{ n }}#{{ v }}{% endfor %}`:                                                    "707",
		`{{ f.arguments['お'][0] }}{{ f.arguments['お'][1] ~ '#' ~ f.arguments['お'][0]|string }}`:                                "777",
		`{{ '%s#%d' % (b, f.arguments['お'][0]) ~ '{}'.format(a) ~ '%.3s'|format(b) }}`:                                         "#777",
		`{{ f.arguments.keys()|list }}{{ f.arguments.values()|join('#') }}`:                                                    "お",
		`{{ messages|map(attribute='content')|join('#') }}`:                                                                    "#Яблоко",
		`{{ messages|selectattr('role', 'equalto', 'tool')|map(attribute='content')|first }}`:                                  "한글",
		`{{ messages|groupby('role')|map(attribute=1)|first|map(attribute='content')|join }}`:                                  "Яблоко",
		`{{ [b, a]|sort|join('#') ~ [a, b]|max ~ [b, a, b]|unique|join }}`:                                                     "#\u2003Αβγ",
		`{{ b|indent(2) ~ b|center(30) ~ b.ljust(20, '#') ~ b|truncate(7, true, '_', 0) }}`:                                    "####",
		`{% macro m(x, y=b) %}<{{ x }}{{ y }}{{ caller() }}>{% endmacro %}{% call m(a) %}{{ k }}{% endcall %}`:                 "груша한글",
		`{% set x %}#{{ a }}{{ b }}{% endset %}{{ x|trim('#') }}{{ x[4:6] }}`:                                                  "Яблоко",
		`{% filter upper %}#{{ b }}{{ k }}{% endfilter %}`:                                                                     "#ЯБЛОКО",
		`{% set ns = namespace(s='#') %}{% for m in messages %}{% set ns.s = ns.s ~ m.content %}{% endfor %}{{ ns.s }}`:        "Яблоко",
		`{% set d = dict(x=a, **{'y': b}) %}{{ d.x ~ d['y'] ~ d|tojson ~ dict(messages[1]).content }}`:                         "Яблоко",
		`{{ {'x': a}['x'] ~ [a, b][1] ~ (a, b)|last ~ (none or b) ~ (b if a else k) ~ (missing|default(k)) }}`:                 "한글",
		`{% for c in b %}{{ c }}#{% endfor %}{% for x in [a, [b]] recursive %}{{ x if x is string else loop(x) }}{% endfor %}`: "Я#б#",
		`{{ ('<#>'|safe + b) ~ (b|escape) ~ '<'|safe + a }}`:                                                                   "Яблоко",
		`{% generation %}{{ b }}#{{ k }}{% endgeneration %}`:                                                                   "#한글",
		`{{ messages[1].thinking ~ messages[1].reasoning ~ r }}`:                                                               "ԱբգդԵ",
		`{{ b * 2 ~ (a ~ b) * 2 }}`:                                                                                            "грушаЯблоко",
		`{{ a|batch(3)|map('join')|join('#') ~ b|slice(2)|map('join')|join('_') }}`:                                            "#",
		`{{ cycler(a, b).next() ~ b|urlencode|length ~ b|wordcount }}`:                                                         "Αβγ",
		`{{ messages }}{{ messages|tojson }}`:                                                                                  "한글",
	} {
		tm, err := Parse(setup + template)
		if err != nil {
			t.Errorf("%s: %v", template, err)
			continue
		}
		out, err := tm.Apply(scripted(t))
		if err != nil {
			t.Errorf("%s: %v", template, err)
			continue
		}
		if !strings.Contains(out.Text.S, want) {
			t.Errorf("%s: %q has no %q", template, out.Text.S, want)
		}
		checkScripts(t, template, out.Text)
	}
}

// TestOriginsOfRealTemplates: the same of whole chat templates.
func TestOriginsOfRealTemplates(t *testing.T) {
	rendered := 0
	for name, source := range templateSources(t) {
		tm, err := Parse(source)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, prompt := range []bool{false, true} {
			vars := scripted(t)
			vars.Set("bos_token", "<s>")
			vars.Set("eos_token", "</s>")
			vars.Set("add_generation_prompt", prompt)
			vars.Values["tools"] = []any{}
			vars.Set("date_string", "01 Jan 2025")
			out, err := tm.Apply(vars)
			if err != nil {
				continue // the template wants other conversations
			}
			rendered++
			for i, c := range out.Text.S {
				for _, s := range scripts {
					if !unicode.Is(s.table, c) || out.Text.At(i) == s.origin {
						continue
					}
					if strings.IndexFunc(source, func(c rune) bool { return unicode.Is(s.table, c) }) < 0 { // else the template has such words itself
						t.Errorf("%s: %q comes from %v, not from %v", name, c, out.Text.At(i), s.origin)
					}
				}
			}
		}
	}
	if rendered == 0 {
		t.Error("no template renders the conversation")
	}
}

func templateSources(t testing.TB) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, f := range templates(t) {
		out[f] = readFile(t, f)
	}
	return out
}

// TestTurns: what a template writes at a message is that message's turn.
func TestTurns(t *testing.T) {
	for source, want := range map[string]string{
		`B{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}E`:                                                                                          `0<user>x 1<tool>y`,
		`{% for i in range(2) %}<{{ messages[i].content }}>{% endfor %}`:                                                                                              `0<x> 1<y>`,
		`{% for i in range(2) %}{% set m = messages[i] %}<{{ m.content }}>{% endfor %}`:                                                                               `0<x> 1<y>`,
		`{% for m in messages %}{% for o in messages %}{{ o.content if loop.first }}{% endfor %}{{ m.content }};{% endfor %}`:                                         `0xx; 1xy;`,
		`{% for m in messages[::-1] %}{{ m.content }}{% endfor %}`:                                                                                                    `1y 0x`,
		`{{ messages[0].content }}{% for m in messages %}{% if m.role == 'tool' %}{% break %}{% endif %}{{ m.content }}{% endfor %}z`:                                 `0x`,
		`{% for m in messages %}{% set c %}({{ m.content }}){% endset %}{{ c }}{% endfor %}`:                                                                          `0(x) 1(y)`,
		`{% set ns = namespace(l=[]) %}{% for m in messages %}{% set ns.l = ns.l + [{'c': m.content ~ '!'}] %}{% endfor %}{% for m in ns.l %}<{{ m.c }}>{% endfor %}`: `0<x!> 1<y!>`,
	} {
		tm, err := Parse(source)
		if err != nil {
			t.Fatal(err)
		}
		v, err := DecodeJSON([]byte(`{"messages":[{"role":"user","content":"x"},{"role":"tool","content":"y"}]}`))
		if err != nil {
			t.Fatal(err)
		}
		out, err := tm.Apply(v.(*Dict))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, turn := range out.Turns {
			n, _ := json.Marshal(turn.Message)
			got = append(got, string(n)+out.Text.S[turn.Start:turn.End])
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%s: turns %q, want %q", source, s, want)
		}
	}
}
