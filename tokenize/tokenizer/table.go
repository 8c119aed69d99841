package tokenizer

import (
	"math/bits"
	"math/rand/v2"
)

// table is an open-addressing hash table from pairs of ids to what they become.
// It is filled once and then read.
type table struct {
	entries []entry
	shift   uint
	n       int
}

type entry struct {
	key      uint64 // and one, so that 0 is a free place
	rank, id int32
}

// multiplier is drawn anew in every process, so that no vocabulary can be made
// whose keys collide.
var multiplier = rand.Uint64() | 1

func pair(a, b int32) uint64 { return uint64(uint32(a))<<32 | uint64(uint32(b)) }

// pair is what the key is of.
func (e entry) pair() (a, b int32) { return int32((e.key - 1) >> 32), int32(uint32(e.key - 1)) }

// newTable has room for n keys.
func newTable(n int) *table {
	size := 1 << bits.Len(uint(n+n/2+1))
	return &table{entries: make([]entry, size), shift: uint(64 - bits.Len(uint(size-1)))}
}

func (t *table) at(key uint64) *entry {
	for i := (key * multiplier) >> t.shift; ; i = (i + 1) & uint64(len(t.entries)-1) {
		if e := &t.entries[i]; e.key == key || e.key == 0 {
			return e
		}
	}
}

// get is nil where there is none.
func (t *table) get(key uint64) *entry {
	if e := t.at(key + 1); e.key != 0 {
		return e
	}
	return nil
}

// put replaces what stands there.
func (t *table) put(key uint64, rank, id int32) {
	e := t.at(key + 1)
	if e.key == 0 {
		if 4*(t.n+1) > 3*len(t.entries) {
			bigger := newTable(2 * t.n)
			for _, old := range t.entries {
				if old.key != 0 {
					*bigger.at(old.key) = old
				}
			}
			bigger.n = t.n
			*t = *bigger
			e = t.at(key + 1)
		}
		t.n++
	}
	*e = entry{key + 1, rank, id}
}

// trie finds the tokens that text begins with.
type trie struct {
	edges *table
	ids   []int32 // of each node; -1: no token ends here
}

func newTrie(bytes int) *trie { return &trie{newTable(bytes / 2), []int32{-1}} }

func (t *trie) put(s string, id int32) {
	node := int32(0)
	for i := range len(s) {
		key := uint64(node)<<8 | uint64(s[i])
		e := t.edges.get(key)
		if e == nil {
			t.edges.put(key, 0, int32(len(t.ids)))
			node = int32(len(t.ids))
			t.ids = append(t.ids, -1)
			continue
		}
		node = e.id
	}
	t.ids[node] = id
}

// step is the node after c, or -1.
func (t *trie) step(node int32, c byte) int32 {
	if e := t.edges.get(uint64(node)<<8 | uint64(c)); e != nil {
		return e.id
	}
	return -1
}
