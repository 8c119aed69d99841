package model

import (
	"errors"
	"fmt"

	"eaft/compute"
)

// Regularisers change the loss L of AccumulateWith, and the input it is computed
// on. The zero value changes nothing.
type Regularisers struct {
	Smoothing float64 // see compute.HeadRegularisers
	// With KL above 0, L grows by KL times the sum over the targets of KL(q || p):
	// q is what Base predicts, p this model. Base is loaded for scoring on the same
	// device, in the same dtype and for the same vocabulary; it gets no gradient
	// and sees no noise.
	KL   float64
	Base *Model
	// Noise [T, D] is added to the embeddings; nil: none.
	Noise []float32
}

// Terms are what regularisers made of a batch's targets.
type Terms struct {
	compute.HeadTerms
	Added float64 // L less the sum of coef * -logprob
}

// headRegularisers is the head's part for targets of b; nil: none.
func (r *Regularisers) headRegularisers(m *Model, b Batch, targets []int32) (*compute.HeadRegularisers, error) {
	if r == nil || r.Smoothing == 0 && r.KL == 0 {
		return nil, nil
	}
	h := &compute.HeadRegularisers{Smoothing: r.Smoothing, KL: r.KL}
	if r.KL == 0 {
		return h, nil
	}
	if r.Base == nil || r.Base == m {
		return nil, errors.New("KL needs a base model of its own")
	}
	if r.Base.spec.Vocab != m.spec.Vocab || r.Base.dtype != m.dtype {
		return nil, fmt.Errorf("the base model has a vocabulary of %d in %v, the trained one %d in %v; KL needs the same",
			r.Base.spec.Vocab, r.Base.dtype, m.spec.Vocab, m.dtype)
	}
	normed, ids := r.Base.states(b, targets)
	h.BaseX, h.BaseW = normed, r.Base.head.op
	h.BaseLogSumExp = m.dev.HeadStats(normed, h.BaseW, ids, 1).LogSumExp
	return h, nil
}

// addNoise adds r.Noise to the embeddings x [T, D].
func (r *Regularisers) addNoise(m *Model, x compute.Tensor) error {
	if r == nil || r.Noise == nil {
		return nil
	}
	if len(r.Noise) != x.Rows()*x.Cols() {
		return fmt.Errorf("noise has %d values for embeddings [%d, %d]", len(r.Noise), x.Rows(), x.Cols())
	}
	noise := m.ws.get("noise", x.Rows(), x.Cols(), compute.F32)
	m.dev.Write(noise, r.Noise)
	every := make([]int32, x.Rows())
	for i := range every {
		every[i] = int32(i)
	}
	m.dev.ScatterAddRows(x, noise, every)
	return nil
}

// added is what terms add to the sum of coef * -logprob.
func (r *Regularisers) added(t compute.HeadTerms, logp, coef []float32) float64 {
	var sum float64
	for i, s := range t.SmoothLoss {
		sum += float64(coef[i]) * (float64(s) + float64(logp[i]))
	}
	for _, k := range t.KL {
		sum += r.KL * float64(k)
	}
	return sum
}
