package model

import (
	"fmt"
	"slices"

	"eaft/compute"
)

// FitMemory decides what the blocks keep of their forward passes so that
// training with AdamW on batches of so many tokens stays within limit bytes:
// as much as fits, because the rest is computed again, up to a third more work.
// Results do not depend on it. It fails if the least is too much, and says how
// much that is.
func (m *Model) FitMemory(limit int64, tokens int) error {
	fixed := m.stateBytes() + int64(tokens)*m.passBytes()
	for i := range m.keep {
		m.keep[i] = keepInput
		fixed += int64(tokens) * m.keptBytes(keepInput)
	}
	if fixed > limit {
		return fmt.Errorf("training this model on batches of %d tokens takes at least %d MiB, of which %d MiB are weights, gradients and moments; %d MiB were allowed",
			tokens, mib(fixed), mib(m.stateBytes()), limit>>20)
	}
	for k := keepAttention; k <= keepAll; k++ {
		more := int64(tokens) * (m.keptBytes(k) - m.keptBytes(k-1))
		for i := len(m.keep) - 1; i >= 0 && fixed+more <= limit; i-- {
			m.keep[i] = k
			fixed += more
		}
	}
	return nil
}

func mib(n int64) int64 { return (n + 1<<20 - 1) >> 20 }

// momentBytes is what the optimizer keeps of a weight.
func (m *Model) momentBytes(w *weight) int64 {
	if m.moments == nil {
		return 8 * int64(w.rows) * int64(w.cols)
	}
	return m.moments(w.rows, w.cols)
}

// stateBytes is what does not depend on the batch: the process, the float32
// masters, gradients and moments of what is trained, and the operands of products.
func (m *Model) stateBytes() int64 {
	n := int64(288 << 20)
	for _, w := range append(slices.Clone(m.order), m.adapters...) {
		size := int64(w.rows) * int64(w.cols)
		switch {
		case w.grad != nil:
			n += 8*size + m.momentBytes(w)
		case w.kind != matrix || m.dtype != compute.BF16:
			n += 4 * size // frozen, and used as it is
		}
		if w.kind == matrix && m.dtype == compute.BF16 {
			n += 2 * size
		}
	}
	return n
}

// ScoringBytes is what a model loaded for scoring takes with batches of so many
// tokens: its weights and one block's activations.
func (m *Model) ScoringBytes(tokens int) int64 { return m.spec.ScoringBytes(m.dtype, tokens) }

// ScoringBytes is what a model without adapters takes when it is loaded for scoring
// with operands of dtype.
func (s *Spec) ScoringBytes(dtype compute.DType, tokens int) int64 {
	n := int64(tokens) * (&Model{spec: *s, dtype: dtype}).passBytes()
	for _, w := range s.tensors() {
		size := int64(w.rows) * int64(w.cols)
		if w.kind == matrix && dtype == compute.BF16 {
			n += 2 * size
		} else {
			n += 4 * size
		}
	}
	return n
}

// keptBytes is what a block keeps of a token.
func (m *Model) keptBytes(k keep) int64 {
	s := &m.spec
	q, kv := s.Heads*s.HeadDim, s.KVHeads*s.HeadDim
	operand := 4
	if m.dtype == compute.BF16 {
		operand = 2
	}
	n := 4 * s.Hidden
	if k >= keepAttention {
		n += 4*(s.Hidden+s.Heads+2) + operand*(2*q+2*kv)
		if s.QKNorm {
			n += 4 * (q + kv + s.Heads + s.KVHeads)
		}
	}
	if k >= keepAll {
		n += 2 * operand * s.Intermediate
	}
	return int64(n)
}

// passBytes is what the passes need of a token whatever the blocks keep: one
// block's activations and their gradients, and the operands made of them.
func (m *Model) passBytes() int64 {
	s := &m.spec
	q, kv := s.Heads*s.HeadDim, s.KVHeads*s.HeadDim
	n := m.keptBytes(keepAll) + int64(6*4*s.Hidden+4*(2*q+2*kv)+3*4*s.Intermediate)
	if m.lora != nil { // its products beside the others, and their gradients
		n += int64(4 * (4*s.Intermediate + 2*s.Hidden + 2*q + 2*kv + 2*m.lora.Rank))
	}
	return n
}
