package tokenizer

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
)

// A vocabulary that is exported reads back as a tokenizer that cuts every text of
// testdata/texts.json as the one that it was made of.
func TestExportGGUF(t *testing.T) {
	data, err := os.ReadFile("testdata/texts.json")
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	if err := json.Unmarshal(data, &texts); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ file, model, pre, refused string }{
		{"gpt2", "gpt2", "gpt-2", ""},
		{"smollm2", "gpt2", "smollm", ""},
		{"llama3", "gpt2", "llama-bpe", ""},
		{"qwen2", "gpt2", "qwen2", ""},
		{"qwen35", "gpt2", "qwen35", ""},
		{"tekken", "gpt2", "tekken", ""},
		{"deepseek", "gpt2", "deepseek-v3", ""},
		{"llama2", "llama", "", ""},
		{"mistral", "", "", "no kind for"},
		{"gemma", "", "", "no kind for"},
		{"bert", "", "", "WordPiece"},
		{"t5", "", "", "Unigram"},
		{"fuse", "", "", "byte_fallback"},
		{"roberta", "", "", "no name for"},
		{"nfkc", "", "", "NFKC"},
	} {
		t.Run(c.file, func(t *testing.T) {
			data, err := os.ReadFile("testdata/" + c.file + ".json")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := ExportGGUF(data, 1<<12); c.refused == "" && (err == nil || !strings.Contains(err.Error(), "a GGUF cannot say")) {
				t.Errorf("with added tokens that take the white space around them the error is %v", err)
			}
			data = plainAdded(t, data)
			from, err := FromJSON(data)
			if err != nil {
				t.Fatal(err)
			}
			const spare = 3
			v, err := ExportGGUF(data, from.VocabSize()+spare)
			if c.refused != "" {
				if err == nil || !strings.Contains(err.Error(), c.refused) {
					t.Errorf("the error is %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if v.Model != c.model || v.Pre != c.pre {
				t.Errorf("the kind is %q, the name %q", v.Model, v.Pre)
			}
			if n := from.VocabSize(); !slices.Equal(v.Types[n:], []int32{typeUnused, typeUnused, typeUnused}) {
				t.Errorf("what no token has is of types %v", v.Types[n:])
			}
			back, err := ConvertGGUF(*v)
			if err != nil {
				t.Fatal(err)
			}
			again, err := FromJSON(back)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range texts {
				if c.model == "llama" && strings.Contains(s, "<|end|>") {
					continue // llama.cpp takes it for a special token, after which a space comes; see docs/tokenizers.md
				}
				if a, b := from.Encode(s).IDs, again.Encode(s).IDs; !slices.Equal(a, b) {
					t.Errorf("%q was %v and is %v", s, a, b)
				}
			}
			if _, err := ExportGGUF(data, from.VocabSize()-1); err == nil || !strings.Contains(err.Error(), "rows of embeddings") {
				t.Errorf("with too few rows the error is %v", err)
			}
		})
	}
}

// plainAdded takes from the added tokens what a GGUF cannot say of them.
func plainAdded(t *testing.T, data []byte) []byte {
	t.Helper()
	var f map[string]any
	if err := json.Unmarshal(data, &f); err != nil {
		t.Fatal(err)
	}
	for _, a := range f["added_tokens"].([]any) {
		for _, flag := range []string{"lstrip", "rstrip", "single_word", "normalized"} {
			a.(map[string]any)[flag] = false
		}
	}
	data, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
