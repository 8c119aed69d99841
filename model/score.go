package model

import (
	"errors"
	"fmt"
	"strconv"

	"eaft/compute"
)

// Score runs the model over b and returns the statistics of each target: a flat
// position in b.IDs, ascending, never the first of a row, predicted from the
// hidden state before it. A target's numbers depend bitwise on its own row
// alone. k is the number of tokens in the top-k quantities.
func (m *Model) Score(b Batch, targets []int32, k int) (*compute.HeadStats, error) {
	if err := m.check(b, targets, k); err != nil {
		return nil, err
	}
	if len(targets) == 0 {
		return &compute.HeadStats{}, nil
	}
	in := m.newInput(b)
	a := m.newActivations(len(b.IDs), "", true)
	m.dev.Embed(a.x, m.embed.op, in.ids)
	for i := range m.layers {
		m.layers[i].forward(m, in, &a, a.x)
	}
	from, tokens := b.headInputs(targets)
	h := m.headForward(a.x, from)
	return m.dev.HeadStats(h.normed, m.head.op, tokens, k), nil
}

// Accumulate runs the model over b, asks weigh for dL/d(-logprob) of each
// target, such as w_t/N, and adds the gradients of L to those of the weights.
// It returns the statistics that weigh saw.
func (m *Model) Accumulate(b Batch, targets []int32, k int, weigh func(*compute.HeadStats) []float32) (*compute.HeadStats, error) {
	if m.embed.grad == nil {
		return nil, errors.New("the model was loaded for scoring and has no gradients")
	}
	if err := m.check(b, targets, k); err != nil {
		return nil, err
	}
	if len(targets) == 0 {
		return &compute.HeadStats{}, nil
	}
	T := len(b.IDs)
	in := m.newInput(b)
	m.acts = m.acts[:0]
	for i := range m.layers {
		m.acts = append(m.acts, m.newActivations(T, "."+strconv.Itoa(i), false))
	}
	last := m.ws.get("x.out", T, m.spec.Hidden, compute.F32)
	m.dev.Embed(m.acts[0].x, m.embed.op, in.ids)
	for i := range m.layers {
		out := last
		if i+1 < len(m.layers) {
			out = m.acts[i+1].x
		}
		m.layers[i].forward(m, in, &m.acts[i], out)
	}
	from, tokens := b.headInputs(targets)
	h := m.headForward(last, from)
	stats := m.dev.HeadStats(h.normed, m.head.op, tokens, k)
	coef := weigh(stats)
	if len(coef) != len(targets) {
		return nil, fmt.Errorf("%d loss weights were given for %d targets", len(coef), len(targets))
	}

	d := m.ws.get("d", T, m.spec.Hidden, compute.F32)
	m.headBackward(d, h, from, tokens, stats.LogSumExp, coef)
	for i := len(m.layers) - 1; i >= 0; i-- {
		m.layers[i].backward(m, in, &m.acts[i], d)
	}
	m.dev.EmbedBackward(m.embed.grad, d, in.ids)
	return stats, nil
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

// headForward gathers the rows from of hidden [T, D] and normalises them; the
// final norm and the head never see the other positions.
func (m *Model) headForward(hidden compute.Tensor, from []int32) headInput {
	n, D := len(from), m.spec.Hidden
	h := headInput{m.ws.get("head.x", n, D, compute.F32), m.ws.get("head.rstd", n, 1, compute.F32), m.ws.get("head.normed", n, D, compute.F32)}
	m.dev.GatherRows(h.x, hidden, from)
	m.dev.RMSNorm(h.normed, h.rstd, h.x, m.norm.value, m.spec.Eps)
	return h
}

// headBackward writes the gradient of the last block's output into d [T, D] and
// adds those of the head and the final norm.
func (m *Model) headBackward(d compute.Tensor, h headInput, from, tokens []int32, lse, coef []float32) {
	dx := m.ws.get("head.dx", len(from), m.spec.Hidden, compute.F32)
	m.dev.HeadBackward(dx, m.head.grad, h.normed, m.head.op, tokens, lse, coef)
	m.dev.RMSNormBackward(dx, m.norm.grad, dx, h.x, h.rstd, m.norm.value, false)
	m.dev.Zero(d)
	m.dev.ScatterAddRows(d, dx, from)
}
