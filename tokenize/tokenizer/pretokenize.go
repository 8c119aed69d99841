package tokenizer

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// splitter is a pre-tokenizer: it hands on the pieces of x.s[lo:hi], of x or of a
// text made from it (huggingface/tokenizers, pre_tokenizers/).
type splitter interface {
	split(x *text, lo, hi int, emit func(x *text, lo, hi int))
}

// readPreTokenizer appends what raw asks for; byteLevel says that ByteLevel was
// there, after which nothing may come.
func readPreTokenizer(field string, raw json.RawMessage, depth int, byteLevel *bool, out []splitter) ([]splitter, error) {
	if isNull(raw) {
		return out, nil
	}
	var p struct {
		Type           string
		PreTokenizers  []json.RawMessage
		Individual     bool  `json:"individual_digits"`
		AddPrefixSpace *bool `json:"add_prefix_space"`
		UseRegex       *bool `json:"use_regex"`
		Pattern        struct{ String, Regex *string }
		Behavior       string
		Invert         bool
		Replacement    string
		PrependScheme  *string `json:"prepend_scheme"`
		Split          *bool
	}
	if err := json.Unmarshal(raw, &p); err != nil {
		return nil, fmt.Errorf("tokenizer.json: %s: %w", field, err)
	}
	if *byteLevel {
		return nil, fmt.Errorf("tokenizer.json: %s: nothing may follow ByteLevel", field)
	}
	yes := func(b *bool) bool { return b == nil || *b }
	switch p.Type {
	case "Sequence":
		if depth >= maxNested {
			return nil, fmt.Errorf("tokenizer.json: %s: more than %d Sequences in each other", field, maxNested)
		}
		var err error
		for i, raw := range p.PreTokenizers {
			if out, err = readPreTokenizer(fmt.Sprintf("%s.pretokenizers[%d]", field, i), raw, depth+1, byteLevel, out); err != nil {
				return nil, err
			}
		}
		return out, nil
	case "ByteLevel":
		*byteLevel = true
		if yes(p.AddPrefixSpace) {
			out = append(out, prefixSpace{})
		}
		if yes(p.UseRegex) {
			out = append(out, scanner(scanGPT2))
		}
		return out, nil
	case "Digits":
		if p.Individual {
			return append(out, delimiter{is: isNumeric}), nil
		}
		return append(out, delimiter{is: isNumeric, how: contiguous}), nil
	case "Whitespace":
		return append(out, words{}), nil
	case "WhitespaceSplit":
		return append(out, delimiter{is: unicode.IsSpace, how: removed}), nil
	case "BertPreTokenizer":
		return append(out, delimiter{is: unicode.IsSpace, how: removed}, delimiter{is: isPunctuation}), nil
	case "Punctuation":
		how, err := readBehavior(field, p.Behavior)
		return append(out, delimiter{is: isPunctuation, how: how}), err
	case "Metaspace":
		r, n := utf8.DecodeRuneInString(p.Replacement)
		if n == 0 || n != len(p.Replacement) {
			return nil, fmt.Errorf("tokenizer.json: %s.replacement %q is no character", field, p.Replacement)
		}
		m := metaspace{r: r, scheme: "always", apart: yes(p.Split)}
		if p.PrependScheme != nil {
			m.scheme = *p.PrependScheme
		}
		if !yes(p.AddPrefixSpace) {
			m.scheme = "never"
		}
		if m.scheme != "always" && m.scheme != "first" && m.scheme != "never" {
			return nil, fmt.Errorf("tokenizer.json: %s.prepend_scheme %q is not known: always, first and never are", field, m.scheme)
		}
		return append(out, m), nil
	case "Split":
		return readSplit(field, p.Pattern.String, p.Pattern.Regex, p.Behavior, p.Invert, out)
	}
	return nil, fmt.Errorf("tokenizer.json: %s.type %q is not known: Sequence, ByteLevel, Digits, Split, Metaspace, Whitespace, WhitespaceSplit, BertPreTokenizer and Punctuation are", field, p.Type)
}

func readSplit(field string, literal, regex *string, behavior string, invert bool, out []splitter) ([]splitter, error) {
	how, err := readBehavior(field, behavior)
	if err != nil {
		return nil, err
	}
	switch {
	case literal != nil:
		if *literal == "" || invert {
			return nil, fmt.Errorf("tokenizer.json: %s: Split of %q with invert %v is not known", field, *literal, invert)
		}
		return append(out, literalSplit{*literal, how}), nil
	case regex == nil || patterns[*regex] == nil:
		pattern := "null"
		if regex != nil {
			pattern = fmt.Sprintf("%q", *regex)
		}
		return nil, fmt.Errorf("tokenizer.json: %s.pattern %s is not known: the published ones of GPT-2, cl100k, o200k, Llama 3, Qwen, Mistral Nemo and DeepSeek V3 are, to the letter", field, pattern)
	}
	// A pattern that matches every text whole may as well remove what it does not match.
	_, gaps := gappy[*regex]
	if how == isolated && !invert || how == removed && invert && !gaps {
		return append(out, patterns[*regex]), nil
	}
	return nil, fmt.Errorf("tokenizer.json: %s: Split by a Regex with behavior %q, invert %v is not known: Isolated is", field, behavior, invert)
}

// behavior is what happens to a delimiter (SplitDelimiterBehavior).
type behavior int

const (
	isolated behavior = iota
	removed
	mergedWithPrevious
	mergedWithNext
	contiguous
)

func readBehavior(field, s string) (behavior, error) {
	switch s {
	case "", "Isolated": // Isolated is what Punctuation does without one
		return isolated, nil
	case "Removed":
		return removed, nil
	case "MergedWithPrevious":
		return mergedWithPrevious, nil
	case "MergedWithNext":
		return mergedWithNext, nil
	case "Contiguous":
		return contiguous, nil
	}
	return 0, fmt.Errorf("tokenizer.json: %s.behavior %q is not known", field, s)
}

func (scan scanner) split(x *text, lo, hi int, emit func(x *text, lo, hi int)) {
	s := x.s[:hi]
	for lo < hi {
		end := scan(s, lo)
		emit(x, lo, end)
		lo = end
	}
}

// cut puts together stretches of text and delimiters as a behavior says. Stretches
// come in order and are not empty; a delimiter that joins another is not joined to.
type cut struct {
	x       *text
	how     behavior
	emit    func(x *text, lo, hi int)
	lo, hi  int  // not handed on yet
	waiting bool // it may still grow
	was     bool // it ends with (for MergedWithNext, is) a delimiter
}

func (c *cut) add(lo, hi int, delimiter bool) {
	join := false
	switch c.how {
	case removed:
		if !delimiter {
			c.emit(c.x, lo, hi)
		}
		return
	case isolated:
		c.emit(c.x, lo, hi)
		return
	case mergedWithPrevious:
		join = delimiter && !c.was
	case mergedWithNext:
		join = !delimiter && c.was
	case contiguous:
		join = delimiter == c.was
	}
	if c.waiting && !join {
		c.emit(c.x, c.lo, c.hi)
	}
	if !c.waiting || !join {
		c.lo = lo
	}
	c.hi, c.waiting, c.was = hi, true, delimiter
}

func (c *cut) done() {
	if c.waiting {
		c.emit(c.x, c.lo, c.hi)
	}
}

// delimiter splits at single characters.
type delimiter struct {
	is  func(r rune) bool
	how behavior
}

func (d delimiter) split(x *text, lo, hi int, emit func(x *text, lo, hi int)) {
	c := cut{x: x, how: d.how, emit: emit}
	done := lo
	for i := lo; i < hi; {
		r, n := utf8.DecodeRuneInString(x.s[i:hi])
		if d.is(r) {
			if done < i {
				c.add(done, i, false)
			}
			c.add(i, i+n, true)
			done = i + n
		}
		i += n
	}
	if done < hi {
		c.add(done, hi, false)
	}
	c.done()
}

// literalSplit splits at a string.
type literalSplit struct {
	s   string
	how behavior
}

func (d literalSplit) split(x *text, lo, hi int, emit func(x *text, lo, hi int)) {
	c := cut{x: x, how: d.how, emit: emit}
	for lo < hi {
		k := strings.Index(x.s[lo:hi], d.s)
		if k < 0 {
			c.add(lo, hi, false)
			break
		}
		if k > 0 {
			c.add(lo, lo+k, false)
		}
		c.add(lo+k, lo+k+len(d.s), true)
		lo += k + len(d.s)
	}
	c.done()
}

// words is Whitespace: \w+|[^\w\s]+, without what lies between.
type words struct{}

func (words) split(x *text, lo, hi int, emit func(x *text, lo, hi int)) {
	kind := func(r rune) int {
		switch {
		case isWord(r):
			return 1
		case unicode.IsSpace(r):
			return 2
		}
		return 3
	}
	for i, was := lo, 0; ; {
		r, n := utf8.DecodeRuneInString(x.s[i:hi])
		k := kind(r)
		if n == 0 || k != was {
			if lo < i && was != 2 {
				emit(x, lo, i)
			}
			lo, was = i, k
		}
		if n == 0 {
			return
		}
		i += n
	}
}

// prefixSpace is ByteLevel's add_prefix_space.
type prefixSpace struct{}

func (prefixSpace) split(x *text, lo, hi int, emit func(x *text, lo, hi int)) {
	if x.s[lo] == ' ' {
		emit(x, lo, hi)
		return
	}
	y := prepend(" ").normalize(x.slice(lo, hi))
	emit(&y, 0, len(y.s))
}

// metaspace writes spaces as another character, puts one before the text and
// splits before each.
type metaspace struct {
	r      rune
	scheme string // always, first, never
	apart  bool
}

func (m metaspace) split(x *text, lo, hi int, emit func(x *text, lo, hi int)) {
	y := x.slice(lo, hi)
	first := m.scheme == "first" && y.start(0) == 0
	by := string(m.r)
	y = replace{func(s string, i int) (int, int) {
		k := strings.IndexByte(s[i:], ' ')
		if k < 0 {
			return 0, 0
		}
		return i + k, i + k + 1
	}, by}.normalize(y)
	if (m.scheme == "always" || first) && !strings.HasPrefix(y.s, by) {
		y = prepend(by).normalize(y)
	}
	if m.apart {
		literalSplit{by, mergedWithNext}.split(&y, 0, len(y.s), emit)
	} else {
		emit(&y, 0, len(y.s))
	}
}
