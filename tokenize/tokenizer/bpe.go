package tokenizer

import "strings"

// bpe merges the bytes of a word, the pair of lowest rank first (Sennrich et
// al. 2016; huggingface/tokenizers, models/bpe/word.rs).
type bpe struct {
	bytes        [256]int32 // the id of each single byte; -1: the vocabulary has none
	merges       map[uint64]merge
	words        map[string]int32 // by the bytes they spell, for ignoreMerges
	ignoreMerges bool
}

type merge struct{ rank, id int32 }

func pair(a, b int32) uint64 { return uint64(uint32(a))<<32 | uint64(uint32(b)) }

// encoder is the scratch memory of one Encode, and what it learned of words.
type encoder struct {
	known map[string]pieces
	sym   []symbol
	heap  []candidate
}

// pieces are a word's ids and where each one ends in it.
type pieces struct{ ids, ends []int32 }

const (
	maxKnown     = 1 << 14 // words in an encoder's cache
	maxKnownWord = 48      // bytes of a word that is worth a place there
)

// symbol is a part of the word; parts that were merged into the one before them
// have id -1.
type symbol struct{ id, prev, next, end int32 }

// candidate is a pair that may be merged: at the symbol `at`, into id.
type candidate struct {
	rank, at, id int32
	left, right  int32 // the ids that stood there, to see whether they still do
}

func (a candidate) before(b candidate) bool {
	return a.rank < b.rank || a.rank == b.rank && a.at < b.at
}

// word returns the pieces of one pre-token, which are the cache's: read only.
func (e *encoder) word(m *bpe, w string) pieces {
	if p, ok := e.known[w]; ok {
		return p
	}
	p := e.merge(m, w)
	if len(w) <= maxKnownWord {
		if len(e.known) >= maxKnown {
			clear(e.known)
		}
		e.known[strings.Clone(w)] = p
	}
	return p
}

// merge takes O(n log n): a heap of the pairs, a list of the symbols. A byte that
// the vocabulary does not have is left out, and its neighbours become neighbours,
// as Hugging Face does without an unk_token.
func (e *encoder) merge(m *bpe, w string) pieces {
	if m.ignoreMerges {
		if id, ok := m.words[w]; ok {
			return pieces{[]int32{id}, []int32{int32(len(w))}}
		}
	}
	e.sym, e.heap = e.sym[:0], e.heap[:0]
	for i := range len(w) {
		if id := m.bytes[w[i]]; id >= 0 {
			n := int32(len(e.sym))
			e.sym = append(e.sym, symbol{id, n - 1, n + 1, int32(i) + 1})
		}
	}
	left := len(e.sym)
	if left == 0 {
		return pieces{}
	}
	e.sym[left-1].next = -1
	for i := range left - 1 {
		e.offer(m, int32(i))
	}
	for len(e.heap) > 0 {
		c := e.pop()
		s := &e.sym[c.at]
		if s.id != c.left || s.next < 0 || e.sym[s.next].id != c.right {
			continue
		}
		gone := &e.sym[s.next]
		s.id, s.next, s.end = c.id, gone.next, gone.end
		gone.id = -1
		if s.next >= 0 {
			e.sym[s.next].prev = c.at
			e.offer(m, c.at)
		}
		if s.prev >= 0 {
			e.offer(m, s.prev)
		}
		left--
	}
	p := pieces{make([]int32, 0, left), make([]int32, 0, left)}
	for i := int32(0); i >= 0; i = e.sym[i].next {
		p.ids, p.ends = append(p.ids, e.sym[i].id), append(p.ends, e.sym[i].end)
	}
	return p
}

// offer puts the pair at symbol i on the heap if it may be merged.
func (e *encoder) offer(m *bpe, i int32) {
	s := e.sym[i]
	right := e.sym[s.next].id
	mg, ok := m.merges[pair(s.id, right)]
	if !ok {
		return
	}
	h := append(e.heap, candidate{mg.rank, i, mg.id, s.id, right})
	for k := len(h) - 1; k > 0; {
		up := (k - 1) / 2
		if !h[k].before(h[up]) {
			break
		}
		h[k], h[up] = h[up], h[k]
		k = up
	}
	e.heap = h
}

func (e *encoder) pop() candidate {
	h := e.heap
	top, last := h[0], len(h)-1
	h[0] = h[last]
	h = h[:last]
	for k := 0; ; {
		low := 2*k + 1
		if low >= len(h) {
			break
		}
		if low+1 < len(h) && h[low+1].before(h[low]) {
			low++
		}
		if !h[low].before(h[k]) {
			break
		}
		h[k], h[low] = h[low], h[k]
		k = low
	}
	e.heap = h
	return top
}
