package model

import (
	"context"
	"fmt"
	"math"

	"eaft/model/weights"
)

// ExportFolder writes a checkpoint as Save writes a model, its matrices in dtype F32,
// BF16 or F16, an adapter (a PEFT folder; nil for none) merged into them. lost is how
// much of the adapter's change the rounding to dtype costs: the error's root mean
// square over the change's. It is 1 where every weight stays what it was. Weights that
// are NaN or infinite are refused, and an adapter that is in the checkpoint already.
// When ctx is cancelled there is no model in the folder, and the error is ctx.Err().
func ExportFolder(ctx context.Context, dir string, from, adapter *weights.Checkpoint, dtype string) (lost float64, err error) {
	spec, err := SpecOf(from)
	if err != nil {
		return 0, err
	}
	src, err := newMerged(ctx, from, adapter, &spec, dtype)
	if err != nil {
		return 0, err
	}
	err = writeFolder(dir, from, &spec, src.adapters, dtype, src.readRow)
	return src.lost(), err
}

// merged reads a checkpoint's weights with what an adapter adds to them,
// scale B A, summed in float64 and rounded once.
type merged struct {
	*source
	ctx      context.Context
	dtype    string
	lora     LoRA
	adapter  *weights.Checkpoint // nil: none
	adapters []string            // all that will be in the weights, by their hashes

	seen, bad int // values of the weight that is being read, and those that are NaN or infinite

	of     string    // the weight that a is of
	a      []float64 // A [Rank, K], scaled
	b      []float32 // a row of B
	sum    []float64 // of a row
	change float64   // sums of squares, over the weights that the adapter changes
	off    float64
}

func newMerged(ctx context.Context, from, adapter *weights.Checkpoint, s *Spec, dtype string) (*merged, error) {
	if _, ok := fileTypes[dtype]; !ok {
		return nil, fmt.Errorf("weights of type %q are not written: choose F32, F16 or BF16", dtype)
	}
	m := &merged{source: newSource(from, s), ctx: ctx, dtype: dtype, adapter: adapter}
	if err := m.check(); err != nil {
		return nil, err
	}
	var err error
	if m.adapters, err = mergedAdapters(from); err != nil || adapter == nil {
		return m, err
	}
	if m.lora, err = readAdapter(adapter, s); err != nil {
		return nil, err
	}
	m.adapters, err = withAdapter(from.Ref(), m.adapters, adapter)
	return m, err
}

// readRow reads row r [cols] of a weight, each row of it once before those of another.
func (m *merged) readRow(t tensorSpec, r int, dst []float32) error {
	if r == 0 {
		if err := m.ctx.Err(); err != nil {
			return err
		}
	}
	if err := m.source.readRow(t, r, dst); err != nil {
		return err
	}
	if err := m.onlyFinite(t, dst); err != nil || m.adapter == nil || !m.lora.targets(t) {
		return err
	}
	a, b := m.lora.tensors(t.name, t.rows, t.cols)
	if m.of != t.name {
		if err := m.readA(a); err != nil {
			return err
		}
		m.of, m.b, m.sum = t.name, make([]float32, m.lora.Rank), make([]float64, t.cols)
	}
	if err := m.adapter.ReadRows(b.name, r, r+1, m.b); err != nil {
		return err
	}
	clear(m.sum)
	for k, f := range m.b {
		for j, v := range m.a[k*t.cols:][:t.cols] {
			m.sum[j] += float64(f) * v
		}
	}
	var change float64
	for j, d := range m.sum {
		exact := float64(dst[j]) + d
		dst[j] = float32(exact)
		e := float64(weights.Round(m.dtype, dst[j])) - exact
		change += d * d
		m.off += e * e
	}
	if change-change != 0 { // NaN of an infinity and of itself
		return fmt.Errorf("%s: %s and %s: their product has values in row %d that are NaN or infinite: the adapter is damaged, or its training came apart",
			m.adapter.Ref(), a.name, b.name, r)
	}
	m.change += change
	return nil
}

// onlyFinite fails at a weight's last row if values in the weight are NaN or
// infinite: what loads such a model answers nonsense, and llama.cpp looks for them
// with --check-tensors alone.
func (m *merged) onlyFinite(t tensorSpec, row []float32) error {
	for _, x := range row {
		if x-x != 0 { // NaN of both
			m.bad++
		}
	}
	if m.seen += len(row); m.seen < t.rows*t.cols {
		return nil
	}
	size, bad := m.seen, m.bad
	m.seen, m.bad = 0, 0
	if bad == 0 {
		return nil
	}
	return fmt.Errorf("%d of the %d values of the model's %s are NaN or infinite: the model is damaged, and what computes with it answers nonsense; take an earlier checkpoint, or download it again",
		bad, size, m.stored(t.name))
}

// readA reads A of a weight.
func (m *merged) readA(t tensorSpec) error {
	m.a = make([]float64, t.rows*t.cols)
	row := make([]float32, t.cols)
	for k := range t.rows {
		if err := m.adapter.ReadRows(t.name, k, k+1, row); err != nil {
			return err
		}
		for j, v := range row {
			m.a[k*t.cols+j] = float64(m.lora.scale()) * float64(v)
		}
	}
	return nil
}

func (m *merged) lost() float64 {
	if m.change == 0 {
		return 0
	}
	return math.Sqrt(m.off / m.change)
}
