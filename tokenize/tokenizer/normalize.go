package tokenizer

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// normalizer is one of tokenizer.json's (huggingface/tokenizers, normalizers/).
type normalizer interface{ normalize(x text) text }

// maxNested bounds Sequences in Sequences.
const maxNested = 16

// readNormalizer appends what raw asks for.
func readNormalizer(field string, raw json.RawMessage, depth int, out []normalizer) ([]normalizer, error) {
	if isNull(raw) {
		return out, nil
	}
	var n struct {
		Type        string
		Normalizers []json.RawMessage
		Prepend     string
		Pattern     struct{ String, Regex *string }
		Content     string
		StripLeft   *bool  `json:"strip_left"`
		StripRight  *bool  `json:"strip_right"`
		CharsMap    []byte `json:"precompiled_charsmap"` // base64
		CleanText   bool   `json:"clean_text"`
		Chinese     bool   `json:"handle_chinese_chars"`
		Accents     *bool  `json:"strip_accents"`
		Lower       bool   `json:"lowercase"`
	}
	if err := json.Unmarshal(raw, &n); err != nil {
		return nil, fmt.Errorf("tokenizer.json: %s: %w", field, err)
	}
	if f, ok := forms[n.Type]; ok {
		return append(out, f), nil
	}
	switch n.Type {
	case "Sequence":
		if depth >= maxNested {
			return nil, fmt.Errorf("tokenizer.json: %s: more than %d Sequences in each other", field, maxNested)
		}
		var err error
		for i, raw := range n.Normalizers {
			if out, err = readNormalizer(fmt.Sprintf("%s.normalizers[%d]", field, i), raw, depth+1, out); err != nil {
				return nil, err
			}
		}
		return out, nil
	case "Lowercase":
		return append(out, lowercase{}), nil
	case "StripAccents":
		return append(out, filter{isCombining}), nil
	case "Strip":
		yes := func(b *bool) bool { return b == nil || *b }
		return append(out, strip{yes(n.StripLeft), yes(n.StripRight)}), nil
	case "Prepend":
		return append(out, prepend(n.Prepend)), nil
	case "Replace":
		find, err := finder(field, n.Pattern.String, n.Pattern.Regex)
		if err != nil {
			return nil, err
		}
		return append(out, replace{find, n.Content}), nil
	case "Precompiled":
		p, err := readPrecompiled(n.CharsMap)
		if err != nil {
			return nil, fmt.Errorf("tokenizer.json: %s.precompiled_charsmap: %w", field, err)
		}
		return append(out, p), nil
	case "BertNormalizer":
		accents := n.Lower
		if n.Accents != nil {
			accents = *n.Accents
		}
		if n.CleanText {
			out = append(out, filter{isControl}, blank{})
		}
		if n.Chinese {
			out = append(out, chinese{})
		}
		if accents {
			out = append(out, forms["NFD"], filter{isNonspacing})
		}
		if n.Lower {
			out = append(out, lowercase{})
		}
		return out, nil
	}
	return nil, fmt.Errorf("tokenizer.json: %s.type %q is not known: Sequence, NFC, NFD, NFKC, NFKD, Lowercase, StripAccents, Strip, Prepend, Replace, Precompiled and BertNormalizer are", field, n.Type)
}

// finder returns the next match in s from i on; lo == hi: there is none.
func finder(field string, literal, regex *string) (func(s string, i int) (lo, hi int), error) {
	switch {
	case literal != nil && *literal != "":
		return func(s string, i int) (int, int) {
			k := strings.Index(s[i:], *literal)
			if k < 0 {
				return 0, 0
			}
			return i + k, i + k + len(*literal)
		}, nil
	case regex != nil && (*regex == " {2,}" || *regex == `\s+`):
		least, is := 1, unicode.IsSpace
		if *regex == " {2,}" {
			least, is = 2, func(r rune) bool { return r == ' ' }
		}
		return func(s string, i int) (int, int) {
			for {
				k := strings.IndexFunc(s[i:], is)
				if k < 0 {
					return 0, 0
				}
				lo := i + k
				n := 0
				for i = lo; i < len(s); n++ {
					r, m := utf8.DecodeRuneInString(s[i:])
					if !is(r) {
						break
					}
					i += m
				}
				if n >= least {
					return lo, i
				}
			}
		}, nil
	case regex != nil:
		return nil, fmt.Errorf("tokenizer.json: %s.pattern.Regex %q is not known: %q and %q are", field, *regex, " {2,}", `\s+`)
	}
	return nil, fmt.Errorf("tokenizer.json: %s.pattern is empty", field)
}

type lowercase struct{}

func (lowercase) normalize(x text) text {
	same := true
	for _, r := range x.s {
		if a, _ := lowered(r); a != r {
			same = false
			break
		}
	}
	if same {
		return x
	}
	changes := make([]change, 0, len(x.s))
	for _, r := range x.s {
		a, b := lowered(r)
		changes = append(changes, change{a, 0})
		if b != 0 {
			changes = append(changes, change{b, 1})
		}
	}
	return x.transform(changes, 0)
}

// filter removes characters.
type filter struct{ gone func(r rune) bool }

func (f filter) normalize(x text) text {
	if strings.IndexFunc(x.s, f.gone) < 0 {
		return x
	}
	changes := make([]change, 0, len(x.s))
	first := 0
	for _, r := range x.s {
		switch {
		case !f.gone(r):
			changes = append(changes, change{r, 0})
		case len(changes) == 0:
			first++
		default:
			changes[len(changes)-1].by--
		}
	}
	return x.transform(changes, first)
}

// blank makes every white space a space, as BertNormalizer does.
type blank struct{}

func (blank) normalize(x text) text {
	changes := make([]change, 0, len(x.s))
	for _, r := range x.s {
		if unicode.IsSpace(r) {
			r = ' '
		}
		changes = append(changes, change{r, 0})
	}
	return x.transform(changes, 0)
}

// chinese puts spaces around ideographs, as BertNormalizer does.
type chinese struct{}

var ideographs = ranges{
	{0x3400, 0x4dbf}, {0x4e00, 0x9fff}, {0xf900, 0xfaff}, {0x20000, 0x2a6df}, {0x2a700, 0x2b73f},
	{0x2b740, 0x2b81f}, {0x2b920, 0x2ceaf}, {0x2f800, 0x2fa1f},
}

func (chinese) normalize(x text) text {
	if strings.IndexFunc(x.s, ideographs.has) < 0 {
		return x
	}
	changes := make([]change, 0, len(x.s))
	for _, r := range x.s {
		if ideographs.has(r) {
			changes = append(changes, change{' ', 0}, change{r, 1}, change{' ', 1})
		} else {
			changes = append(changes, change{r, 0})
		}
	}
	return x.transform(changes, 0)
}

type strip struct{ left, right bool }

func (n strip) normalize(x text) text {
	lo, hi := 0, len(x.s)
	if n.left {
		lo = len(x.s) - len(strings.TrimLeftFunc(x.s, unicode.IsSpace))
	}
	if n.right {
		hi = max(lo, len(strings.TrimRightFunc(x.s, unicode.IsSpace)))
	}
	return x.slice(lo, hi)
}

// prepend puts a string before text that is not empty; it points to the first
// character.
type prepend string

func (n prepend) normalize(x text) text {
	if x.s == "" || n == "" {
		return x
	}
	b := newBuilder(len(x.s) + len(n))
	start, end := x.start(0), x.end(1)
	for _, r := range n {
		b.add(r, start, end)
	}
	b.keep(&x, 0, len(x.s))
	return b.text()
}

type replace struct {
	find func(s string, i int) (lo, hi int)
	by   string
}

func (n replace) normalize(x text) text {
	lo, hi := n.find(x.s, 0)
	if lo == hi {
		return x
	}
	b := newBuilder(len(x.s) + len(x.s)/2)
	done := 0
	for lo < hi {
		b.keep(&x, done, lo)
		b.insert(n.by, &x, hi)
		done = hi
		lo, hi = n.find(x.s, hi)
	}
	b.keep(&x, done, len(x.s))
	return b.text()
}
