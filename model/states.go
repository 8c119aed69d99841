package model

import "eaft/compute"

// States are the normalised hidden states [n, D] that predict n targets, from
// which a head makes the whole distributions.
type States struct{ x compute.Tensor }

// Head is a copy of a model's head, which stays as it is when the model is
// trained on.
type Head struct{ w compute.Weight }

// ScoreStates is Score, and the targets' states, which the next call on the model
// overwrites.
func (m *Model) ScoreStates(b Batch, targets []int32, k int) (*compute.HeadStats, States, error) {
	if err := m.check(b, targets, k); err != nil {
		return nil, States{}, err
	}
	if len(targets) == 0 {
		return &compute.HeadStats{}, States{}, nil
	}
	x, ids := m.states(b, targets)
	return m.dev.HeadStats(x, m.head.op, ids, k), States{x}, nil
}

// Keep is a copy of states that lasts.
func (m *Model) Keep(s States) States {
	kept := States{m.dev.NewTensor(s.x.Rows(), s.x.Cols(), s.x.DType())}
	all := make([]int32, s.x.Rows())
	for i := range all {
		all[i] = int32(i)
	}
	m.dev.GatherRows(kept.x, s.x, all)
	return kept
}

// KeepHead copies the head.
func (m *Model) KeepHead() (Head, error) {
	w, err := m.dev.NewWeight(m.head.rows, m.head.cols, m.dtype, func(row int, dst []float32) error {
		m.readRow(dst, m.head, row)
		return nil
	})
	return Head{w}, err
}

// KeptBytes is what the states of n targets take, and what the head does.
func (m *Model) KeptBytes(targets int) (states, head int64) {
	operand := int64(4)
	if m.dtype == compute.BF16 {
		operand = 2
	}
	return int64(targets) * int64(m.spec.Hidden) * operand, int64(m.head.rows) * int64(m.head.cols) * operand
}

// Logits writes the logits [hi-lo, V] of the states [lo, hi), row-major, by h, or
// by the model's own head if h is nil.
func (m *Model) Logits(dst []float32, s States, lo, hi int, h *Head) {
	w := m.head.op
	if h != nil {
		w = h.w
	}
	y := m.ws.get("logits", hi-lo, m.spec.Vocab, compute.F32)
	m.dev.Linear(y, s.x.Slice(lo, hi), w, nil, nil)
	m.dev.Read(dst, y)
}
