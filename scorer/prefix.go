package scorer

import (
	"slices"

	"eaft/model"
)

// minShared is the shortest beginning for which a segment is split in two. A
// segment costs attention a block of queries of its own and the gathering of its
// row's keys, in every layer; that is worth a few tokens.
const minShared = 8

// forest holds rows as segments that continue each other, so that what several
// rows begin with is there once. Rows are added in ascending order of their
// tokens: what a row shares with any before it, it shares with the last one.
type forest struct {
	alone bool // rows share nothing
	segs  []segment
	path  []int   // the segments of the last row, from its first token on
	last  []int32 // the last row
	size  int     // tokens of all segments
	root  int     // tokens with which all rows begin
}

// segment is tokens [lo, hi) of a row, whose tokens before lo are its parent's.
type segment struct {
	row    []int32
	lo, hi int
	parent int // -1: none
}

// shared is how many of a row's tokens are there already.
func (f *forest) shared(row []int32) int {
	if f.alone {
		return 0
	}
	n := 0
	for n < min(len(f.last), len(row)) && f.last[n] == row[n] {
		n++
	}
	for _, s := range f.path {
		if seg := f.segs[s]; n < seg.hi { // where the rows part
			if n-seg.lo < minShared {
				return seg.lo
			}
			break
		}
	}
	return n
}

// fits says whether a row can be added within a budget of tokens. What all rows
// begin with does not count, and if it is longer than the budget the rest may be
// as long: every batch computes it once, so that smaller ones would do little
// else. So a batch is at most twice the longest row, or that row and a budget.
func (f *forest) fits(row []int32, budget int) bool {
	n := f.shared(row)
	root := min(f.root, n)
	return f.last == nil || f.size+len(row)-n-root <= max(budget, root)
}

// add takes a row up and returns the segment that ends it.
func (f *forest) add(row []int32) int {
	n := f.shared(row)
	whole, end := 0, -1
	for whole < len(f.path) && f.segs[f.path[whole]].hi <= n {
		end = f.path[whole]
		whole++
	}
	rest := f.path[whole:]
	f.path = f.path[:whole]
	if len(rest) > 0 && f.segs[rest[0]].lo < n {
		// The new segment is the head, so that rows and children of the cut one
		// stay with its tail.
		cut := &f.segs[rest[0]]
		head := segment{cut.row, cut.lo, n, cut.parent}
		end = len(f.segs)
		cut.lo, cut.parent = n, end
		f.segs, f.path = append(f.segs, head), append(f.path, end)
	}
	if n < len(row) {
		f.segs = append(f.segs, segment{row, n, len(row), end})
		end = len(f.segs) - 1
		f.path = append(f.path, end)
	}
	if f.root = min(f.root, n); f.last == nil {
		f.root = len(row)
	}
	f.last = row
	f.size += len(row) - n
	return end
}

// batch packs the segments, parents first. at is where each of f.segs begins.
func (f *forest) batch() (b model.Batch, at []int32) {
	b.CuSeqlens = []int32{0}
	at = make([]int32, len(f.segs))
	number := make([]int32, len(f.segs)) // in b, counted from 1; 0: not yet
	var parents []int32
	linked := false
	var place func(s int)
	place = func(s int) {
		if number[s] > 0 {
			return
		}
		seg, parent := f.segs[s], int32(-1)
		if seg.parent >= 0 {
			place(seg.parent)
			parent, linked = number[seg.parent]-1, true
		}
		at[s] = int32(len(b.IDs))
		b.IDs = append(b.IDs, seg.row[seg.lo:seg.hi]...)
		b.CuSeqlens = append(b.CuSeqlens, int32(len(b.IDs)))
		parents = append(parents, parent)
		number[s] = int32(len(parents))
	}
	for s := range f.segs {
		place(s)
	}
	if linked {
		b.Parent = parents
	}
	return b, at
}

// flat is where the positions pos, ascending, of the row that segment end ends
// lie in the batch.
func (f *forest) flat(end int, pos, at []int32) []int32 {
	out := make([]int32, len(pos))
	for i, p := range slices.Backward(pos) {
		for int(p) < f.segs[end].lo {
			end = f.segs[end].parent
		}
		out[i] = at[end] + p - int32(f.segs[end].lo)
	}
	return out
}
