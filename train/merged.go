package train

import (
	"context"
	"fmt"
	"path/filepath"

	"eaft/compute"
	"eaft/internal/cli"
	"eaft/model"
	"eaft/model/weights"
)

// Merged is what the held-out sets say of the models that --merge wrote, whose
// rounding the adapter does not have.
type Merged struct {
	Type string       `json:"type"`           // of their matrices: f32, bf16 or f16
	Last []Evaluation `json:"last"`           // of OUT/model
	Best []Evaluation `json:"best,omitempty"` // of OUT/best, with --best
}

// measureMerged evaluates the merged models of a run; nil where there are none.
func (c *course) measureMerged(ctx context.Context) (m *Merged, err error) {
	if c.held == nil || !c.o.Merge {
		return nil, nil
	}
	c.m, c.held.m, c.reg = nil, nil, nil // the memory is needed, and nothing else asks for them
	m = &Merged{Type: c.o.MergeType}
	if m.Last, err = c.measureFolder(ctx, ModelName, c.done); err != nil || c.o.Best == "" {
		return m, err
	}
	if c.held.BestStep == c.done {
		m.Best = m.Last // the same bits
		return m, nil
	}
	m.Best, err = c.measureFolder(ctx, BestName, c.held.BestStep)
	return m, err
}

// mergedOperands are those that a merged model is evaluated with: the run's, or
// float32 where bf16 would round its weights again.
func (o *Options) mergedOperands() compute.DType {
	if o.DType == "bf16" && o.MergeType == "bf16" {
		return compute.BF16
	}
	return compute.F32
}

// fitMerged fails if the evaluation of the merged model takes more than --memory.
func (h *heldOut) fitMerged(m *model.Model, limit int64) error {
	if h == nil || !h.o.Merge {
		return nil
	}
	tokens := 0
	for _, s := range h.sets {
		tokens = max(tokens, largestMicro(s.micro))
	}
	spec := m.Spec()
	if n := h.bytes() + spec.ScoringBytes(h.o.mergedOperands(), tokens); n > limit {
		return fmt.Errorf("the evaluation of the model that --merge writes in %s takes %d MiB; %d MiB were allowed: give --export-type bf16, or leave --merge to train export --adapter",
			h.o.MergeType, (n+1<<20-1)>>20, limit>>20)
	}
	return nil
}

// measureFolder evaluates the model in a folder of the run, after a step.
func (c *course) measureFolder(ctx context.Context, name string, step int) ([]Evaluation, error) {
	from, err := weights.Open(filepath.Join(c.o.dir, name))
	if err != nil {
		return nil, err
	}
	defer from.Close()
	m, err := model.Load(c.dev, from, model.Options{DType: c.o.mergedOperands()})
	if err != nil {
		return nil, err
	}
	cli.SteadyHeap()
	return c.held.evaluate(ctx, m, step)
}
