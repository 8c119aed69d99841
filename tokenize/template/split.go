package template

import (
	"fmt"
	"strings"
)

// Kind of a piece of a template.
type Kind int

const (
	Data       Kind = iota // text to be written as it is
	Expression             // the inside of {{ }}
	Statement              // the inside of {% %}
)

// Piece is a stretch of template source with the whitespace control applied.
type Piece struct {
	Kind Kind
	Text string
	Line int // 1-based, where it begins
}

var closers = map[string]string{"{{": "}}", "{%": "%}", "{#": "#}"}

// Split cuts a template into pieces, with trim_blocks and lstrip_blocks as
// chat templates are rendered. Comments disappear; the inside of raw is Data.
func Split(src string) ([]Piece, error) {
	src = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(src)
	src = strings.TrimSuffix(src, "\n")
	var out []Piece
	counted, lines := 0, 1
	lineOf := func(at int) int { // of ascending places
		lines += strings.Count(src[counted:at], "\n")
		counted = at
		return lines
	}
	data := func(s string, at int) {
		if s != "" {
			out = append(out, Piece{Data, s, lineOf(at)})
		}
	}
	pos, lineStart := 0, true
	for {
		open := nextTag(src, pos)
		if open < 0 {
			data(src[pos:], pos)
			return out, nil
		}
		tag := src[open : open+2]
		body := open + 2
		before := leading(src[pos:open], tag, src[body:], lineStart)
		data(before, pos)
		line := lineOf(open)
		end, err := tagEnd(src, body, closers[tag])
		if err != nil {
			return nil, fmt.Errorf("template line %d: %w", line, err)
		}
		inner := src[body:end]
		inner = strings.TrimPrefix(strings.TrimPrefix(inner, "-"), "+")
		mark := byte(0)
		if n := len(inner); n > 0 && (inner[n-1] == '-' || inner[n-1] == '+' && tag != "{{") {
			mark, inner = inner[n-1], inner[:n-1]
		}
		pos = after(src, end+2, tag, mark)
		lineStart = src[pos-1] == '\n'
		switch {
		case tag == "{#":
		case tag == "{%" && strings.TrimSpace(inner) == "raw":
			if mark != '-' {
				pos = end + 2 // a line break behind it stays
			}
			text, next, ok := rawBlock(src, pos)
			if !ok {
				return nil, fmt.Errorf("template line %d: raw without endraw", line)
			}
			data(text, pos)
			pos, lineStart = next, src[next-1] == '\n'
		case tag == "{%":
			out = append(out, Piece{Statement, inner, line})
		default:
			out = append(out, Piece{Expression, inner, line})
		}
	}
}

func nextTag(src string, from int) int {
	for i := from; i+1 < len(src); i++ {
		if src[i] == '{' && closers[src[i:i+2]] != "" {
			return i
		}
	}
	return -1
}

// leading is the text before a tag, cut as the tag's sign or lstrip_blocks says.
func leading(text, tag, rest string, lineStart bool) string {
	if strings.HasPrefix(rest, "-") {
		return strings.TrimRightFunc(text, isSpace)
	}
	if tag == "{{" || strings.HasPrefix(rest, "+") {
		return text
	}
	nl := strings.LastIndexByte(text, '\n') + 1
	if (nl > 0 || lineStart) && strings.TrimFunc(text[nl:], isSpace) == "" {
		return text[:nl]
	}
	return text
}

// after is where the text behind a tag that ends at i begins.
func after(src string, i int, tag string, mark byte) int {
	if mark == '-' {
		return len(src) - len(strings.TrimLeftFunc(src[i:], isSpace))
	}
	if tag != "{{" && mark != '+' && strings.HasPrefix(src[i:], "\n") {
		return i + 1
	}
	return i
}

// tagEnd finds closer outside of strings and brackets.
func tagEnd(src string, i int, closer string) (int, error) {
	if closer == "#}" {
		if n := strings.Index(src[i:], closer); n >= 0 {
			return i + n, nil
		}
		return 0, fmt.Errorf("comment is not closed")
	}
	depth := 0
	for ; i < len(src); i++ {
		switch c := src[i]; {
		case depth == 0 && strings.HasPrefix(src[i:], closer):
			return i, nil
		case c == '\'' || c == '"':
			for i++; i < len(src) && src[i] != c; i++ {
				if src[i] == '\\' {
					i++
				}
			}
		case strings.IndexByte("([{", c) >= 0:
			depth++
		case strings.IndexByte(")]}", c) >= 0 && depth > 0:
			depth--
		}
	}
	return 0, fmt.Errorf("%q is missing", closer)
}

// rawBlock is the text from pos to its endraw tag, and where that tag ends.
func rawBlock(src string, pos int) (string, int, bool) {
	for i := pos; ; i += 2 {
		n := strings.Index(src[i:], "{%")
		if n < 0 {
			return "", 0, false
		}
		i += n
		end := strings.Index(src[i+2:], "%}")
		if end < 0 {
			return "", 0, false
		}
		inner := src[i+2 : i+2+end]
		if strings.TrimSpace(strings.Trim(inner, "-+")) != "endraw" {
			continue
		}
		mark := inner[len(inner)-1]
		return leading(src[pos:i], "{%", inner, src[pos-1] == '\n'), after(src, i+2+end+2, "{%", mark), true
	}
}
