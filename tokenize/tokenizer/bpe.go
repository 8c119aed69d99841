package tokenizer

import "unicode/utf8"

// bpe merges the parts of a word, the pair of lowest rank first (Sennrich et al.
// 2016; huggingface/tokenizers, models/bpe). The parts are bytes in a byte-level
// vocabulary, else characters, of which those that the vocabulary does not have
// are spelled in byte tokens (byte_fallback) or become the unknown token.
type bpe struct {
	byteLevel    bool
	bytes        [256]int32 // the byte's id in a byte-level vocabulary, else its byte token; -1: none
	ascii        [utf8.RuneSelf]int32
	runes        map[rune]int32
	fallback     bool
	unk          int32 // -1: none
	fuse         bool
	merges       *table
	names        *names // for ignore_merges
	ignoreMerges bool
	apart        *[128][128]bool // see partition; nil: words stay whole
}

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

func (m *bpe) tokenize(e *encoder, w string, out []piece) []piece {
	if m.ignoreMerges {
		if id, ok := m.whole(w); ok {
			return append(out, piece{id, 0, int32(len(w))})
		}
	}
	e.sym = e.sym[:0]
	if m.byteLevel {
		for i := range len(w) {
			if id := m.bytes[w[i]]; id >= 0 { // a byte that the vocabulary lacks is left out
				e.sym = append(e.sym, symbol{id: id, end: int32(i) + 1})
			}
		}
	} else {
		m.characters(e, w)
	}
	if len(e.sym) <= maxSmall {
		e.mergeSmall(m)
	} else {
		e.mergeLarge(m)
	}
	lo := int32(0)
	for _, s := range e.sym {
		if s.id >= 0 {
			out = append(out, piece{s.id, lo, s.end})
			lo = s.end
		}
	}
	return out
}

// whole looks a word up that is a token.
func (m *bpe) whole(w string) (int32, bool) {
	if !m.byteLevel {
		return m.names.get(w)
	}
	if len(w) > maxToken {
		return -1, false
	}
	b := make([]byte, 0, 2*maxToken)
	for i := range len(w) {
		b = utf8.AppendRune(b, byteToRune[w[i]])
	}
	return m.names.get(string(b))
}

// maxToken is more bytes than any token of a published vocabulary has.
const maxToken = 1 << 10

// characters makes the first symbols. The order of an unknown token that waits
// for others to join, and byte tokens after it, is Hugging Face's.
func (m *bpe) characters(e *encoder, w string) {
	waiting, end := int32(0), int32(0) // bytes of unknown characters; where the last symbol ends
	add := func(id, n int32) {
		end += n
		e.sym = append(e.sym, symbol{id: id, end: end})
	}
	for i := 0; i < len(w); {
		r, n := utf8.DecodeRuneInString(w[i:])
		id, ok := int32(-1), false
		if r < utf8.RuneSelf {
			id = m.ascii[r]
			ok = id >= 0
		} else {
			id, ok = m.runes[r]
		}
		if ok {
			if waiting > 0 {
				add(m.unk, waiting)
				waiting = 0
			}
			add(id, int32(n))
			i += n
			continue
		}
		if m.fallback {
			known := true
			for k := i; k < i+n; k++ {
				known = known && m.bytes[w[k]] >= 0
			}
			if known {
				for k := i; k < i+n; k++ {
					add(m.bytes[w[k]], 1)
				}
				i += n
				continue
			}
		}
		if m.unk >= 0 {
			if waiting > 0 && !m.fuse {
				add(m.unk, waiting)
				waiting = 0
			}
			waiting += int32(n)
		}
		i += n
	}
	if waiting > 0 {
		add(m.unk, waiting)
	}
}

// maxSmall is how many symbols are merged by looking at all of them each time.
const maxSmall = 32

// mergeSmall is quadratic, which is fastest for what most words are.
func (e *encoder) mergeSmall(m *bpe) {
	sym := e.sym
	var next [maxSmall]entry // of the pair at each symbol
	none := entry{rank: 1<<31 - 1}
	look := func(i int) entry {
		if p := m.merges.get(pair(sym[i].id, sym[i+1].id)); p != nil {
			return *p
		}
		return none
	}
	for i := 0; i+1 < len(sym); i++ {
		next[i] = look(i)
	}
	for len(sym) > 1 {
		best := 0
		for i := 1; i < len(sym)-1; i++ {
			if next[i].rank < next[best].rank {
				best = i
			}
		}
		if next[best].rank == none.rank {
			break
		}
		sym[best].id, sym[best].end = next[best].id, sym[best+1].end
		copy(sym[best+1:], sym[best+2:])
		copy(next[best+1:], next[best+2:len(sym)])
		sym = sym[:len(sym)-1]
		if best > 0 {
			next[best-1] = look(best - 1)
		}
		if best+1 < len(sym) {
			next[best] = look(best)
		}
	}
	e.sym = sym
}

// mergeLarge takes O(n log n): a heap of the pairs, a list of the symbols.
func (e *encoder) mergeLarge(m *bpe) {
	e.heap = e.heap[:0]
	last := int32(len(e.sym) - 1)
	for i := range e.sym {
		e.sym[i].prev, e.sym[i].next = int32(i)-1, int32(i)+1
	}
	e.sym[last].next = -1
	for i := range last {
		e.offer(m, i)
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
		if s.prev >= 0 {
			e.offer(m, s.prev)
		}
		if s.next >= 0 {
			e.sym[s.next].prev = c.at
			e.offer(m, c.at)
		}
	}
}

// offer puts the pair at symbol i on the heap if it may be merged.
func (e *encoder) offer(m *bpe, i int32) {
	s := e.sym[i]
	right := e.sym[s.next].id
	p := m.merges.get(pair(s.id, right))
	if p == nil {
		return
	}
	h := append(e.heap, candidate{p.rank, i, p.id, s.id, right})
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

// partition finds where a text without pre-tokenizer may be cut: between two
// characters that stand beside each other in no token that a merge makes, for no
// merge can join them. Characters are taken as ASCII, the space sign (as 0) and
// all others, U+0000 and U+0001 among them (as 1).
func (m *bpe) partition(spell []string) {
	made, merged := make([]bool, len(spell)), make([]bool, len(spell)) // by id: in their order the spellings lie in a row
	for _, e := range m.merges.entries {
		if e.key != 0 {
			a, b := e.pair()
			made[e.id], merged[a], merged[b] = true, true, true
		}
	}
	for id, s := range spell {
		if merged[id] && (int32(id) == m.unk || len(s) == 6 && s[:3] == "<0x") {
			return // such a symbol's characters are not the text's
		}
	}
	complete := m.fallback
	for c := range 256 {
		complete = complete && m.bytes[c] >= 0
	}
	apart := new([128][128]bool)
	for a := range apart {
		for b := range apart[a] {
			// An unknown token is complete before a character that is known.
			known := b > 1 && m.ascii[b] >= 0
			if b == 0 {
				_, known = m.runes[spaceSign]
			}
			apart[a][b] = complete || known
		}
	}
	for id, s := range spell {
		if !made[id] {
			continue
		}
		last := -1
		for _, r := range s {
			k := kind(r)
			if last >= 0 {
				apart[last][k] = false
			}
			last = k
		}
	}
	m.apart = apart
}

const spaceSign = '▁' // of SentencePiece

func kind(r rune) int {
	switch {
	case r == spaceSign:
		return 0
	case r >= utf8.RuneSelf || r < 2:
		return 1
	}
	return int(r)
}

// split cuts x.s[lo:hi] as partition says.
func (m *bpe) split(x *text, lo, hi int, emit func(x *text, lo, hi int)) {
	if m.ignoreMerges {
		if _, ok := m.whole(x.s[lo:hi]); ok {
			emit(x, lo, hi)
			return
		}
	}
	s := x.s[:hi]
	last := -1
	for i := lo; i < hi; {
		k, n := int(s[i]), 1
		if k < 2 {
			k = 1
		} else if k >= utf8.RuneSelf {
			k = 1
			if s[i] == 0xe2 && i+2 < hi && s[i+1] == 0x96 && s[i+2] == 0x81 {
				k = 0
			}
			for i+n < hi && s[i+n]&0xc0 == 0x80 {
				n++
			}
		}
		if last >= 0 && m.apart[last][k] {
			emit(x, lo, i)
			lo = i
		}
		last = k
		i += n
	}
	emit(x, lo, hi)
}
