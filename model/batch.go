package model

import "fmt"

// Batch is rows packed behind each other: row r is
// IDs[CuSeqlens[r]:CuSeqlens[r+1]]. Attention and positions stay within a row.
type Batch struct {
	IDs       []int32
	CuSeqlens []int32 // len rows+1, first 0, last len(IDs)
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
	for t, id := range b.IDs {
		if id < 0 || int(id) >= vocab {
			row, pos := b.locate(t)
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
		if row, pos := b.locate(int(t)); pos == 0 {
			return fmt.Errorf("target %d is the first token of row %d, which nothing predicts", i, row)
		}
	}
	return nil
}

// locate finds the row of flat position t and the position within it.
func (b *Batch) locate(t int) (row, pos int) {
	lo, hi := 0, len(b.CuSeqlens)-1
	for hi-lo > 1 {
		if mid := (lo + hi) / 2; int(b.CuSeqlens[mid]) <= t {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo, t - int(b.CuSeqlens[lo])
}

// positions is the index of each token within its row, and the longest row's length.
func (b *Batch) positions() (pos []int32, longest int) {
	pos = make([]int32, len(b.IDs))
	for r := 1; r < len(b.CuSeqlens); r++ {
		lo, hi := b.CuSeqlens[r-1], b.CuSeqlens[r]
		for t := lo; t < hi; t++ {
			pos[t] = t - lo
		}
		longest = max(longest, int(hi-lo))
	}
	return pos, longest
}

// headInputs is the position that predicts each target, and the target's token.
func (b *Batch) headInputs(targets []int32) (from, tokens []int32) {
	from = make([]int32, len(targets))
	tokens = make([]int32, len(targets))
	for i, t := range targets {
		from[i], tokens[i] = t-1, b.IDs[t]
	}
	return from, tokens
}
