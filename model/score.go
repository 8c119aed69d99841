package model

import (
	"errors"
	"fmt"

	"eaft/compute"
)

// Score runs the model over b and returns the statistics of each target: a flat
// position in b.IDs, ascending, never the first of a row, predicted from the
// hidden state before it. A target's numbers depend bitwise on its own row up to
// it alone, shared with others or not. k is the number of tokens in the top-k
// quantities.
func (m *Model) Score(b Batch, targets []int32, k int) (*compute.HeadStats, error) {
	if err := m.check(b, targets, k); err != nil {
		return nil, err
	}
	if len(targets) == 0 {
		return &compute.HeadStats{}, nil
	}
	x, ids := m.states(b, targets)
	return m.dev.HeadStats(x, m.head.op, ids, k), nil
}

// states is the normalised hidden states [n, D] that predict the n targets, at
// least one, and the targets' tokens.
func (m *Model) states(b Batch, targets []int32) (compute.Tensor, []int32) {
	in, want := m.newInput(b), b.asked(targets)
	last := len(m.layers) - 1
	a := m.newActivations(in, 0, keepNothing)
	m.dev.Embed(a.x, m.embed.op, in.ids)
	for i := range last {
		m.layers[i].forward(m, in, &a, nil)
	}
	in = in.asking(want.rows)
	a = m.newActivations(in, last, keepNothing)
	m.layers[last].forward(m, in, &a, nil)
	x := a.mid
	if want.of != nil {
		x = m.ws.get("head.x", len(targets), m.spec.Hidden, compute.F32)
		m.dev.GatherRows(x, a.mid, want.of)
	}
	return m.headForward(x).normed, want.ids
}

// Accumulate runs the model over b, asks weigh for dL/d(-logprob) of each
// target, such as w_t/N, and adds the gradients of L to those of the weights.
// It returns the statistics that weigh saw. Its rows share nothing.
func (m *Model) Accumulate(b Batch, targets []int32, k int, weigh func(*compute.HeadStats) []float32) (*compute.HeadStats, error) {
	stats, _, err := m.AccumulateWith(b, targets, k, nil, weigh)
	return stats, err
}

// AccumulateWith is Accumulate with regularisers, nil for none. The statistics
// are of the model as it was run, noise included.
func (m *Model) AccumulateWith(b Batch, targets []int32, k int, r *Regularisers, weigh func(*compute.HeadStats) []float32) (*compute.HeadStats, Terms, error) {
	fail := func(err error) (*compute.HeadStats, Terms, error) { return nil, Terms{}, err }
	if !m.trains() {
		return fail(errors.New("the model was loaded for scoring and has no gradients"))
	}
	if b.Parent != nil {
		return fail(errors.New("batch: segments with parents can be scored only; training needs every row whole"))
	}
	if err := m.check(b, targets, k); err != nil {
		return fail(err)
	}
	if len(targets) == 0 {
		m.settle()
		return &compute.HeadStats{}, Terms{}, nil
	}
	reg, err := r.headRegularisers(m, b, targets)
	if err != nil {
		return fail(err)
	}
	in, want := m.newInput(b), b.asked(targets)
	asking := in.asking(want.rows)
	last := len(m.layers) - 1
	m.acts = m.acts[:0]
	for i := range last {
		m.acts = append(m.acts, m.newActivations(in, i, m.keep[i]))
	}
	m.acts = append(m.acts, m.newActivations(asking, last, m.keep[last]))
	out := m.ws.get("x.out", len(targets), m.spec.Hidden, compute.F32)
	m.dev.Embed(m.acts[0].x, m.embed.op, in.ids)
	if err := r.addNoise(m, m.acts[0].x); err != nil {
		return fail(err)
	}
	for i := range last {
		m.layers[i].forward(m, in, &m.acts[i], m.acts[i+1].x)
	}
	m.layers[last].forward(m, asking, &m.acts[last], out)
	h := m.headForward(out)
	stats := m.dev.HeadStats(h.normed, m.head.op, want.ids, k)
	coef := weigh(stats)
	if len(coef) != len(targets) {
		return fail(fmt.Errorf("%d loss weights were given for %d targets", len(coef), len(targets)))
	}

	dout := m.ws.get("head.dx", len(targets), m.spec.Hidden, compute.F32)
	t := m.headBackward(dout, h, want.ids, stats.LogSumExp, coef, reg)
	d := m.ws.get("d", len(b.IDs), m.spec.Hidden, compute.F32)
	m.layers[last].backward(m, asking, &m.acts[last], dout, d)
	for i := last - 1; i >= 0; i-- {
		m.layers[i].backward(m, in, &m.acts[i], d, d)
	}
	if m.embed.grad != nil {
		m.dev.EmbedBackward(m.embed.grad, d, in.ids)
	}
	return stats, Terms{t, r.added(t, stats.LogProb, coef)}, nil
}

func (m *Model) check(b Batch, targets []int32, k int) error {
	if k < 1 || k > m.spec.Vocab {
		return fmt.Errorf("k is %d; it must lie between 1 and the vocabulary's size, %d", k, m.spec.Vocab)
	}
	return b.check(m.spec.Vocab, targets)
}

// headInput is the hidden states that predict the n targets.
type headInput struct {
	x      compute.Tensor // [n, D] of the last block
	rstd   compute.Tensor // [n, 1]
	normed compute.Tensor // [n, D] after model.norm
}

// headForward normalises x [n, D]; the final norm and the head never see the
// positions that predict no target.
func (m *Model) headForward(x compute.Tensor) headInput {
	n := x.Rows()
	h := headInput{x, m.ws.get("head.rstd", n, 1, compute.F32), m.ws.get("head.normed", n, m.spec.Hidden, m.dtype)}
	m.dev.RMSNorm(h.normed, h.rstd, h.x, m.norm.value, m.spec.Eps)
	return h
}

// headBackward writes the gradient of the last block's output into dx [n, D] and
// adds those of the head and the final norm.
func (m *Model) headBackward(dx compute.Tensor, h headInput, ids []int32, lse, coef []float32, r *compute.HeadRegularisers) compute.HeadTerms {
	t := m.dev.HeadBackward(dx, m.head.grad, h.normed, m.head.renew(), m.head.op, ids, lse, coef, r)
	m.dev.RMSNormBackward(dx, m.norm.grad, dx, h.x, h.rstd, m.norm.value, false)
	return t
}
