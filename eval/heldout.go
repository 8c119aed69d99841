// Package eval measures a model on held-out data.
package eval

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"eaft/internal/cli"
	"eaft/model"
	"eaft/parquet"
)

// batchTokens is the most tokens that go through the model at once, unless a
// single row is longer.
const batchTokens = 2048

// Result is the mean loss in nats and the share of targets that the model would
// have said itself, over the trained targets of a dataset.
type Result struct {
	Rows     int64            `json:"rows"` // that are measured
	Targets  int64            `json:"targets"`
	Loss     float64          `json:"loss"`
	Accuracy float64          `json:"accuracy"`
	Dropped  map[string]int64 `json:"dropped,omitempty"` // rows that are not, by reason
}

// LeftOut says how many rows are not measured, and why; "" if all are.
func (r *Result) LeftOut() string {
	var why []string
	n := int64(0)
	for _, reason := range slices.Sorted(maps.Keys(r.Dropped)) {
		n += r.Dropped[reason]
		why = append(why, fmt.Sprintf("%d %s", r.Dropped[reason], reason))
	}
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d rows are not measured: %s", n, n+r.Rows, strings.Join(why, ", "))
}

// HeldOut scores every trained target of a tokens dataset, of rows that the model
// has positions for. It stops between batches when ctx is cancelled.
func HeldOut(ctx context.Context, m *model.Model, ds *parquet.Dataset) (Result, error) {
	e := heldOut{m: m, b: model.Batch{CuSeqlens: []int32{0}}}
	e.Dropped = map[string]int64{}
	for _, path := range ds.Shards {
		if err := e.shard(ctx, path); err != nil {
			return Result{}, err
		}
	}
	if err := e.flush(); err != nil {
		return Result{}, err
	}
	if e.Targets == 0 {
		return Result{}, cli.Usagef("%s: no row to measure: %s", ds.Dir, cmp.Or(e.LeftOut(), "it has none"))
	}
	e.Loss /= float64(e.Targets)
	e.Accuracy /= float64(e.Targets)
	return e.Result, nil
}

type heldOut struct {
	Result // Loss and Accuracy are sums until the end
	m      *model.Model
	b      model.Batch
	at     []int32
}

func (e *heldOut) shard(ctx context.Context, path string) error {
	r, err := parquet.OpenTokens(path)
	if err != nil {
		return &cli.Error{Code: cli.ExitUsage, Err: err}
	}
	defer r.Close()
	for n := 0; ; n++ {
		var t parquet.TokensRow
		if err := r.Next(&t); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return &cli.Error{Code: cli.ExitUsage, Err: err}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := e.add(&t, filepath.Base(path), n); err != nil {
			return err
		}
	}
}

func (e *heldOut) add(t *parquet.TokensRow, file string, n int) error {
	spec := e.m.Spec()
	for i, id := range t.InputIDs {
		if int(id) >= spec.Vocab {
			return cli.Usagef("%s: row %d (%s): input_ids[%d] is %d, but the model's vocabulary has %d entries: tokenize with this model's tokenizer",
				file, n, t.ID, i, id, spec.Vocab)
		}
	}
	switch {
	case !slices.ContainsFunc(t.Labels[min(1, len(t.Labels)):], func(label int32) bool { return label != parquet.Ignore }):
		e.Dropped[parquet.NoTarget]++
		return nil
	case spec.MaxPositions > 0 && len(t.InputIDs) > spec.MaxPositions:
		e.Dropped[parquet.TooLong]++
		return nil
	}
	if len(e.b.IDs) > 0 && len(e.b.IDs)+len(t.InputIDs) > batchTokens {
		if err := e.flush(); err != nil {
			return err
		}
	}
	start := int32(len(e.b.IDs))
	for i, label := range t.Labels {
		if i > 0 && label != parquet.Ignore {
			e.at = append(e.at, start+int32(i))
		}
	}
	e.Rows++
	e.b.IDs = append(e.b.IDs, t.InputIDs...)
	e.b.CuSeqlens = append(e.b.CuSeqlens, int32(len(e.b.IDs)))
	return nil
}

func (e *heldOut) flush() error {
	if len(e.at) == 0 {
		return nil
	}
	st, err := e.m.Score(e.b, e.at, 1)
	if err != nil {
		return err
	}
	if err := finite(st.LogProb); err != nil {
		return err
	}
	for i, lp := range st.LogProb {
		e.Loss -= float64(lp)
		if st.Rank[i] == 0 {
			e.Accuracy++
		}
	}
	e.Targets += int64(len(e.at))
	e.b = model.Batch{CuSeqlens: []int32{0}}
	e.at = nil
	return nil
}
