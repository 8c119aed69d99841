package tokenizer

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// Difference is an id that stands for one token in a tokenizer A and for another in B.
type Difference struct {
	ID   int32  // the first such id
	A, B string // its tokens, quoted, or "no token"
	N    int    // number of such ids
}

// CompareIDs tells whether what was encoded by a may be read as b's: every id has to
// have the same spelling in both and to stand for the same bytes. nil: no id differs.
//
// How texts are cut (merges, scores, normalizer, pre-tokenizer, which tokens are
// matched first or are special) decides which ids a text gets, not what an id stands
// for, and is not looked at. The fillers of a GGUF stand for nothing, as ids without
// a token do.
func CompareIDs(a, b *Tokenizer) *Difference {
	var d *Difference
	for id := range int32(max(len(a.spell), len(b.spell))) {
		if a.vacant(id) && b.vacant(id) || a.spelling(id) == b.spelling(id) && bytes.Equal(a.TokenBytes(id), b.TokenBytes(id)) {
			continue
		}
		if d == nil {
			d = &Difference{ID: id, A: a.quote(id), B: b.quote(id)}
			if d.A == d.B { // such as "a" and "<0x61>"
				d.A, d.B = quote(a.spelling(id)), quote(b.spelling(id))
			}
		}
		d.N++
	}
	return d
}

// spelling is the vocabulary's own of id, "" where there is none.
func (t *Tokenizer) spelling(id int32) string {
	if int(id) >= len(t.spell) {
		return ""
	}
	return t.spell[id]
}

// quote shows what id stands for.
func (t *Tokenizer) quote(id int32) string {
	if b := t.TokenBytes(id); b != nil {
		return quote(string(b))
	}
	return "no token"
}

// quote shows s, of long ones the beginning and the length.
func quote(s string) string {
	if len(s) <= 80 {
		return strconv.Quote(s)
	}
	return fmt.Sprintf("%.40q... (%d bytes)", s, len(s))
}

// vacant reports whether id has no token, or has what llama.cpp's converter fills a
// vocabulary up with to the rows of the embeddings: [PAD7] and so on, numbered by id
// or from 1 (conversion/base.py).
func (t *Tokenizer) vacant(id int32) bool {
	if int(id) >= len(t.spell) || !t.known[id] {
		return true
	}
	s := t.spell[id]
	if _, added := t.more[s]; added {
		return false
	}
	n, begins := strings.CutPrefix(s, "[PAD")
	n, ends := strings.CutSuffix(n, "]")
	return begins && ends && n != "" && strings.Trim(n, "0123456789") == ""
}
