package model

import (
	"hash/fnv"
	"math/rand/v2"

	"eaft/compute"
	"eaft/model/weights"
)

// Options says how a model is loaded.
type Options struct {
	DType      compute.DType // operands of products
	Train      bool          // keep float32 masters and gradients
	RandomInit bool          // take only the architecture: normal(0, 0.02), norms 1, biases 0
	Seed       uint64        // of RandomInit
	// Moments is how many bytes an optimizer keeps of a trained weight [rows, cols],
	// for FitMemory; nil: two float32 moments, as AdamW.
	Moments func(rows, cols int) int64
}

// fillRow writes row r of a weight into dst.
type fillRow func(t tensorSpec, r int, dst []float32) error

// Load reads a checkpoint's weights into the device's memory. It fails if the
// architecture is not supported, or, to be trained, cannot be saved, or a weight is
// missing, has another shape than the config says, or has no place in the model.
func Load(dev compute.Device, c *weights.Checkpoint, o Options) (*Model, error) {
	spec, err := SpecOf(c)
	if err != nil {
		return nil, err
	}
	if o.Train { // what no folder can hold could not be saved
		if _, err := folderConfig(c, &spec, nil, "F32"); err != nil {
			return nil, err
		}
	}
	if o.RandomInit {
		return build(dev, spec, o, randomRows(o.Seed), func() {})
	}
	src := newSource(c, &spec)
	if err := src.check(); err != nil {
		return nil, err
	}
	merged, err := mergedAdapters(c)
	if err != nil {
		return nil, err
	}
	m, err := build(dev, spec, o, src.readRow, c.Release)
	if err != nil {
		return nil, err
	}
	m.ref, m.merged = c.Ref(), merged
	return m, nil
}

// initStd is the standard deviation of new matrices: transformers' initializer_range.
const initStd = 0.02

// randomRows draws each weight from a stream of its own, rows in order, so that
// the values depend on the seed and the weight's name only.
func randomRows(seed uint64) fillRow {
	var rng *rand.Rand
	return func(t tensorSpec, r int, dst []float32) error {
		if r == 0 {
			h := fnv.New64a()
			h.Write([]byte(t.name))
			rng = rand.New(rand.NewPCG(seed, h.Sum64()))
		}
		for i := range dst {
			switch t.kind {
			case matrix:
				dst[i] = float32(rng.NormFloat64() * initStd)
			case norm:
				dst[i] = 1
			case bias:
				dst[i] = 0
			}
		}
		return nil
	}
}

// build allocates a model and fills its weights in the order of Spec.tensors. It
// calls release after each, so that a file's pages and their copies are not in
// memory together.
func build(dev compute.Device, spec Spec, o Options, fill fillRow, release func()) (*Model, error) {
	m := &Model{dev: dev, spec: spec, dtype: o.DType, moments: o.Moments, ws: workspace{dev: dev}, weights: map[string]*weight{}}
	for _, t := range spec.tensors() {
		w, err := newWeight(dev, t, o, fill)
		if err != nil {
			return nil, err
		}
		release()
		m.weights[t.name] = w
		m.order = append(m.order, w)
	}
	m.wire()
	return m, nil
}

// weight is one of the model's weights. Matrices have op; vectors have value.
// In training both have value (the float32 master) and grad.
type weight struct {
	tensorSpec
	op          compute.Weight
	value, grad compute.Tensor
	set         bool // the backward pass of a product makes grad whole
	stale       bool // grad is of another step: the backward pass sets it
}

// renew says whether a gradient that is made now is the first one of its step.
func (w *weight) renew() bool {
	first := w.stale
	w.stale = false
	return first
}

func newWeight(dev compute.Device, t tensorSpec, o Options, fill fillRow) (*weight, error) {
	w := &weight{tensorSpec: t}
	var err error
	if t.kind == matrix && !o.Train {
		w.op, err = dev.NewWeight(t.rows, t.cols, o.DType, func(r int, dst []float32) error { return fill(t, r, dst) })
		return w, err
	}
	if w.value, err = newFilled(dev, t, fill); err != nil {
		return nil, err
	}
	if o.Train {
		w.grad = dev.NewTensor(t.rows, t.cols, compute.F32)
		if t.kind == matrix {
			w.op = dev.WeightOf(w.value, o.DType)
		}
	}
	return w, nil
}

// newFilled makes a tensor [t.rows, t.cols], a stripe of rows at a time.
func newFilled(dev compute.Device, t tensorSpec, fill fillRow) (compute.Tensor, error) {
	const stripe = 64
	x := dev.NewTensor(t.rows, t.cols, compute.F32)
	buf := make([]float32, min(stripe, t.rows)*t.cols)
	for lo := 0; lo < t.rows; lo += stripe {
		hi := min(lo+stripe, t.rows)
		for r := lo; r < hi; r++ {
			if err := fill(t, r, buf[(r-lo)*t.cols:(r-lo+1)*t.cols]); err != nil {
				return nil, err
			}
		}
		dev.Write(x.Slice(lo, hi), buf[:(hi-lo)*t.cols])
	}
	return x, nil
}
