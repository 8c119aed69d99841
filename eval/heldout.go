// Package eval measures a model on held-out data.
package eval

import (
	"context"
	"errors"
	"io"
	"path/filepath"

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
	Rows     int64   `json:"rows"` // with a trained target
	Targets  int64   `json:"targets"`
	Loss     float64 `json:"loss"`
	Accuracy float64 `json:"accuracy"`
}

// HeldOut scores every trained target of a tokens dataset. It stops between
// batches when ctx is cancelled.
func HeldOut(ctx context.Context, m *model.Model, ds *parquet.Dataset) (Result, error) {
	e := heldOut{m: m, b: model.Batch{CuSeqlens: []int32{0}}}
	for _, path := range ds.Shards {
		if err := e.shard(ctx, path); err != nil {
			return Result{}, err
		}
	}
	if err := e.flush(); err != nil {
		return Result{}, err
	}
	if e.Targets == 0 {
		return Result{}, cli.Usagef("%s: no row has a trained target", ds.Dir)
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
	for i, id := range t.InputIDs {
		if int(id) >= e.m.Spec().Vocab {
			return cli.Usagef("%s: row %d (%s): input_ids[%d] is %d, but the model's vocabulary has %d entries: tokenize with this model's tokenizer",
				file, n, t.ID, i, id, e.m.Spec().Vocab)
		}
	}
	if len(e.b.IDs) > 0 && len(e.b.IDs)+len(t.InputIDs) > batchTokens {
		if err := e.flush(); err != nil {
			return err
		}
	}
	start, before := int32(len(e.b.IDs)), len(e.at)
	for i, label := range t.Labels {
		if i > 0 && label != parquet.Ignore {
			e.at = append(e.at, start+int32(i))
		}
	}
	if len(e.at) == before {
		return nil
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
