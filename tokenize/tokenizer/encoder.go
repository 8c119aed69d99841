package tokenizer

import (
	"encoding/binary"
	"math/bits"
	"strings"
)

// piece is a token of a word and the word's bytes that it stands for.
type piece struct{ id, lo, hi int32 }

// model turns a word into pieces, which it appends.
type model interface {
	tokenize(e *encoder, w string, out []piece) []piece
}

// encoder is the scratch memory of one Encode, and what it learned of words.
type encoder struct {
	out   Encoding
	cache cache
	sym   []symbol
	heap  []candidate
	best  []node
}

func (o *Encoding) add(id, start, end int32) {
	o.IDs, o.Starts, o.Ends = append(o.IDs, id), append(o.Starts, start), append(o.Ends, end)
}

// word encodes x.s[lo:hi], which is not empty.
func (e *encoder) word(m model, x *text, lo, hi int) {
	for _, p := range e.pieces(m, x.s, lo, hi) {
		i, k := lo+int(p.lo), lo+int(p.hi)
		if x.starts == nil && x.s[i]&0xc0 != 0x80 && (k == len(x.s) || x.s[k]&0xc0 != 0x80) {
			e.out.add(p.id, int32(x.base+i), int32(x.base+k))
		} else {
			e.out.add(p.id, x.start(i), x.end(k))
		}
	}
}

// cache remembers words. Those of at most 16 bytes, which are most, stand in a
// table of their own bytes; longer ones in a map. It starts anew when it is full.
type cache struct {
	slots  []slot
	used   int
	pieces []piece
	long   map[string][]piece
	free   []piece // for words that are not remembered
}

type slot struct {
	a, b    uint64 // the bytes
	at      uint32 // where its pieces begin
	n, size uint8  // how many, and the length of the word; 0: free
}

const (
	cacheSlots  = 1 << 15
	cacheProbes = 16
	cacheLong   = 1 << 12
	cacheBytes  = 64 // of a word that is worth a place in the map
)

// pieces are the cache's: read only, until the next call.
func (e *encoder) pieces(m model, s string, lo, hi int) []piece {
	c := &e.cache
	n := hi - lo
	if n > 16 {
		return e.long(m, s[lo:hi])
	}
	var a, b uint64
	if lo+16 <= len(s) {
		a, b = load64(s[lo:]), load64(s[lo+8:])
		if n < 8 {
			a, b = a&(1<<(8*n)-1), 0
		} else {
			b &= 1<<(8*(n-8)) - 1
		}
	} else {
		var w [16]byte
		copy(w[:], s[lo:hi])
		a, b = binary.LittleEndian.Uint64(w[:]), binary.LittleEndian.Uint64(w[8:])
	}
	h1, h2 := bits.Mul64(a^0x9e3779b97f4a7c15, b^0xd1342543de82ef95^uint64(n))
	first := (h1 ^ h2) & (cacheSlots - 1)
	free := first // taken from another word where all probed are
	for k := range uint64(cacheProbes) {
		i := (first + k) & (cacheSlots - 1)
		s := &c.slots[i]
		if s.a == a && s.b == b && s.size == uint8(n) {
			return c.pieces[s.at : s.at+uint32(s.n)]
		}
		if s.size == 0 {
			free = i
			break
		}
	}
	if c.used >= cacheSlots/2 {
		clear(c.slots)
		c.used, c.pieces = 0, c.pieces[:0]
	}
	at := len(c.pieces)
	c.pieces = m.tokenize(e, s[lo:hi], c.pieces)
	c.slots[free] = slot{a, b, uint32(at), uint8(len(c.pieces) - at), uint8(n)}
	c.used++
	return c.pieces[at:]
}

func load64(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 | uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

func (e *encoder) long(m model, w string) []piece {
	c := &e.cache
	if len(w) > cacheBytes {
		c.free = m.tokenize(e, w, c.free[:0])
		return c.free
	}
	if p, ok := c.long[w]; ok {
		return p
	}
	if len(c.long) >= cacheLong {
		clear(c.long)
	}
	p := m.tokenize(e, w, nil)
	c.long[strings.Clone(w)] = p
	return p
}
