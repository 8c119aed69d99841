package tokenize

import (
	"maps"
	"testing"

	"eaft/internal/bound"
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
