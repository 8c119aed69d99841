package tokenizer

import "math/bits"

// table is an open-addressing hash table from pairs of ids to what they become.
// It is filled once and then read.
type table struct {
	entries []entry
	shift   uint
	n       int
}

type entry struct {
	key      uint64
	rank, id int32
}

const noKey = ^uint64(0)

func pair(a, b int32) uint64 { return uint64(uint32(a))<<32 | uint64(uint32(b)) }

// newTable has room for n keys.
func newTable(n int) *table {
	size := 1 << bits.Len(uint(2*n+1))
	t := &table{entries: make([]entry, size), shift: uint(64 - bits.Len(uint(size-1)))}
	for i := range t.entries {
		t.entries[i].key = noKey
	}
	return t
}

func (t *table) at(key uint64) *entry {
	for i := (key * 0x9e3779b97f4a7c15) >> t.shift; ; i = (i + 1) & uint64(len(t.entries)-1) {
		if e := &t.entries[i]; e.key == key || e.key == noKey {
			return e
		}
	}
}

// get is nil where there is none.
func (t *table) get(key uint64) *entry {
	if e := t.at(key); e.key == key {
		return e
	}
	return nil
}

// put replaces what stands there.
func (t *table) put(key uint64, rank, id int32) {
	if e := t.at(key); e.key == key {
		e.rank, e.id = rank, id
		return
	}
	if 2*(t.n+1) > len(t.entries) {
		bigger := newTable(2 * (t.n + 1))
		for _, e := range t.entries {
			if e.key != noKey {
				*bigger.at(e.key) = e
			}
		}
		bigger.n = t.n
		*t = *bigger
	}
	*t.at(key) = entry{key, rank, id}
	t.n++
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
