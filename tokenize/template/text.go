// Package template evaluates the Jinja subset that chat templates use. Every
// string carries where its bytes came from, so that a rendering can say which
// message and field each output byte belongs to.
package template

import "strings"

// Origin is where bytes came from: a field of a message, or, with Message -1,
// the template itself or a variable that is no message.
type Origin struct {
	Message int    // index in messages; -1: none
	Field   string // content, reasoning_content, role, ...
}

// Literal is the origin of bytes that the template wrote.
var Literal = Origin{Message: -1}

// Segment says that the bytes up to End, from the end of the segment before,
// have one origin.
type Segment struct {
	End    int
	Origin Origin
}

// Text is an immutable string with origins: its segments have ascending ends,
// the last is len(S), and neighbours differ in origin. An empty text has none.
type Text struct {
	S    string
	Segs []Segment

	markup bool // jinja2's Markup: what is added to it gets HTML-escaped
}

// NewText is s, all of one origin.
func NewText(s string, o Origin) Text {
	if s == "" {
		return Text{}
	}
	return Text{S: s, Segs: []Segment{{len(s), o}}}
}

// Concat joins texts.
func Concat(parts ...Text) Text {
	n, k := 0, 0
	for _, p := range parts {
		n, k = n+len(p.S), k+len(p.Segs)
	}
	var b strings.Builder
	b.Grow(n)
	segs := make([]Segment, 0, k)
	for _, p := range parts {
		base := b.Len()
		b.WriteString(p.S)
		for _, g := range p.Segs {
			if n := len(segs); n > 0 && segs[n-1].Origin == g.Origin {
				segs[n-1].End = base + g.End
				continue
			}
			segs = append(segs, Segment{base + g.End, g.Origin})
		}
	}
	if len(segs) == 0 {
		return Text{}
	}
	return Text{S: b.String(), Segs: segs}
}

// Slice is the bytes lo up to hi, which must lie within t.
func (t Text) Slice(lo, hi int) Text {
	s := t.S[lo:hi]
	if s == "" {
		return Text{markup: t.markup}
	}
	var segs []Segment
	for _, g := range t.Segs {
		if g.End <= lo {
			continue
		}
		segs = append(segs, Segment{min(g.End, hi) - lo, g.Origin})
		if g.End >= hi {
			break
		}
	}
	return Text{s, segs, t.markup}
}

// Split cuts t at every sep, which must not be empty; at most n cuts when
// n >= 0, as Python's str.split.
func (t Text) Split(sep string, n int) []Text {
	var out []Text
	lo := 0
	for n != 0 {
		i := strings.Index(t.S[lo:], sep)
		if i < 0 {
			break
		}
		out = append(out, t.Slice(lo, lo+i))
		lo += i + len(sep)
		n--
	}
	return append(out, t.Slice(lo, len(t.S)))
}

// Join puts sep between parts.
func Join(parts []Text, sep Text) Text {
	var all []Text
	for i, p := range parts {
		if i > 0 {
			all = append(all, sep)
		}
		all = append(all, p)
	}
	return Concat(all...)
}

// Replace puts new for every old, which must not be empty.
func (t Text) Replace(old string, new Text) Text { return Join(t.Split(old, -1), new) }

// TrimFunc drops the runes that cut accepts from the left, the right, or both.
func (t Text) TrimFunc(cut func(rune) bool, left, right bool) Text {
	lo, hi := 0, len(t.S)
	if left {
		lo = hi - len(strings.TrimLeftFunc(t.S, cut))
	}
	if right {
		hi = lo + len(strings.TrimRightFunc(t.S[lo:], cut))
	}
	return t.Slice(lo, hi)
}

// At is the origin of byte i.
func (t Text) At(i int) Origin {
	for _, g := range t.Segs {
		if i < g.End {
			return g.Origin
		}
	}
	return Literal
}
