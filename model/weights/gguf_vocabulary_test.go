package weights

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// llama.cpp cuts texts with an exported vocabulary as Hugging Face's library does
// with the tokenizer.json that it was made of.
func TestLlamaCppReadsTheVocabulary(t *testing.T) {
	python := os.Getenv("EAFT_PYTHON")
	if python == "" {
		t.Skip("EAFT_PYTHON names no Python with llama-cpp-python and tokenizers")
	}
	if out, err := exec.Command(python, "-c", "import llama_cpp, tokenizers").CombinedOutput(); err != nil {
		t.Skipf("no llama-cpp-python or tokenizers: %s", out)
	}
	const fixtures = "../../tokenize/tokenizer/testdata"
	args := []string{"testdata/check_vocabulary.py", filepath.Join(fixtures, "texts.json")}
	for _, name := range []string{"gpt2", "smollm2", "llama3", "qwen2", "llama2"} {
		data, err := os.ReadFile(filepath.Join(fixtures, name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		// A GGUF cannot say that a token takes the white space beside it.
		var f map[string]any
		if err := json.Unmarshal(data, &f); err != nil {
			t.Fatal(err)
		}
		for _, a := range f["added_tokens"].([]any) {
			for _, flag := range []string{"lstrip", "rstrip", "single_word", "normalized"} {
				a.(map[string]any)[flag] = false
			}
		}
		if data, err = json.Marshal(f); err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		folder, gguf := filepath.Join(dir, "tokenizer.json"), filepath.Join(dir, "v.gguf")
		if err := os.WriteFile(folder, data, 0o644); err != nil {
			t.Fatal(err)
		}
		c, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		vocabulary, err := c.GGUFVocabulary(800)
		if err != nil {
			t.Fatal(err)
		}
		if err := WriteGGUF(gguf, append([]KeyValue{{"general.architecture", "llama"}}, vocabulary...), nil); err != nil {
			t.Fatal(err)
		}
		args = append(args, folder, gguf)
	}
	out, err := exec.Command(python, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}
