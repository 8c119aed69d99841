package tokenizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// values are the vocabulary under the keys of a GGUF, after tokenizer.ggml.
func (v *GGUFVocab) values() map[string]any {
	out := map[string]any{"model": v.Model, "tokens": v.Tokens, "token_type": v.Types}
	if v.Pre != "" {
		out["pre"] = v.Pre
	}
	if len(v.Scores) > 0 {
		out["scores"] = v.Scores
	}
	if len(v.Merges) > 0 {
		out["merges"] = v.Merges
	}
	if len(v.CharsMap) > 0 {
		out["precompiled_charsmap"] = v.CharsMap
	}
	for key, id := range map[string]int32{"bos": v.BOS, "eos": v.EOS, "padding": v.PAD, "unknown": v.UNK, "seperator": v.SEP} {
		if id >= 0 {
			out[key+"_token_id"] = id
		}
	}
	for key, b := range map[string]*bool{
		"add_bos_token": v.AddBOS, "add_eos_token": v.AddEOS, "add_space_prefix": v.AddSpacePrefix, "remove_extra_whitespaces": v.RemoveExtraSpaces,
		"normalizer.lowercase": v.Lowercase, "normalizer.strip_accents": v.StripAccents,
	} {
		if b != nil {
			out[key] = *b
		}
	}
	return out
}

// llamaCPP runs llamacpp.py: ids without and with special tokens.
func llamaCPP(t *testing.T, v GGUFVocab, texts []string) [][2][]int32 {
	t.Helper()
	in, err := json.Marshal(map[string]any{"values": v.values(), "texts": texts})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Getenv("EAFT_PYTHON"), "testdata/llamacpp.py", filepath.Join(t.TempDir(), "vocab.gguf"))
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), os.Stderr
	out, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() == 3 {
		t.Skip("gguf or llama-cpp-python is not installed")
	}
	if err != nil {
		t.Fatal(err)
	}
	return answers[[2][]int32](t, out, len(texts))
}
