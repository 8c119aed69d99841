package tokenizer

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// decoder changes the spelling of a list of tokens to their text
// (huggingface/tokenizers, decoders/).
type decoder interface {
	decode(tokens []string) []string
}

func readDecoder(field string, raw json.RawMessage, depth int, out []decoder) ([]decoder, error) {
	if isNull(raw) {
		return out, nil
	}
	var d struct {
		Type          string
		Decoders      []json.RawMessage
		Pattern       struct{ String, Regex *string }
		Content       string
		Start, Stop   int
		Replacement   string
		PrependScheme *string `json:"prepend_scheme"`
		AddPrefix     *bool   `json:"add_prefix_space"`
		Prefix        *string
		Suffix        *string
		Cleanup       *bool
	}
	if err := json.Unmarshal(raw, &d); err != nil {
		return nil, fmt.Errorf("tokenizer.json: %s: %w", field, err)
	}
	yes := func(b *bool) bool { return b == nil || *b }
	switch d.Type {
	case "Sequence":
		if depth >= maxNested {
			return nil, fmt.Errorf("tokenizer.json: %s: more than %d Sequences in each other", field, maxNested)
		}
		var err error
		for i, raw := range d.Decoders {
			if out, err = readDecoder(fmt.Sprintf("%s.decoders[%d]", field, i), raw, depth+1, out); err != nil {
				return nil, err
			}
		}
		return out, nil
	case "ByteLevel":
		return append(out, byteLevel{}), nil
	case "ByteFallback":
		return append(out, byteFallback{}), nil
	case "Fuse":
		return append(out, fuse{}), nil
	case "Metaspace":
		first := yes(d.AddPrefix) && (d.PrependScheme == nil || *d.PrependScheme != "never")
		return append(out, metaspaceDecoder{d.Replacement, first}), nil
	case "WordPiece":
		w := wordPieceDecoder{"##", yes(d.Cleanup)}
		if d.Prefix != nil {
			w.prefix = *d.Prefix
		}
		return append(out, w), nil
	case "BPEDecoder":
		if d.Suffix == nil {
			return append(out, suffixDecoder("</w>")), nil
		}
		return append(out, suffixDecoder(*d.Suffix)), nil
	case "Replace":
		find, err := finder(field, d.Pattern.String, d.Pattern.Regex)
		if err != nil {
			return nil, err
		}
		return append(out, replace{find, d.Content}), nil
	case "Strip":
		r, n := utf8.DecodeRuneInString(d.Content)
		if n == 0 || n != len(d.Content) || d.Start < 0 || d.Stop < 0 {
			return nil, fmt.Errorf("tokenizer.json: %s: Strip of %d and %d times %q is not possible", field, d.Start, d.Stop, d.Content)
		}
		return append(out, stripDecoder{string(r), d.Start, d.Stop}), nil
	}
	return nil, fmt.Errorf("tokenizer.json: %s.type %q is not known: Sequence, ByteLevel, ByteFallback, Fuse, Metaspace, WordPiece, BPEDecoder, Replace and Strip are", field, d.Type)
}

// Detokenize is Hugging Face's decode: the text that the ids make by the file's
// decoder, with or without special tokens. Other than Decode it may drop the space
// that a text began with, and bytes that are no UTF-8 become U+FFFD.
func (t *Tokenizer) Detokenize(ids []int32, skipSpecial bool) string {
	var tokens []string
	for _, id := range ids {
		if id >= 0 && int(id) < len(t.spell) && t.known[id] && !(skipSpecial && t.special[id]) {
			s := t.spell[id]
			if n, ok := t.written[id]; ok {
				s = n
			}
			tokens = append(tokens, s)
		}
	}
	if len(t.decoders) == 0 {
		return strings.Join(tokens, " ")
	}
	return strings.Join(t.runDecoders(tokens), "")
}

func (t *Tokenizer) runDecoders(tokens []string) []string {
	for _, d := range t.decoders {
		tokens = d.decode(tokens)
	}
	return tokens
}

// each changes every token by itself.
func each(tokens []string, f func(i int, s string) string) []string {
	out := make([]string, len(tokens))
	for i, s := range tokens {
		out[i] = f(i, s)
	}
	return out
}

type byteLevel struct{}

func (byteLevel) decode(tokens []string) []string {
	var all []byte
	for _, s := range tokens {
		n := len(all)
		b, ok := spelled(all, s)
		if !ok {
			b = append(all[:n], s...)
		}
		all = b
	}
	return []string{lossy(all)}
}

// lossy puts one U+FFFD for each longest part of b that could have begun a
// character (Rust's String::from_utf8_lossy; the Unicode Standard, section 3.9).
func lossy(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	var out []byte
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 {
			for n = 1; n < len(b) && n < 4 && begins(b[:n+1]); n++ {
			}
		}
		out = utf8.AppendRune(out, r)
		b = b[n:]
	}
	return string(out)
}

// begins reports whether bytes that are no character can become one.
func begins(b []byte) bool {
	for _, rest := range []string{"\x80", "\x80\x80", "\x90\x80", "\xa0", "\x80\x80\x80"} {
		if r, n := utf8.DecodeRune(append(b[:len(b):len(b)], rest...)); r != utf8.RuneError && n > len(b) {
			return true
		}
	}
	return false
}

type byteFallback struct{}

// byteToken is the byte of <0x00> to <0xFF>.
func byteToken(s string) (byte, bool) {
	if len(s) != 6 || s[:3] != "<0x" || s[5] != '>' {
		return 0, false
	}
	c, err := strconv.ParseUint(s[3:5], 16, 8)
	return byte(c), err == nil
}

func (byteFallback) decode(tokens []string) []string {
	var out []string
	var run []byte
	flush := func() {
		switch {
		case utf8.Valid(run):
			if len(run) > 0 {
				out = append(out, string(run))
			}
		default:
			for range run {
				out = append(out, "\ufffd")
			}
		}
		run = run[:0]
	}
	for _, s := range tokens {
		if c, ok := byteToken(s); ok {
			run = append(run, c)
			continue
		}
		flush()
		out = append(out, s)
	}
	flush()
	return out
}

type fuse struct{}

func (fuse) decode(tokens []string) []string { return []string{strings.Join(tokens, "")} }

type metaspaceDecoder struct {
	by    string
	first bool // the text began with one that was put there
}

func (d metaspaceDecoder) decode(tokens []string) []string {
	return each(tokens, func(i int, s string) string {
		if i == 0 && d.first {
			return strings.ReplaceAll(s, d.by, "")
		}
		return strings.ReplaceAll(s, d.by, " ")
	})
}

type wordPieceDecoder struct {
	prefix  string
	cleanup bool
}

// cleanups are applied one after the other.
var cleanups = [][2]string{
	{" .", "."}, {" ?", "?"}, {" !", "!"}, {" ,", ","}, {" ' ", "'"}, {" n't", "n't"}, {" 'm", "'m"},
	{" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"},
}

func (d wordPieceDecoder) decode(tokens []string) []string {
	return each(tokens, func(i int, s string) string {
		if i > 0 {
			if rest, ok := strings.CutPrefix(s, d.prefix); ok {
				s = rest
			} else {
				s = " " + s
			}
		}
		if d.cleanup {
			for _, c := range cleanups {
				s = strings.ReplaceAll(s, c[0], c[1])
			}
		}
		return s
	})
}

type suffixDecoder string

func (d suffixDecoder) decode(tokens []string) []string {
	return each(tokens, func(i int, s string) string {
		if i == len(tokens)-1 {
			return strings.ReplaceAll(s, string(d), "")
		}
		return strings.ReplaceAll(s, string(d), " ")
	})
}

func (n replace) decode(tokens []string) []string {
	return each(tokens, func(_ int, s string) string { return n.normalize(text{s: s}).s })
}

type stripDecoder struct {
	by          string
	start, stop int
}

func (d stripDecoder) decode(tokens []string) []string {
	return each(tokens, func(_ int, s string) string {
		for k := 0; k < d.start && strings.HasPrefix(s, d.by); k++ {
			s = s[len(d.by):]
		}
		for k := 0; k < d.stop && strings.HasSuffix(s, d.by); k++ {
			s = s[:len(s)-len(d.by)]
		}
		return s
	})
}
