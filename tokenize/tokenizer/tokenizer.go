// Package tokenizer encodes text as Hugging Face tokenizers do, id for id, from
// tokenizer.json or the vocabulary of a GGUF. It knows byte-level BPE; another
// kind is refused by name, never approximated.
package tokenizer

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Tokenizer is ready for concurrent use.
type Tokenizer struct {
	json   []byte
	tokens [][]byte // the bytes each id spells; nil: no such id
	spell  []string // the vocabulary's own spelling
	ids    map[string]int32
	model  bpe
	added  []addedToken
	raw    matcher // added tokens that are matched before normalisation
	normed matcher // and after
	nfc    bool
	split  []splitter
	names  []string // of the splitters, for Fingerprint
	pool   sync.Pool
}

// Encoding is ids and the bytes [Starts[i], Ends[i]) of the text that each one
// stands for.
type Encoding struct{ IDs, Starts, Ends []int32 }

// Encode encodes text. Special tokens in it are recognised; no BOS and nothing
// of a post-processor is added. Text that is no valid UTF-8 is read as if each
// wrong byte were U+FFFD, and offsets then count in that text.
func (t *Tokenizer) Encode(text string) Encoding {
	if !utf8.ValidString(text) {
		text = strings.Map(func(r rune) rune { return r }, text) // wrong bytes become RuneError, which is U+FFFD
	}
	e := t.pool.Get().(*encoder)
	defer t.pool.Put(e)
	var out Encoding
	t.raw.each(text, func(lo, hi int, id int32) {
		if id >= 0 {
			out.add(id, lo, hi)
			return
		}
		piece, at := text[lo:hi], offsets{base: lo}
		if t.nfc && !norm.NFC.IsNormalString(piece) {
			piece, at = normalize(piece, lo)
		}
		t.normed.each(piece, func(lo, hi int, id int32) {
			if id >= 0 {
				out.add(id, at.start(lo), at.end(hi))
				return
			}
			t.pieces(piece, lo, hi, 0, func(lo, hi int) {
				p, start := e.word(&t.model, piece[lo:hi]), lo
				for i, id := range p.ids {
					end := lo + int(p.ends[i])
					out.add(id, at.start(start), at.end(end))
					start = end
				}
			})
		})
	})
	return out
}

func (o *Encoding) add(id int32, start, end int) {
	o.IDs = append(o.IDs, id)
	o.Starts = append(o.Starts, int32(start))
	o.Ends = append(o.Ends, int32(end))
}

// pieces cuts s[lo:hi] by each splitter in turn.
func (t *Tokenizer) pieces(s string, lo, hi, depth int, yield func(lo, hi int)) {
	if depth == len(t.split) {
		yield(lo, hi)
		return
	}
	for lo < hi {
		n := t.split[depth](s[lo:hi])
		t.pieces(s, lo, lo+n, depth+1, yield)
		lo += n
	}
}

// offsets maps positions in a normalised piece to the text. The zero map adds base.
type offsets struct {
	base         int
	starts, ends []int32 // for each byte, and one beyond
}

func (o offsets) start(i int) int {
	if o.starts == nil {
		return o.base + i
	}
	return int(o.starts[i])
}

func (o offsets) end(i int) int {
	if o.starts == nil {
		return o.base + i
	}
	return int(o.ends[i-1])
}

// Decode joins what the ids spell; ids that do not exist spell nothing.
func (t *Tokenizer) Decode(ids []int32) string {
	var b []byte
	for _, id := range ids {
		b = append(b, t.TokenBytes(id)...)
	}
	return string(b)
}

// TokenBytes is what id spells, which need not be whole characters; nil when
// there is no such id.
func (t *Tokenizer) TokenBytes(id int32) []byte {
	if id < 0 || int(id) >= len(t.tokens) {
		return nil
	}
	return t.tokens[id]
}

// VocabSize is one more than the largest id.
func (t *Tokenizer) VocabSize() int { return len(t.tokens) }

// ID looks a token up by the vocabulary's own spelling.
func (t *Tokenizer) ID(token string) (int32, bool) {
	id, ok := t.ids[token]
	return id, ok
}

// IsSpecial reports whether id is an added token that is marked special.
func (t *Tokenizer) IsSpecial(id int32) bool {
	return slices.ContainsFunc(t.added, func(a addedToken) bool { return a.ID == id && a.Special })
}

// JSON is the tokenizer.json that it was made from.
func (t *Tokenizer) JSON() []byte { return t.json }

// Fingerprint is "sha256:..." over what decides ids: tokens, merges, added
// tokens, normalizer and pre-tokenizer. The file's formatting does not count.
func (t *Tokenizer) Fingerprint() string {
	h := sha256.New()
	fmt.Fprintf(h, "nfc %v split %q ignore_merges %v\n", t.nfc, t.names, t.model.ignoreMerges)
	for id, s := range t.spell {
		if t.tokens[id] != nil {
			fmt.Fprintf(h, "token %d %q\n", id, s)
		}
	}
	pairs := make([][3]int64, 0, len(t.model.merges))
	for pair, m := range t.model.merges {
		pairs = append(pairs, [3]int64{int64(m.rank), int64(pair >> 32), int64(uint32(pair))})
	}
	slices.SortFunc(pairs, func(a, b [3]int64) int { return int(a[0] - b[0]) })
	for _, p := range pairs {
		fmt.Fprintf(h, "merge %d %d\n", p[1], p[2])
	}
	added := slices.Clone(t.added)
	slices.SortFunc(added, func(a, b addedToken) int { return int(a.ID - b.ID) })
	for _, a := range added {
		fmt.Fprintf(h, "added %+v\n", a)
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}
