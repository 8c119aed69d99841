package scorer

import (
	"fmt"
	"math"

	"eaft/compute"
	"eaft/internal/cli"
	"eaft/model"
	"eaft/parquet"
)

// positions are the targets of a row, ascending.
func (o *Options) positions(row *parquet.TokensRow) []int32 {
	var pos []int32
	for t := 1; t < len(row.InputIDs); t++ {
		if o.Targets == All || row.Labels[t] != parquet.Ignore {
			pos = append(pos, int32(t))
		}
	}
	return pos
}

// trained counts the trained targets of a row, which a ledger accounts for
// whatever else is scored.
func trained(row *parquet.TokensRow) int64 {
	var n int64
	for t := 1; t < len(row.Labels); t++ {
		if row.Labels[t] != parquet.Ignore {
			n++
		}
	}
	return n
}

// checkRow refuses rows that the model cannot score.
func checkRow(path string, row *parquet.TokensRow, spec model.Spec) error {
	if n := len(row.InputIDs); spec.MaxPositions > 0 && n > spec.MaxPositions {
		return cli.Usagef("%s: row %q has %d tokens, the model takes %d; make the tokens again with tokenize --max-length %d",
			path, row.ID, n, spec.MaxPositions, spec.MaxPositions)
	}
	for t, id := range row.InputIDs {
		if int(id) >= spec.Vocab {
			return cli.Usagef("%s: row %q: input_ids[%d] is %d, outside the model's vocabulary of %d; these tokens were made for another model",
				path, row.ID, t, id, spec.Vocab)
		}
	}
	return nil
}

// batch packs rows until a budget of tokens is full. Rows without targets are
// kept in order but are not run.
type batch struct {
	rows      []parquet.ScoresRow // statistics empty until run
	ids       []int32
	cuSeqlens []int32
	targets   []int32
}

func (b *batch) reset() {
	b.rows = b.rows[:0]
	b.ids, b.cuSeqlens, b.targets = b.ids[:0], append(b.cuSeqlens[:0], 0), b.targets[:0]
}

func (b *batch) add(row *parquet.TokensRow, pos []int32) {
	out := parquet.ScoresRow{ID: row.ID, Pos: pos}
	if len(pos) > 0 {
		base := int32(len(b.ids))
		for _, p := range pos {
			out.Token = append(out.Token, row.InputIDs[p])
			b.targets = append(b.targets, base+p)
		}
		b.ids = append(b.ids, row.InputIDs...)
		b.cuSeqlens = append(b.cuSeqlens, int32(len(b.ids)))
	}
	b.rows = append(b.rows, out)
}

// run scores the batch and fills in its rows.
func (b *batch) run(m *model.Model, k int) error {
	if len(b.targets) == 0 {
		return nil
	}
	s, err := m.Score(model.Batch{IDs: b.ids, CuSeqlens: b.cuSeqlens}, b.targets, k)
	if err != nil {
		return err
	}
	at := 0
	for i := range b.rows {
		r := &b.rows[i]
		n := at + len(r.Pos)
		if err := fill(r, s, at, n); err != nil {
			return err
		}
		at = n
	}
	return nil
}

func fill(r *parquet.ScoresRow, s *compute.HeadStats, lo, hi int) error {
	for i := lo; i < hi; i++ {
		if lp := float64(s.LogProb[i]); math.IsNaN(lp) || math.IsInf(lp, 0) {
			return fmt.Errorf("row %q: logprob at position %d is %v; the model's weights or --dtype do not fit this row", r.ID, r.Pos[i-lo], lp)
		}
	}
	r.LogProb, r.Entropy = s.LogProb[lo:hi], s.Entropy[lo:hi]
	r.TopKEntropy, r.TopKMass = s.TopKEntropy[lo:hi], s.TopKMass[lo:hi]
	r.Top1LogProb, r.Rank, r.Top1ID = s.Top1LogProb[lo:hi], s.Rank[lo:hi], s.Top1ID[lo:hi]
	return nil
}
