package tokenize

import "math/bits"

// bandTable is a hash table from the hash of a band to the last row that has
// it: open addressing with linear probing, 4 bytes a slot and 4 for the hash.
type bandTable struct {
	hashes []uint32 // by row
	slots  []int32  // 1 more than the row; 0: free
	used   int
}

// slot is where h is, or the free slot where it belongs.
func (t *bandTable) slot(h uint32) int {
	p := int(uint64(h) * uint64(len(t.slots)) >> 32)
	for t.slots[p] != 0 && t.hashes[t.slots[p]-1] != h {
		if p++; p == len(t.slots) {
			p = 0
		}
	}
	return p
}

// last is the last row that has h, -1 for none.
func (t *bandTable) last(h uint32) int32 {
	if len(t.slots) == 0 {
		return -1
	}
	return t.slots[t.slot(h)] - 1
}

// put adds the next row, whose hash is h, and returns the last one before it
// that has the same, -1 for none.
func (t *bandTable) put(h uint32) int32 {
	if 4*t.used >= 3*len(t.slots) {
		t.grow()
	}
	t.hashes = append(t.hashes, h)
	p := t.slot(h)
	before := t.slots[p] - 1
	t.slots[p] = int32(len(t.hashes))
	if before < 0 {
		t.used++
	}
	return before
}

func (t *bandTable) grow() {
	old := t.slots
	t.slots = make([]int32, max(64, len(old)+len(old)/2))
	for _, row := range old {
		if row != 0 {
			t.slots[t.slot(t.hashes[row-1])] = row
		}
	}
}

// chains are, by row and band, the row before it that has the same hash there.
// Few rows have any.
type chains struct {
	has   []uint64 // by row: the bands of which there is one
	first []int    // by row: where they begin in rows
	rows  []int32
}

// maxBands is what a mask holds.
const maxBands = 64

// begin adds the next row, of which add tells the chains in the order of bands.
func (c *chains) begin() {
	c.has, c.first = append(c.has, 0), append(c.first, len(c.rows))
}

func (c *chains) add(band int, before int32) {
	c.has[len(c.has)-1] |= 1 << band
	c.rows = append(c.rows, before)
}

// before is the row before it in a band's chain, -1 for none.
func (c *chains) before(row int32, band int) int32 {
	has := c.has[row]
	if has>>band&1 == 0 {
		return -1
	}
	return c.rows[c.first[row]+bits.OnesCount64(has&(1<<band-1))]
}
