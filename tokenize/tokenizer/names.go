package tokenizer

import (
	"hash/maphash"
	"math/bits"
)

// names finds the tokens of a vocabulary. It is a map of its own because filling
// one of Go's takes a third of the time of loading.
type names struct {
	tokens []token
	slots  []int32 // one more than a place in tokens; 0: free
	seed   maphash.Seed
	buf    []byte
}

func newNames(tokens []token) *names {
	n := &names{tokens: tokens, slots: make([]int32, 1<<bits.Len(uint(2*len(tokens)))), seed: maphash.MakeSeed()}
	for i, t := range tokens { // of tokens with one spelling the last counts
		*n.slot(t.s) = int32(i) + 1
	}
	return n
}

func (n *names) slot(s string) *int32 {
	for i := maphash.String(n.seed, s); ; i++ {
		p := &n.slots[i&uint64(len(n.slots)-1)]
		if *p == 0 || n.tokens[*p-1].s == s {
			return p
		}
	}
}

func (n *names) get(s string) (int32, bool) {
	if i := *n.slot(s); i > 0 {
		return n.tokens[i-1].id, true
	}
	return -1, false
}

// joined looks up a and b as one.
func (n *names) joined(a, b string) (int32, bool) {
	n.buf = append(append(n.buf[:0], a...), b...)
	for i := maphash.Bytes(n.seed, n.buf); ; i++ {
		k := n.slots[i&uint64(len(n.slots)-1)]
		if k == 0 {
			return -1, false
		}
		if n.tokens[k-1].s == string(n.buf) {
			return n.tokens[k-1].id, true
		}
	}
}
