package model

import (
	"fmt"
	"slices"
)

// Batch is segments packed behind each other: segment s is
// IDs[CuSeqlens[s]:CuSeqlens[s+1]]. Without Parent each is a row of its own;
// attention and positions stay within a row.
//
// Rows that begin alike can share what they begin with: segment s with a Parent
// p >= 0 continues the row that p ends. Its positions count on from there and its
// tokens see p's whole row before their own segment, which predicts its first
// token too. Rows may end in any segment and a parent may have many children, so
// that the segments form a forest of prefixes.
type Batch struct {
	IDs       []int32
	CuSeqlens []int32 // len segments+1, first 0, last len(IDs)
	Parent    []int32 // len segments, each an earlier segment or -1; nil: none has one

	// DropKeys [segments] is what the adapters' dropout is a function of, beside a
	// token's position; nil: nothing is dropped.
	DropKeys []uint64
}

// check says whether a batch and its targets make sense for a vocabulary.
func (b *Batch) check(vocab int, targets []int32) error {
	cu := b.CuSeqlens
	if len(cu) == 0 || cu[0] != 0 || int(cu[len(cu)-1]) != len(b.IDs) {
		return fmt.Errorf("batch: cu_seqlens must start at 0 and end at the number of ids, %d", len(b.IDs))
	}
	for r := 1; r < len(cu); r++ {
		if cu[r] < cu[r-1] {
			return fmt.Errorf("batch: cu_seqlens[%d] is %d, below the one before", r, cu[r])
		}
	}
	if n := len(cu) - 1; b.Parent != nil && len(b.Parent) != n {
		return fmt.Errorf("batch: %d parents are given for %d segments", len(b.Parent), n)
	}
	if n := len(cu) - 1; b.DropKeys != nil && len(b.DropKeys) != n {
		return fmt.Errorf("batch: %d dropout keys are given for %d segments", len(b.DropKeys), n)
	}
	for s, p := range b.Parent {
		if p < -1 || int(p) >= s {
			return fmt.Errorf("batch: the parent of segment %d is %d; it must be an earlier segment, or -1 for none", s, p)
		}
	}
	for t, id := range b.IDs {
		if id < 0 || int(id) >= vocab {
			row, pos := b.locate(int32(t))
			return fmt.Errorf("batch row %d, position %d: token id %d lies outside the model's vocabulary of %d; were the tokens made with this model's tokenizer?",
				row, pos, id, vocab)
		}
	}
	for i, t := range targets {
		if t < 0 || int(t) >= len(b.IDs) {
			return fmt.Errorf("target %d is position %d of a batch of %d tokens", i, t, len(b.IDs))
		}
		if i > 0 && t <= targets[i-1] {
			return fmt.Errorf("target %d, position %d, does not ascend", i, t)
		}
		if b.before(t) < 0 {
			row, _ := b.locate(t)
			return fmt.Errorf("target %d is the first token of row %d, which nothing predicts", i, row)
		}
	}
	return nil
}

// segment finds the segment of flat position t.
func (b *Batch) segment(t int32) int {
	// The first offset above t ends it; empty segments before it end at t or below.
	s, _ := slices.BinarySearch(b.CuSeqlens, t+1)
	return s - 1
}

// parent of a segment, -1 for none.
func (b *Batch) parent(s int) int {
	if b.Parent == nil {
		return -1
	}
	return int(b.Parent[s])
}

// locate finds the segment of flat position t and the position within its row.
func (b *Batch) locate(t int32) (seg, pos int) {
	seg = b.segment(t)
	pos = int(t - b.CuSeqlens[seg])
	for p := b.parent(seg); p >= 0; p = b.parent(p) {
		pos += int(b.CuSeqlens[p+1] - b.CuSeqlens[p])
	}
	return seg, pos
}

// before is the flat position of the token before t in its row, -1 if t is the
// row's first. The last token of a segment stands before the first of each child.
func (b *Batch) before(t int32) int32 {
	s := b.segment(t)
	if t > b.CuSeqlens[s] {
		return t - 1
	}
	for s = b.parent(s); s >= 0; s = b.parent(s) {
		if b.CuSeqlens[s+1] > b.CuSeqlens[s] {
			return b.CuSeqlens[s+1] - 1
		}
	}
	return -1
}

// positions is the index of each token within its row, and the longest row's length.
func (b *Batch) positions() (pos []int32, longest int) {
	pos = make([]int32, len(b.IDs))
	end := make([]int32, len(b.CuSeqlens)-1) // length of the row that a segment ends
	for s := range end {
		lo, hi := b.CuSeqlens[s], b.CuSeqlens[s+1]
		base := int32(0)
		if p := b.parent(s); p >= 0 {
			base = end[p]
		}
		for t := lo; t < hi; t++ {
			pos[t] = base + t - lo
		}
		end[s] = base + hi - lo
		longest = max(longest, int(end[s]))
	}
	return pos, longest
}

// asked is what the last block has to compute for n targets, and the head after
// it: the hidden states of these tokens and no others.
type asked struct {
	rows []int32 // flat positions that predict a target, ascending, each once
	of   []int32 // [n] the entry of rows for each target; nil: one each, in order
	ids  []int32 // [n] the targets' tokens
}

func (b *Batch) asked(targets []int32) asked {
	a := asked{rows: make([]int32, len(targets)), ids: make([]int32, len(targets))}
	ordered := true
	for i, t := range targets {
		a.rows[i], a.ids[i] = b.before(t), b.IDs[t]
		ordered = ordered && (i == 0 || a.rows[i] > a.rows[i-1])
	}
	if ordered {
		return a
	}
	from := a.rows
	a.rows = slices.Clone(from)
	slices.Sort(a.rows)
	a.rows = slices.Compact(a.rows)
	a.of = make([]int32, len(from))
	for i, t := range from {
		at, _ := slices.BinarySearch(a.rows, t)
		a.of[i] = int32(at)
	}
	return a
}
