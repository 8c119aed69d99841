// Package tokenizer encodes text as Hugging Face tokenizers do, id for id and
// offset for offset, from tokenizer.json or the vocabulary of a GGUF: BPE on bytes
// and on characters, Unigram and WordPiece. What it does not know is refused by
// name, never approximated.
package tokenizer

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
)

// Tokenizer is ready for concurrent use.
type Tokenizer struct {
	json        string
	spell       []string         // the vocabulary's own spelling of each id
	known       []bool           // whether there is such an id
	names       *names           // of the model's vocabulary
	more        map[string]int32 // of the added tokens
	added       []addedToken
	special     map[int32]bool
	written     map[int32]string // normalised spelling of added tokens that have another
	raw         matcher          // added tokens that are matched before normalisation
	normed      matcher          // and after
	normalizers []normalizer
	splitters   []splitter
	byteLevel   bool
	model       model
	decoders    []decoder
	post        []postProcessor
	pool        sync.Pool
}

// Encoding is ids and the bytes [Starts[i], Ends[i]) of the text that each one
// comes from. A token of some bytes of a character has all of the character's, as
// in Hugging Face's library, so that neighbours may overlap.
type Encoding struct{ IDs, Starts, Ends []int32 }

// Encode encodes text as Hugging Face's encode does with add_special_tokens=False:
// special tokens in the text are recognised, none are added. A byte that is no
// UTF-8 is read as U+FFFD; offsets count in the text as it was given.
func (t *Tokenizer) Encode(s string) Encoding { return t.encode(s, false) }

// EncodeSpecial is Encode with the special tokens of the post-processor, such as a
// BOS; they have the offsets 0, 0.
func (t *Tokenizer) EncodeSpecial(s string) Encoding { return t.encode(s, true) }

func (t *Tokenizer) encode(s string, special bool) Encoding {
	x := text{s: s}
	if !utf8.ValidString(s) {
		x = repaired(s)
	}
	e := t.pool.Get().(*encoder)
	defer t.pool.Put(e)
	e.out.IDs, e.out.Starts, e.out.Ends = e.out.IDs[:0], e.out.Starts[:0], e.out.Ends[:0]
	t.raw.each(x.s, func(lo, hi int, id int32) {
		if id >= 0 {
			e.out.add(id, x.start(lo), x.end(hi))
			return
		}
		y := t.normalize(x.slice(lo, hi))
		t.normed.each(y.s, func(lo, hi int, id int32) {
			if id >= 0 {
				e.out.add(id, y.start(lo), y.end(hi))
				return
			}
			z := y.slice(lo, hi)
			t.split(e, 0, &z, 0, hi-lo)
		})
	})
	out := &e.out
	for _, p := range t.post {
		p.process(t, s, out, special)
	}
	n := len(out.IDs)
	all := make([]int32, 3*n)
	copy(all, out.IDs)
	copy(all[n:], out.Starts)
	copy(all[2*n:], out.Ends)
	return Encoding{all[:n:n], all[n : 2*n : 2*n], all[2*n:]}
}

func (t *Tokenizer) normalize(x text) text {
	for _, n := range t.normalizers {
		x = n.normalize(x)
	}
	return x
}

// split hands x.s[lo:hi], which is not empty, to the splitters from k on and then to the model.
func (t *Tokenizer) split(e *encoder, k int, x *text, lo, hi int) {
	if k == len(t.splitters) {
		e.word(t.model, x, lo, hi)
		return
	}
	if scan, ok := t.splitters[k].(scanner); ok && k == len(t.splitters)-1 {
		for s := x.s[:hi]; lo < hi; { // what scanner.split does, for speed
			end := scan(s, lo)
			e.word(t.model, x, lo, end)
			lo = end
		}
		return
	}
	t.splitters[k].split(x, lo, hi, func(x *text, lo, hi int) { t.split(e, k+1, x, lo, hi) })
}

// VocabSize is one more than the largest id.
func (t *Tokenizer) VocabSize() int { return len(t.spell) }

// ID looks a token up by the vocabulary's own spelling.
func (t *Tokenizer) ID(token string) (int32, bool) {
	if id, ok := t.more[token]; ok {
		return id, true
	}
	return t.names.get(token)
}

// IsSpecial reports whether id is an added token that is marked special.
func (t *Tokenizer) IsSpecial(id int32) bool { return t.special[id] }

// JSON is the tokenizer.json that it was made from.
func (t *Tokenizer) JSON() []byte { return []byte(t.json) }

// Fingerprint is "sha256:..." over what decides ids: tokens, merges, scores, added
// tokens, normalizer and pre-tokenizer. The file's formatting does not count.
func (t *Tokenizer) Fingerprint() string {
	f, err := readFile(t.json)
	if err != nil {
		panic("tokenizer: the tokenizer.json was read before: " + err.Error())
	}
	h := sha256.New()
	for _, raw := range []json.RawMessage{f.normalizer, f.preTokenizer} {
		var v any
		if len(raw) > 0 && json.Unmarshal(raw, &v) != nil {
			panic("tokenizer: the tokenizer.json was read before")
		}
		sorted, _ := json.Marshal(v)
		fmt.Fprintf(h, "%s\n", sorted)
	}
	model, _ := json.Marshal(f.model)
	fmt.Fprintf(h, "%s\n", model)
	slices.SortFunc(f.vocab, func(a, b token) int { return int(a.id) - int(b.id) })
	for _, v := range f.vocab {
		fmt.Fprintf(h, "token %d %q %v\n", v.id, v.s, v.score)
	}
	for _, p := range f.merges {
		fmt.Fprintf(h, "merge %d %d\n", p[0], p[1])
	}
	slices.SortStableFunc(f.added, func(a, b addedToken) int { return int(a.ID) - int(b.ID) })
	for _, a := range f.added {
		fmt.Fprintf(h, "added %+v\n", a)
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

// Decode joins what the ids spell; ids that do not exist spell nothing.
func (t *Tokenizer) Decode(ids []int32) string {
	var b strings.Builder
	for _, id := range ids {
		b.Write(t.TokenBytes(id))
	}
	return b.String()
}

// TokenBytes is what id spells inside a text, which need not be whole characters;
// nil when there is no such id.
func (t *Tokenizer) TokenBytes(id int32) []byte {
	if id < 0 || int(id) >= len(t.spell) || !t.known[id] {
		return nil
	}
	s := t.spell[id]
	if _, ok := t.more[s]; ok && t.more[s] == id {
		return []byte(s)
	}
	if t.byteLevel {
		if b, ok := spelled(make([]byte, 0, len(s)), s); ok {
			return b
		}
		return []byte(s) // special tokens stand in the vocabulary as they are
	}
	for _, d := range t.decoders {
		if _, ok := d.(byteFallback); ok {
			if c, ok := byteToken(s); ok {
				return []byte{c}
			}
		}
	}
	const before = "a" // no decoder takes the token for the first
	joined := strings.Join(t.runDecoders([]string{before, s}), "")
	return append([]byte{}, strings.TrimPrefix(joined, before)...)
}
