package model

import (
	"fmt"
	"slices"
	"strings"

	"eaft/model/weights"
)

// source reads a checkpoint's weights by their Hugging Face names.
type source struct {
	c       *weights.Checkpoint
	spec    *Spec
	permute bool // q_proj and k_proj are stored interleaved
}

func newSource(c *weights.Checkpoint, s *Spec) *source {
	arch := ""
	if md := c.GGUF(); md != nil {
		arch, _ = md.String("general.architecture")
	}
	return &source{c: c, spec: s, permute: arch == "llama"}
}

// stored is the name under which the checkpoint holds a weight.
func (s *source) stored(name string) string {
	if s.c.GGUF() != nil {
		return ggufName(name)
	}
	return name
}

// check compares the checkpoint's weights with what the Spec asks for: each is
// there with its shape, and nothing else is that would have a part in the result.
func (s *source) check() error {
	if err := s.c.HasWeights(); err != nil {
		return err
	}
	known := map[string]bool{}
	for _, t := range s.spec.tensors() {
		name := s.stored(t.name)
		known[name] = true
		info, ok := s.c.Info(name)
		if !ok {
			return fmt.Errorf("%s: the weight %s is missing; is this a complete causal language model of type %s?", s.c.Ref(), name, s.spec.Family)
		}
		if !slices.Equal(info.Shape, t.shape()) {
			return fmt.Errorf("%s: the weight %s has shape %v; the config asks for %v", s.c.Ref(), name, info.Shape, t.shape())
		}
	}
	for _, name := range s.c.Names() {
		if !known[name] && !s.spec.ignorable(name) {
			return fmt.Errorf("%s: the weight %s has no place in a model of type %s as its config describes it", s.c.Ref(), name, s.spec.Family)
		}
	}
	return nil
}

// permuted says whether the rows of a weight are stored interleaved.
func (s *source) permuted(name string) bool {
	return s.permute && (strings.Contains(name, ".q_proj.") || strings.Contains(name, ".k_proj."))
}

// readRow reads row r [cols] of a weight.
func (s *source) readRow(t tensorSpec, r int, dst []float32) error {
	if t.kind == matrix && s.permuted(t.name) {
		r = interleavedRow(r, s.spec.HeadDim)
	}
	if err := s.c.ReadRows(s.stored(t.name), r, r+1, dst); err != nil {
		return fmt.Errorf("%s: weight %s, row %d: %w", s.c.Ref(), s.stored(t.name), r, err)
	}
	if t.kind != matrix && s.permuted(t.name) {
		stored := slices.Clone(dst)
		for i := range dst {
			dst[i] = stored[interleavedRow(i, s.spec.HeadDim)]
		}
	}
	return nil
}
