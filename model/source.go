package model

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
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
	if _, err := s.c.File(weights.AdapterConfig); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %s lies beside the model's weights, and transformers would load the adapter with its own base model instead: take the adapter out of this folder", s.c.Ref(), weights.AdapterConfig)
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
	return s.checkTied()
}

// checkTied compares a head that is stored beside the embedding, though the config
// says that they are one: of two that differ transformers 5 uses both, 4 does not.
func (s *source) checkTied() error {
	info, ok := s.c.Info(headName)
	if !ok || !s.spec.TiedHead {
		return nil
	}
	same := slices.Equal(info.Shape, []int{s.spec.Vocab, s.spec.Hidden})
	head, embed := make([]float32, s.spec.Hidden), make([]float32, s.spec.Hidden)
	for r := 0; same && r < s.spec.Vocab; r++ {
		if err := errors.Join(s.c.ReadRows(headName, r, r+1, head), s.c.ReadRows(embedName, r, r+1, embed)); err != nil {
			return err
		}
		same = slices.EqualFunc(head, embed, func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) })
	}
	if !same {
		return fmt.Errorf("%s: tie_word_embeddings is true, but %s is stored and is not %s: set tie_word_embeddings to false in config.json if the model has a head of its own, or take %s out of the file",
			s.c.Ref(), headName, embedName, headName)
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
