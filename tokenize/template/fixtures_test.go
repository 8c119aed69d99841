package template

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFixtures compares with what transformers renders; EAFT_TEMPLATE_FIXTURES
// and EAFT_TEMPLATE_DIR name further fixtures and where their templates lie.
func TestFixtures(t *testing.T) {
	checkFixtures(t, "testdata/fixtures.json", "testdata")
	if more := os.Getenv("EAFT_TEMPLATE_FIXTURES"); more != "" {
		checkFixtures(t, more, os.Getenv("EAFT_TEMPLATE_DIR"))
	}
}

func checkFixtures(t *testing.T, file, dir string) {
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	v, err := DecodeJSON(raw)
	if err != nil {
		t.Fatal(err)
	}
	get := func(d *Dict, k string) any { v, _ := d.Get(k); return v }
	fix := v.(*Dict)
	for _, c := range get(fix, "cases").([]any) {
		c := c.(*Dict)
		src, _ := get(c, "source").(string)
		vars := get(fix, "vars")
		if own := get(c, "vars"); own != nil {
			vars = own
		}
		name := src
		if f, ok := get(c, "file").(string); ok {
			b, err := os.ReadFile(filepath.Join(dir, f))
			if err != nil {
				t.Fatal(err)
			}
			src, name = string(b), f
		}
		var out Output
		tm, err := Parse(src)
		if err == nil {
			out, err = tm.Render(vars.(*Dict))
		}
		if msg, bad := get(c, "error").(string); bad {
			if err == nil {
				t.Errorf("%s: got %q, want an error: %s", name, out.Text.S, msg)
			}
			continue
		}
		if want := get(c, "want").(string); err != nil || out.Text.S != want {
			t.Errorf("%s: %v\ngot  %q\nwant %q", name, err, out.Text.S, want)
			continue
		}
		checkOrigins(t, name, out.Text, vars.(*Dict))
	}
}

// checkOrigins checks that the segments tile the text, and that what lies in
// a message's origin is found in that message's field.
func checkOrigins(t *testing.T, name string, text Text, vars *Dict) {
	v, _ := vars.Get("messages")
	rows, _ := v.([]any)
	lo := 0
	last := Origin{Message: -2}
	for _, g := range text.Segs {
		if g.End <= lo || g.Origin == last {
			t.Errorf("%s: the segments do not tile the text", name)
		}
		s := text.S[lo:g.End]
		lo, last = g.End, g.Origin
		if g.Origin.Message < 0 || g.Origin.Field == "" {
			continue
		}
		f, _ := rows[g.Origin.Message].(*Dict).Get(g.Origin.Field)
		if f, ok := f.(string); ok && strings.HasSuffix(name, ".jinja") && !strings.Contains(f, s) && !strings.Contains(s, `\`) && s != `"`+f+`"` {
			t.Errorf("%s: %q is said to come from %v, which is %q", name, s, g.Origin, f)
		}
	}
	if lo != len(text.S) {
		t.Errorf("%s: the segments end at %d of %d", name, lo, len(text.S))
	}
	if !strings.HasSuffix(name, ".jinja") {
		return
	}
	// Every byte of a rendered content bears its message; of one with
	// </think> the template may drop some.
	for i, row := range rows {
		c, _ := row.(*Dict).Get("content")
		if s, ok := c.(string); ok && strings.TrimSpace(s) != "" && !strings.Contains(s, "</think>") && strings.Contains(text.S, s) {
			found := 0
			for b := range len(text.S) {
				if text.At(b) == (Origin{i, "content"}) {
					found++
				}
			}
			if found < len(strings.TrimSpace(s)) {
				t.Errorf("%s: only %d bytes come from message %d, content %q", name, found, i, s)
			}
		}
	}
}
