package scorer

import (
	"fmt"
	"math"
	"slices"

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
		return cli.Usagef("%s: row %q has %d tokens, the model takes %d; make the tokens again with tokenize --max-length %d, and --over-length drop, truncate or split",
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

// task is a row on its way.
type task struct {
	out    parquet.ScoresRow // statistics empty until its batch has run
	ids    []int32           // up to the last target: nothing depends on later tokens
	tokens int               // of the whole row
}

func newTask(row *parquet.TokensRow, pos []int32) task {
	t := task{out: parquet.ScoresRow{ID: row.ID, Pos: pos}, tokens: len(row.InputIDs)}
	for _, p := range pos {
		t.out.Token = append(t.out.Token, row.InputIDs[p])
	}
	if n := len(pos); n > 0 {
		t.ids = row.InputIDs[:pos[n-1]+1]
	}
	return t
}

// done reports that the targets of a row that has any are scored.
func (t *task) done() bool { return len(t.out.LogProb) > 0 }

// A window is at most this many batches' tokens, this many rows and this many
// likeliest tokens to store, which bounds the memory of what is looked ahead at:
// some 50 bytes a token, and 8 for each likeliest one.
const (
	windowBatches = 128
	windowRows    = 1 << 14
	windowTopK    = 1 << 23
)

// window is rows that may be run in another order than they are written in.
type window struct {
	tasks  []task
	tokens int
}

func (w *window) add(t task) {
	w.tasks = append(w.tasks, t)
	w.tokens += len(t.ids)
}

func (w *window) full(budget, storeTopK int) bool {
	return w.tokens >= windowBatches*budget || len(w.tasks) >= windowRows || w.tokens*storeTopK >= windowTopK
}

// order is the tasks that have something to compute still, with share those that begin
// alike beside each other.
func (w *window) order(share bool) []*task {
	var out []*task
	for i := range w.tasks {
		if t := &w.tasks[i]; len(t.ids) > 0 && !t.done() {
			out = append(out, t)
		}
	}
	if share {
		slices.SortStableFunc(out, func(a, b *task) int { return slices.Compare(a.ids, b.ids) })
	}
	return out
}

// batch is the tasks that one run of the model scores.
type batch struct {
	forest
	tasks []*task
	ends  []int // the segment that ends each task
}

// nextBatch takes from the ordered tasks what fits a budget of tokens, one task
// at least, and returns the others.
func nextBatch(tasks []*task, budget int, share bool) (b *batch, rest []*task) {
	b = &batch{forest: forest{alone: !share}}
	for len(tasks) > 0 && b.fits(tasks[0].ids, budget) {
		b.ends = append(b.ends, b.add(tasks[0].ids))
		b.tasks = append(b.tasks, tasks[0])
		tasks = tasks[1:]
	}
	return b, tasks
}

// run scores the batch and fills in its tasks. A target that several rows share
// is scored once. storeTopK of its k likeliest tokens are kept.
func (b *batch) run(m *model.Model, k, storeTopK int) error {
	in, at := b.batch()
	flat := make([][]int32, len(b.tasks))
	slot := make([]int32, len(in.IDs)) // of each target in the statistics
	for i, t := range b.tasks {
		flat[i] = b.flat(b.ends[i], t.out.Pos, at)
		for _, x := range flat[i] {
			slot[x] = 1
		}
	}
	var targets []int32
	for x, asked := range slot {
		if asked != 0 {
			slot[x] = int32(len(targets))
			targets = append(targets, int32(x))
		}
	}
	s, err := m.Score(in, targets, k)
	if err != nil {
		return err
	}
	for i, t := range b.tasks {
		for j, x := range flat[i] {
			flat[i][j] = slot[x]
		}
		if err := fill(&t.out, s, flat[i], storeTopK); err != nil {
			return err
		}
	}
	return nil
}

// fill copies the statistics of a row's targets, which are the entries at, and
// the first storeTopK of their likeliest tokens.
func fill(r *parquet.ScoresRow, s *compute.HeadStats, at []int32, storeTopK int) error {
	for i, x := range at {
		if lp := float64(s.LogProb[x]); math.IsNaN(lp) || math.IsInf(lp, 0) {
			return fmt.Errorf("row %q: logprob at position %d is %v; the model's weights or --dtype do not fit this row", r.ID, r.Pos[i], lp)
		}
	}
	r.LogProb, r.Entropy = pick(s.LogProb, at), pick(s.Entropy, at)
	r.TopKEntropy, r.TopKMass = pick(s.TopKEntropy, at), pick(s.TopKMass, at)
	r.Top1LogProb, r.Rank, r.Top1ID = pick(s.Top1LogProb, at), pick(s.Rank, at), pick(s.Top1ID, at)
	if storeTopK == 0 || len(at) == 0 {
		return nil
	}
	k := len(s.TopIDs) / len(s.LogProb)
	for i, x := range at {
		first := int(x) * k
		r.TopKID = append(r.TopKID, s.TopIDs[first:][:storeTopK]...)
		r.TopKLogProb = append(r.TopKLogProb, s.TopLogProbs[first:][:storeTopK]...)
		if lp := float64(s.TopLogProbs[first+storeTopK-1]); math.IsInf(lp, 0) {
			return fmt.Errorf("row %q: at position %d fewer than %d tokens have a probability; use a smaller --store-topk", r.ID, r.Pos[i], storeTopK)
		}
	}
	return nil
}

// pick is the entries at of x.
func pick[T any](x []T, at []int32) []T {
	out := make([]T, len(at))
	for i, j := range at {
		out[i] = x[j]
	}
	return out
}
