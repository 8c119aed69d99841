package train

import (
	"eaft/compute"
	"eaft/internal/cli"
	"eaft/model"
)

// Optimizers. Bytes of state for each trained value are in brackets.
const (
	OptimizerAdamW     = "adamw"     // two float32 moments [8]
	OptimizerAdamW8    = "adamw8bit" // two moments of 8 bits and a scale for each 256 [2.03]
	OptimizerAdafactor = "adafactor" // a row and a column of float32 for each matrix [0.01 for a 576 x 1536 one]
)

// adamW8Least is how many values a weight must have to get 8-bit moments; what
// smaller ones would save is nothing, and norms and biases are delicate.
const adamW8Least = 4096

// optimizer changes parameters by their gradients. What it keeps of one is made
// when it is new, as zeros.
type optimizer interface {
	// update makes step n (from 1) of parameter i at the learning rate lr, its
	// gradient scaled first, and derives the parameter's operand again.
	update(i int, n int, lr, scale float64)
	// state is all that is kept, in a fixed order. Who writes to it sets it.
	state() []State
}

// State is a matrix of a run's state: float32 on the device or, where Value
// is nil, bytes.
type State struct {
	Name       string // the parameter's, and what it is of it
	Rows, Cols int
	Value      compute.Tensor // [Rows, Cols]
	Bytes      []byte         // Rows*Cols
}

func newOptimizer(dev compute.Device, params []model.Param, o *Options) optimizer {
	switch o.Optimizer {
	case OptimizerAdamW8:
		return newAdamW8(dev, params, o, adamW8Least)
	case OptimizerAdafactor:
		return newAdafactor(dev, params, o)
	}
	return newAdamW(dev, params, o)
}

// momentBytes is what the optimizer keeps of a weight [rows, cols].
func (o *Options) momentBytes(rows, cols int) int64 {
	n := int64(rows) * int64(cols)
	switch {
	case o.Optimizer == OptimizerAdafactor && rows > 1:
		return 4 * (int64(rows) + int64(cols))
	case o.Optimizer == OptimizerAdafactor:
		return 4 * n
	case o.Optimizer == OptimizerAdamW8 && n >= adamW8Least:
		return 2 * (n + 4*((n+compute.BlockSize-1)/compute.BlockSize))
	}
	return 8 * n
}

// checkOptimizer reports what is wrong about the optimizer's options.
func (o *Options) checkOptimizer() error {
	switch o.Optimizer {
	case OptimizerAdamW, OptimizerAdamW8:
		for _, b := range []struct {
			name string
			beta float64
		}{{"--adam-beta1", o.AdamBeta1}, {"--adam-beta2", o.AdamBeta2}} {
			if !(b.beta >= 0 && b.beta < 1) {
				return cli.Usagef("%s %v: a number from 0 to below 1", b.name, b.beta)
			}
		}
		if !(o.AdamEps > 0 && o.AdamEps <= 1) {
			return cli.Usagef("--adam-eps %v: a number above 0, at most 1", o.AdamEps)
		}
	case OptimizerAdafactor:
		if o.AdamBeta1 != 0 || o.AdamBeta2 != 0 || o.AdamEps != 0 {
			return cli.Usagef("--adam-beta1, --adam-beta2 and --adam-eps are AdamW's, and adafactor has none: leave them out")
		}
	default:
		return cli.Usagef("--optimizer %q is not known: use adamw, adamw8bit or adafactor", o.Optimizer)
	}
	return nil
}

// adamW is Adam with decoupled weight decay and bias correction; see compute.AdamW.
type adamW struct {
	dev    compute.Device
	params []model.Param
	o      *Options
	m, v   []compute.Tensor // first and second moments, like the parameters
}

func newAdamW(dev compute.Device, params []model.Param, o *Options) *adamW {
	a := &adamW{dev: dev, params: params, o: o}
	for _, p := range params {
		a.m = append(a.m, dev.NewTensor(p.Value.Rows(), p.Value.Cols(), compute.F32))
		a.v = append(a.v, dev.NewTensor(p.Value.Rows(), p.Value.Cols(), compute.F32))
	}
	return a
}

// adamStep is what AdamW's step n is made with.
func (o *Options) adamStep(p model.Param, n int, lr, scale float64) compute.AdamW {
	s := compute.AdamW{LR: lr, Beta1: o.AdamBeta1, Beta2: o.AdamBeta2, Eps: o.AdamEps, GradScale: scale, Step: n, Operand: p.Operand}
	if p.Decay {
		s.WeightDecay = o.WeightDecay
	}
	return s
}

func (a *adamW) update(i, n int, lr, scale float64) {
	p := a.params[i]
	a.dev.AdamW(p.Value, p.Grad, a.m[i], a.v[i], a.o.adamStep(p, n, lr, scale))
}

func (a *adamW) state() (s []State) {
	for i, p := range a.params {
		s = append(s, matrixState(p.Name+".exp_avg", a.m[i]), matrixState(p.Name+".exp_avg_sq", a.v[i]))
	}
	return s
}

func matrixState(name string, t compute.Tensor) State {
	return State{Name: name, Rows: t.Rows(), Cols: t.Cols(), Value: t}
}
