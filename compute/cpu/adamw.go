package cpu

import (
	"math"

	"eaft/compute"
)

// sumChunk is how many squares are summed before their sum joins the others.
const sumChunk = 1 << 14

// SumSquares is accumulated in float64: chunks of a fixed size, then chunks in order.
func (e *engine[F]) SumSquares(x compute.Tensor) float64 {
	data := mat[F](x).data
	parts := make([]float64, (len(data)+sumChunk-1)/sumChunk)
	e.chunks(len(data), sumChunk, func(lo, hi int) {
		var lane [lanes]float64
		e.k.sumSquares(data[lo:hi], &lane)
		parts[lo/sumChunk] = sumLanes(&lane)
	})
	var sum float64
	for _, p := range parts {
		sum += p
	}
	return sum
}

// adamwCoef is a step's scalars; assembly reads it by offset.
type adamwCoef[F real] struct {
	scale, decay           F // gradient's, parameter's factor
	beta1, rest1           F // beta1, 1-beta1
	beta2, rest2           F
	step, invRootBias, eps F // lr/(1-beta1^t), 1/sqrt(1-beta2^t)
}

// AdamW updates p, m and v from the gradient g as torch.optim.AdamW does.
func (e *engine[F]) AdamW(p, g, m, v compute.Tensor, s compute.AdamW) {
	pm, gm, mm, vm := mat[F](p), mat[F](g), mat[F](m), mat[F](v)
	for _, t := range []*matrix[F]{gm, mm, vm} {
		t.shape("AdamW", "an operand", pm.rows, pm.cols)
	}
	c := newAdamWCoef[F](s)
	update := func(lo, hi int) {
		e.k.adamw(pm.data[lo:hi], gm.data[lo:hi], mm.data[lo:hi], vm.data[lo:hi], c)
	}
	if s.Operand == nil || s.Operand.DType() != compute.BF16 {
		e.spans(len(pm.data), update)
		return
	}
	w := weightOf[F](s.Operand)
	if w.master != pm {
		panic("cpu: AdamW: the operand is not that of the parameter")
	}
	e.refresh(w, func(i int) { update(i*w.k, (i+1)*w.k) })
}

func newAdamWCoef[F real](s compute.AdamW) *adamwCoef[F] {
	n := float64(s.Step)
	return &adamwCoef[F]{
		scale: F(s.GradScale), decay: F(1 - s.LR*s.WeightDecay),
		beta1: F(s.Beta1), rest1: F(1 - s.Beta1), beta2: F(s.Beta2), rest2: F(1 - s.Beta2),
		step:        F(s.LR / (1 - math.Pow(s.Beta1, n))),
		invRootBias: F(1 / math.Sqrt(1-math.Pow(s.Beta2, n))), eps: F(s.Eps),
	}
}
