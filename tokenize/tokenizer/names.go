package tokenizer

import (
	"hash/maphash"
	"math/bits"
	"strings"
)

// names finds the tokens of a vocabulary. It is a map of its own because filling
// one of Go's takes a third of the time of loading.
type names struct {
	tokens []token
	slots  []nameSlot
	seed   maphash.Seed
	buf    []byte
	last   int // the place of what joined found
}

// nameSlot keeps a part of the hash, which spares most looks at other tokens.
type nameSlot struct {
	hash  uint32
	place int32 // in tokens, and one more; 0: free
}

func newNames(tokens []token) *names {
	n := &names{tokens: tokens, slots: make([]nameSlot, 1<<bits.Len(uint(2*len(tokens)))), seed: maphash.MakeSeed(), last: -1}
	for i, t := range tokens { // of tokens with one spelling the last counts
		h := maphash.String(n.seed, t.s)
		*n.slot(t.s, h) = nameSlot{uint32(h >> 32), int32(i) + 1}
	}
	return n
}

func (n *names) slot(s string, h uint64) *nameSlot {
	for i := h; ; i++ {
		p := &n.slots[i&uint64(len(n.slots)-1)]
		if p.place == 0 || p.hash == uint32(h>>32) && n.tokens[p.place-1].s == s {
			return p
		}
	}
}

func (n *names) get(s string) (int32, bool) {
	if p := n.slot(s, maphash.String(n.seed, s)); p.place > 0 {
		return n.tokens[p.place-1].id, true
	}
	return -1, false
}

// joined looks up a and b as one. Merges in a row mostly make tokens in a row.
func (n *names) joined(a, b string) (int32, bool) {
	if next := n.last + 1; next < len(n.tokens) {
		t := &n.tokens[next]
		if len(t.s) == len(a)+len(b) && strings.HasPrefix(t.s, a) && strings.HasSuffix(t.s, b) {
			n.last = next
			return t.id, true
		}
	}
	n.buf = append(append(n.buf[:0], a...), b...)
	h := maphash.Bytes(n.seed, n.buf)
	for i := h; ; i++ {
		p := n.slots[i&uint64(len(n.slots)-1)]
		if p.place == 0 {
			return -1, false
		}
		if p.hash == uint32(h>>32) && n.tokens[p.place-1].s == string(n.buf) {
			n.last = int(p.place - 1)
			return n.tokens[n.last].id, true
		}
	}
}
