package model

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"eaft/model/weights"
)

// fileTypes are general.file_type of what is exported (gguf-py's LlamaFileType).
var fileTypes = map[string]uint32{"F32": 0, "F16": 1, "BF16": 32}

// ExportGGUF writes a checkpoint as a GGUF with llama.cpp's names, as its
// convert_hf_to_gguf.py does: matrices in dtype (F32, F16 or BF16), vectors in
// F32, q and k interleaved in architecture llama, which Mistral shares. With the
// weights go the tokenizer, its special tokens and the chat template; a
// checkpoint without a tokenizer makes a GGUF without one. A GGUF of F32 is the
// same model to the bit. An adapter, nil for none, is merged; lost is what
// ExportFolder says, what is refused too, and that ctx leaves no file.
func ExportGGUF(ctx context.Context, path string, from, adapter *weights.Checkpoint, dtype string) (lost float64, err error) {
	spec, arch, metadata, err := describeGGUF(from)
	if err != nil {
		return 0, err
	}
	src, err := newMerged(ctx, from, adapter, &spec, dtype)
	if err != nil {
		return 0, err
	}
	metadata = append(metadata, weights.KeyValue{Key: "general.file_type", Value: fileTypes[dtype]})
	if len(src.adapters) > 0 {
		metadata = append(metadata, weights.KeyValue{Key: mergedKey, Value: src.adapters})
	}
	var tensors []weights.Named
	if spec.RoPE.Scaling == "llama3" {
		tensors = append(tensors, spec.ropeFreqs())
	}
	for _, t := range spec.tensors() {
		named := weights.Named{Name: ggufName(t.name), DType: "F32", Shape: t.shape()}
		if t.kind == matrix {
			named.DType = dtype
		}
		permuted := arch == "llama" && (strings.Contains(t.name, ".q_proj.") || strings.Contains(t.name, ".k_proj."))
		named.Read = func(row int, dst []float32) error {
			if permuted && t.kind == matrix {
				row = plainRow(row, spec.HeadDim)
			}
			if err := src.readRow(t, row, dst); err != nil || !permuted || t.kind == matrix {
				return err
			}
			plain := slices.Clone(dst)
			for i := range dst {
				dst[i] = plain[plainRow(i, spec.HeadDim)]
			}
			return nil
		}
		tensors = append(tensors, named)
	}
	err = weights.WriteGGUF(path, metadata, tensors)
	return src.lost(), err
}

// CheckGGUF says what keeps a checkpoint's architecture or tokenizer out of a
// GGUF. The weights are not looked at.
func CheckGGUF(from *weights.Checkpoint) error {
	_, _, _, err := describeGGUF(from)
	return err
}

// describeGGUF is the architecture and the metadata of a checkpoint's GGUF.
func describeGGUF(from *weights.Checkpoint) (Spec, string, []weights.KeyValue, error) {
	spec, err := SpecOf(from)
	if err != nil {
		return Spec{}, "", nil, err
	}
	arch := spec.Family
	if arch == "mistral" {
		arch = "llama"
	}
	metadata, err := spec.ggufMetadata(arch)
	if err != nil {
		return Spec{}, "", nil, fmt.Errorf("%s: %w", from.Ref(), err)
	}
	vocabulary, err := from.GGUFVocabulary(spec.Vocab)
	if err != nil {
		return Spec{}, "", nil, fmt.Errorf("%s: %w", from.Ref(), err)
	}
	return spec, arch, append(metadata, vocabulary...), nil
}

// plainRow is the inverse of interleavedRow.
func plainRow(r, headDim int) int {
	head, i := r/headDim, r%headDim
	return head*headDim + i/2 + i%2*(headDim/2)
}

// ggufMetadata is the Spec under llama.cpp's keys (gguf-py/gguf/constants.py).
func (s *Spec) ggufMetadata(arch string) ([]weights.KeyValue, error) {
	out := []weights.KeyValue{{Key: "general.architecture", Value: arch}, {Key: "general.type", Value: "model"}}
	add := func(key string, value any) { out = append(out, weights.KeyValue{Key: arch + "." + key, Value: value}) }
	add("block_count", uint32(s.Layers))
	add("context_length", uint32(s.MaxPositions))
	add("embedding_length", uint32(s.Hidden))
	add("feed_forward_length", uint32(s.Intermediate))
	add("attention.head_count", uint32(s.Heads))
	add("attention.head_count_kv", uint32(s.KVHeads))
	add("attention.key_length", uint32(s.HeadDim))
	add("attention.value_length", uint32(s.HeadDim))
	add("attention.layer_norm_rms_epsilon", s.Eps)
	add("rope.dimension_count", uint32(s.HeadDim))
	add("rope.freq_base", float32(s.RoPE.Theta))
	add("vocab_size", uint32(s.Vocab))
	switch s.RoPE.Scaling {
	case "linear":
		add("rope.scaling.type", "linear")
		add("rope.scaling.factor", float32(s.RoPE.Factor))
	case "llama3":
		add("rope.scaling.original_context_length", uint32(s.RoPE.Original))
	}
	for _, w := range s.Windows {
		if w != s.Windows[0] || w > 0 && s.Family != "mistral" {
			return nil, fmt.Errorf("its sliding windows %v cannot be said in a GGUF of architecture %s: give no window in config.json", s.Windows, arch)
		}
	}
	if w := s.Windows[0]; w > 0 {
		add("attention.sliding_window", uint32(w))
	}
	return out, nil
}

// ropeFreqs is the tensor of Llama 3's divisors of the plain frequencies.
func (s *Spec) ropeFreqs() weights.Named {
	return weights.Named{Name: ropeFreqsName, DType: "F32", Shape: []int{s.HeadDim / 2}, Read: func(_ int, dst []float32) error {
		plain := RoPE{Theta: s.RoPE.Theta}
		stretched := s.RoPE.frequencies(s.HeadDim)
		for i, f := range plain.frequencies(s.HeadDim) {
			dst[i] = float32(f / stretched[i])
		}
		return nil
	}}
}
