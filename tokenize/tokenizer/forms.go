package tokenizer

import (
	"slices"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// form is one of the normal forms of Unicode Standard Annex #15, of Unicode 9 as
// Hugging Face has it, with the alignment that its crate gives
// (unicode-normalization-alignments, decompose.rs and recompose.rs).
//
// x/text's own is the Stream-Safe Text Format: it puts U+034F between some thirty
// combining marks. So x/text is asked for single characters and pairs only.
type form struct {
	quick              norm.Form // to see that nothing is to be done
	compatible, joined bool
}

var forms = map[string]form{
	"NFC": {norm.NFC, false, true}, "NFD": {norm.NFD, false, false},
	"NFKC": {norm.NFKC, true, true}, "NFKD": {norm.NFKD, true, false},
}

func (f form) normalize(x text) text {
	if f.quick.IsNormalString(x.s) {
		return x
	}
	changes := f.decompose(x.s)
	if f.joined {
		changes = recompose(changes)
	}
	return x.transform(changes, 0)
}

// decompose spells every character out and puts marks in order.
func (f form) decompose(s string) []change {
	out := make([]change, 0, len(s))
	starter := 0 // where the marks begin that are in order only from here
	sort := func() {
		if len(out)-starter > 1 {
			slices.SortStableFunc(out[starter:], func(a, b change) int { return int(class(a.r)) - int(class(b.r)) })
		}
		starter = len(out)
	}
	for _, r := range s {
		first := 0
		if r < utf8.RuneSelf {
			sort()
			out = append(out, change{r, 0})
			continue
		}
		for _, d := range f.spell(r) {
			if class(d) == 0 {
				sort()
			}
			out = append(out, change{d, first})
			first = 1
		}
	}
	sort()
	return out
}

func (f form) spell(r rune) string {
	s := string(r)
	if undecomposed.has(r) {
		return s
	}
	if f.compatible {
		return norm.NFKD.String(s)
	}
	return norm.NFD.String(s)
}

// class is the canonical combining class.
func class(r rune) uint8 {
	if r < 0x300 || unicode.Is(youngMarks, r) {
		return 0
	}
	return norm.NFD.PropertiesString(string(r)).CCC()
}

// recompose joins what pairs up: a starter and a mark that no mark of the same or
// a higher class stands before.
func recompose(in []change) []change {
	out := make([]change, 0, len(in))
	starter := -1 // of out
	for _, c := range in {
		k := class(c.r)
		if starter >= 0 {
			if last := len(out) - 1; last == starter || class(out[last].r) < k {
				if r, ok := pairUp(out[starter].r, c.r); ok {
					out[starter] = change{r, out[starter].by + c.by - 1}
					continue
				}
			}
		}
		if k == 0 {
			starter = len(out)
		}
		out = append(out, c)
	}
	return out
}

// pairUp is the character that a and b compose to.
func pairUp(a, b rune) (rune, bool) {
	if b < 0x300 {
		return 0, false
	}
	s := norm.NFC.String(string([]rune{a, b}))
	r, n := utf8.DecodeRuneInString(s)
	return r, n == len(s) && !undecomposed.has(r)
}
