package template

import "strings"

var htmlEscapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "'", "&#39;", `"`, "&#34;")

// escape is jinja2's escape filter: t for HTML, unless it is marked safe. The
// bytes that stand for a character keep its origin.
func (r *run) escape(t Text) Text {
	if !t.markup {
		r.room(8 * len(t.S))
		t = r.eachRune(t, htmlEscapes.Replace)
		t.markup = true
	}
	return t
}

// add joins two strings with +: beside one marked safe the other is escaped.
func (r *run) add(a, b Text) Text {
	if !a.markup && !b.markup {
		return r.concat(a, b)
	}
	t := r.concat(r.escape(a), r.escape(b))
	t.markup = true
	return t
}
