package report

import (
	"cmp"
	"container/heap"
	"math"
	"slices"

	"eaft/eaft"
	"eaft/parquet"
)

// candidate is a row with conflicts that may be among the worst.
type candidate struct {
	row       int64
	targets   int
	loss      float64 // sum of -logprob over the conflicts
	conflicts []int   // indices in scores
	scores    *parquet.ScoresRow
	tokens    *parquet.TokensRow // nil without
}

// worse orders candidates: the largest loss first, the earlier row on a tie.
func worse(a, b candidate) int {
	return cmp.Or(-cmp.Compare(a.loss, b.loss), cmp.Compare(a.row, b.row))
}

// worstRows is a heap of at most n candidates, the least bad on top.
type worstRows struct {
	n    int
	rows []candidate
}

func (w *worstRows) Len() int           { return len(w.rows) }
func (w *worstRows) Less(i, j int) bool { return worse(w.rows[i], w.rows[j]) > 0 }
func (w *worstRows) Swap(i, j int)      { w.rows[i], w.rows[j] = w.rows[j], w.rows[i] }
func (w *worstRows) Push(x any)         { w.rows = append(w.rows, x.(candidate)) }
func (w *worstRows) Pop() any {
	last := w.rows[len(w.rows)-1]
	w.rows = w.rows[:len(w.rows)-1]
	return last
}

func (w *worstRows) offer(c candidate) {
	if len(w.rows) == w.n {
		if w.n == 0 || worse(c, w.rows[0]) > 0 {
			return
		}
		heap.Pop(w)
	}
	heap.Push(w, c)
}

func (w *worstRows) sorted() []candidate {
	slices.SortFunc(w.rows, worse)
	return w.rows
}

// Tokens of context shown before and after a conflict.
const before, after = 12, 6

// describe spells a candidate's conflicts in their context.
func (c *candidate) describe(v *vocabulary, est eaft.Estimator, k int) Row {
	s := c.scores
	row := Row{Row: c.row, ID: Visible([]byte(s.ID)), Targets: c.targets, Conflicts: len(c.conflicts), ConflictLoss: Num(c.loss), Pieces: []Piece{}}
	var ids []int32
	if c.tokens != nil {
		ids = c.tokens.InputIDs
		row.Source = Visible([]byte(c.tokens.Source))
	}
	shown := 0 // tokens before this one are shown or skipped
	context := func(lo, hi int) {
		if ids == nil || hi <= lo {
			return
		}
		row.Pieces = append(row.Pieces, Piece{Text: v.text(ids[lo:hi])})
	}
	for _, j := range c.conflicts {
		pos := int(s.Pos[j])
		if gap := pos - shown; shown > 0 && gap <= before+after {
			context(shown, pos)
		} else {
			if shown > 0 {
				context(shown, shown+after)
				shown += after
			}
			lo := max(shown, pos-before)
			if lo > shown {
				row.Pieces = append(row.Pieces, Piece{Skipped: lo - shown})
			}
			context(lo, pos)
		}
		prob, h, _ := point(s, j, est, k)
		row.Pieces = append(row.Pieces, Piece{Text: v.token(s.Token[j]), Conflict: &Conflict{
			Pos: s.Pos[j], Token: s.Token[j], Prob: Num(prob), H: Num(h), Expected: s.Top1ID[j],
			ExpectedText: v.token(s.Top1ID[j]), ExpectedProb: Num(math.Exp(float64(s.Top1LogProb[j]))),
		}})
		shown = pos + 1
	}
	if rest := len(ids) - shown; rest > 0 {
		context(shown, shown+min(rest, after))
		if rest > after {
			row.Pieces = append(row.Pieces, Piece{Skipped: rest - after})
		}
	}
	return row
}

// pairSum sums the conflicts of an expected and a given token.
type pairSum struct {
	n               int64
	expected, given float64 // sums of probabilities
}

func (p *pairSum) add(s *parquet.ScoresRow, j int) {
	p.n++
	p.expected += math.Exp(float64(s.Top1LogProb[j]))
	p.given += math.Exp(float64(s.LogProb[j]))
}

func (p *pairSum) merge(o *pairSum) {
	p.n += o.n
	p.expected += o.expected
	p.given += o.given
}

// topPairs are the n most frequent pairs; the smaller ids first on a tie.
func (t *tally) topPairs(n int) []Pair {
	pairs := make([]Pair, 0, len(t.pairs.entries))
	for key, s := range t.pairs.entries {
		pairs = append(pairs, Pair{Expected: key[0], Given: key[1], Count: s.n,
			MeanExpectedProb: Num(s.expected / float64(s.n)), MeanGivenProb: Num(s.given / float64(s.n))})
	}
	slices.SortFunc(pairs, func(a, b Pair) int {
		return cmp.Or(-cmp.Compare(a.Count, b.Count), cmp.Compare(a.Expected, b.Expected), cmp.Compare(a.Given, b.Given))
	})
	pairs = pairs[:min(n, len(pairs))]
	for i := range pairs {
		pairs[i].ExpectedText, pairs[i].GivenText = t.vocab.token(pairs[i].Expected), t.vocab.token(pairs[i].Given)
	}
	return pairs
}
