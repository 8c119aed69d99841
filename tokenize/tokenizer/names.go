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

// nameSlot holds a token of at most 8 bytes itself, and of others the hash, which
// spares most looks at the vocabulary.
type nameSlot struct {
	key   uint64
	size  int32 // bytes of the token
	place int32 // in tokens, and one more; 0: free
}

func newNames(tokens []token) *names {
	n := &names{tokens: tokens, slots: make([]nameSlot, 1<<bits.Len(uint(len(tokens)+len(tokens)/2))), seed: maphash.MakeSeed(), last: -1}
	for i, t := range tokens { // of tokens with one spelling the last counts
		key := n.key(t.s)
		*n.slot(t.s, key) = nameSlot{key, int32(len(t.s)), int32(i) + 1}
	}
	return n
}

// key is of at most 8 bytes all of them, with their number, else their hash.
func (n *names) key(s string) uint64 {
	switch k := len(s); {
	case k > 8:
		return maphash.String(n.seed, s)
	case k == 8:
		return load64(s)
	case k >= 4:
		return uint64(load32(s)) | uint64(load32(s[k-4:]))<<32
	case k > 0:
		return uint64(s[0]) | uint64(s[k/2])<<8 | uint64(s[k-1])<<16
	}
	return 0
}

func load32(s string) uint32 {
	_ = s[3]
	return uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24
}

func (n *names) slot(s string, key uint64) *nameSlot {
	high, low := bits.Mul64(key+uint64(len(s)), multiplier)
	for i := high ^ low; ; i++ {
		p := &n.slots[i&uint64(len(n.slots)-1)]
		if p.place == 0 || p.key == key && int(p.size) == len(s) && (len(s) <= 8 || n.tokens[p.place-1].s == s) {
			return p
		}
	}
}

func (n *names) get(s string) (int32, bool) {
	if p := n.slot(s, n.key(s)); p.place > 0 {
		return n.tokens[p.place-1].id, true
	}
	return -1, false
}

// joined looks up a and b as one. Merges in a row mostly make tokens in a row, or
// the same one of other parts.
func (n *names) joined(a, b string) (int32, bool) {
	for next := max(n.last, 0); next <= n.last+1 && next < len(n.tokens); next++ {
		t := &n.tokens[next]
		if len(t.s) == len(a)+len(b) && strings.HasPrefix(t.s, a) && strings.HasSuffix(t.s, b) {
			n.last = next
			return t.id, true
		}
	}
	n.buf = append(append(n.buf[:0], a...), b...)
	s := string(n.buf)
	p := n.slot(s, n.key(s))
	if p.place == 0 {
		return -1, false
	}
	n.last = int(p.place - 1)
	return n.tokens[n.last].id, true
}
