package tokenizer

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// normalize is NFC (Unicode Standard Annex #15) with, for each byte of the
// result, the bytes of the text that its segment came from.
//
// x/text's own is the Stream-Safe Text Format: it puts U+034F between some thirty
// combining marks, which Hugging Face does not. So segments are composed here,
// and x/text is asked for single characters and pairs only.
func normalize(s string, base int) (string, offsets) {
	var b strings.Builder
	o := offsets{base: base}
	for lo := 0; lo < len(s); {
		hi := lo + segment(s[lo:])
		seg := s[lo:hi]
		if !norm.NFC.IsNormalString(seg) {
			seg = compose(seg)
		}
		for range len(seg) {
			o.starts = append(o.starts, int32(base+lo))
			o.ends = append(o.ends, int32(base+hi))
		}
		b.WriteString(seg)
		lo = hi
	}
	return b.String(), o
}

// nfc is the text alone.
func nfc(s string) string {
	if norm.NFC.IsNormalString(s) {
		return s
	}
	s, _ = normalize(s, 0)
	return s
}

// segment is the length of the first part of s that composes by itself.
func segment(s string) int {
	_, i := utf8.DecodeRuneInString(s)
	for i < len(s) {
		p := norm.NFC.PropertiesString(s[i:])
		if p.BoundaryBefore() {
			break
		}
		i += p.Size()
	}
	return i
}

// mark is a character and its canonical combining class.
type mark struct {
	r   rune
	ccc uint8
}

// compose decomposes a segment, orders its marks and composes it.
func compose(seg string) string {
	var all []mark
	for _, r := range seg {
		for _, d := range norm.NFD.String(string(r)) {
			m := mark{d, norm.NFD.PropertiesString(string(d)).CCC()}
			if unicode.Is(youngMarks, d) {
				m.ccc = 0
			}
			all = append(all, m)
		}
	}
	for i := 0; i < len(all); {
		end := i + 1
		if all[i].ccc != 0 {
			for end < len(all) && all[end].ccc != 0 {
				end++
			}
			slices.SortStableFunc(all[i:end], func(a, b mark) int { return int(a.ccc) - int(b.ccc) })
		}
		i = end
	}
	out := make([]mark, 0, len(all))
	starter := -1 // of out
	for _, m := range all {
		if starter >= 0 {
			// What stands between blocks m, unless its class is lower.
			if last := len(out) - 1; last == starter || out[last].ccc != 0 && out[last].ccc < m.ccc {
				if r, ok := pairUp(out[starter].r, m.r); ok {
					out[starter].r = r
					continue
				}
			}
		}
		out = append(out, m)
		if m.ccc == 0 {
			starter = len(out) - 1
		}
	}
	var b strings.Builder
	for _, m := range out {
		b.WriteRune(m.r)
	}
	return b.String()
}

// pairUp is the character that a and b compose to.
func pairUp(a, b rune) (rune, bool) {
	s := norm.NFC.String(string([]rune{a, b}))
	r, n := utf8.DecodeRuneInString(s)
	return r, n == len(s)
}
