package template

import (
	"testing"
	"unicode"
)

// spell writes a text with one letter of origin under every byte.
func spell(t Text) string {
	out := make([]byte, len(t.S))
	for i := range out {
		out[i] = '-'
		if o := t.At(i); o.Message >= 0 {
			out[i] = byte('0' + o.Message)
		}
	}
	return t.S + "|" + string(out)
}

func TestOriginsFollowBytes(t *testing.T) {
	a := NewText("  a,b ", Origin{0, "content"})
	b := NewText("xy", Origin{1, "content"})
	lit := NewText("<>", Literal)
	all := Concat(lit, a, Text{}, lit, b, b)
	for _, c := range []struct {
		name, want string
		got        Text
	}{
		{"concat", "<>  a,b <>xyxy|--000000--1111", all},
		{"slice", "b <>x|00--1", all.Slice(6, 11)},
		{"empty slice", "|", all.Slice(3, 3)},
		{"trim", "a,b|000", a.TrimFunc(unicode.IsSpace, true, true)},
		{"trim left", "a,b |0000", a.TrimFunc(unicode.IsSpace, true, false)},
		{"trim all", "|", NewText("  ", Literal).TrimFunc(unicode.IsSpace, true, true)},
		{"replace", "  axyb |0001100", a.Replace(",", b)},
		{"join", "xy<>xy|11--11", Join([]Text{b, b}, lit)},
		{"split", "b |00", a.Split(",", -1)[1]},
		{"split at most", "  a,b |000000", a.Split(",", 0)[0]},
	} {
		if got := spell(c.got); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	if n := len(Concat(b, b).Segs); n != 1 {
		t.Errorf("equal neighbours make %d segments, want 1", n)
	}
}
