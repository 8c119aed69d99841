package train

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"eaft/internal/cli"
	"eaft/model"
	"eaft/model/weights"
	"eaft/parquet"
	"eaft/tokenize/tokenizer"
)

// Tokens that were made with a Hugging Face folder train and measure a GGUF of it,
// whose tokenizer has another hash, and the record names both; a run goes on with
// the same two only.
func TestTokensOfAnotherContainer(t *testing.T) {
	w := newWorld(t)
	gguf := filepath.Join(w.dir, "demo.gguf")
	demo, err := weights.Open("demo")
	must(t, err)
	defer demo.Close()
	_, err = model.ExportGGUF(t.Context(), gguf, demo, nil, "F32")
	must(t, err)
	if w.c, err = weights.Open(gguf); err != nil {
		t.Fatal(err)
	}
	defer w.c.Close()
	data, err := demo.TokenizerJSON()
	must(t, err)
	// As transformers writes it; a GGUF does not keep it.
	data = bytes.Replace(data, []byte(`"continuing_subword_prefix": null`), []byte(`"continuing_subword_prefix": ""`), 1)
	hash := func(data []byte) string {
		k, err := tokenizer.FromJSON(data)
		must(t, err)
		return k.Fingerprint()
	}
	own, err := w.c.TokenizerJSON()
	must(t, err)
	m, err := parquet.ReadManifest(w.o.Tokens)
	must(t, err)
	m.Hashes = map[string]string{"tokenizer": hash(data)}
	must(t, parquet.WriteManifest(w.o.Tokens, m))
	file := filepath.Join(w.o.Tokens, parquet.TokenizerName)
	must(t, os.WriteFile(file, data, 0o666))
	w.o.Scores, w.o.Loss, w.o.MaxRows, w.o.Epochs = "", "sft", 2, 1
	w.o.Eval = []HeldOutSet{{Name: "held", Dir: w.o.Tokens}}

	must(t, w.run(t.Context()))
	if n := strings.Count(w.log.String(), "the vocabularies agree in all"); n != 2 { // --tokens and --eval
		t.Errorf("said %d times: %s", n, w.log.String())
	}
	var rec Record
	text, err := os.ReadFile(filepath.Join(w.o.Out, RecordName))
	must(t, err)
	must(t, json.Unmarshal(text, &rec))
	if hash(own) == hash(data) {
		t.Error("both containers have the same tokenizer")
	}
	a, err := parquet.ReadMeta(filepath.Join(w.o.Out, AuditName, parquet.ShardName(0, 1)))
	must(t, err)
	for where, hashes := range map[string]map[string]string{"record": rec.Hashes, "audit": a.Hashes} {
		if hashes["tokenizer"] != hash(data) || hashes["model_tokenizer"] != hash(own) {
			t.Errorf("the %s has %v; the tokens' tokenizer is %s, the model's %s", where, hashes, hash(data), hash(own))
		}
	}
	must(t, w.run(t.Context()))
	if !strings.Contains(w.log.String(), "is finished already") {
		t.Errorf("a second time: %s", w.log.String())
	}

	// The same tokens, made by the model's own tokenizer, are another run's.
	m.Hashes["tokenizer"] = hash(own)
	must(t, parquet.WriteManifest(w.o.Tokens, m))
	if err := w.run(t.Context()); cli.Code(err) != cli.ExitUsage || !strings.Contains(err.Error(), "hash of the model's tokenizer") {
		t.Errorf("the error is %v", err)
	}

	// Another vocabulary is refused by what is set before a run and by train eval.
	other := bytes.ReplaceAll(data, []byte("im_start"), []byte("im_begin"))
	m.Hashes["tokenizer"] = hash(other)
	must(t, parquet.WriteManifest(w.o.Tokens, m))
	must(t, os.WriteFile(file, other, 0o666))
	ds, err := parquet.OpenDataset(w.o.Tokens, parquet.SchemaTokens)
	must(t, err)
	_, evalErr := CheckTokens(w.c, ds, &w.log)
	w.o.Out = filepath.Join(w.dir, "other")
	for _, err := range []error{evalErr, w.run(t.Context())} {
		if cli.Code(err) != cli.ExitUsage || !strings.Contains(err.Error(), `id 1 is "<|im_begin|>" in _tokenizer.json and "<|im_start|>" in `+gguf) || !strings.Contains(err.Error(), "tokenize with --model "+gguf) {
			t.Errorf("the error is %v", err)
		}
	}
}

// A GGUF that cuts texts in a way which is not known trains on tokens that are ready,
// if its vocabulary is theirs. It leaves a model without a tokenizer, and says so.
func TestUnknownPreTokenizer(t *testing.T) {
	w := newWorld(t)
	gguf := filepath.Join(w.dir, "demo.gguf")
	demo, err := weights.Open("demo")
	must(t, err)
	defer demo.Close()
	_, err = model.ExportGGUF(t.Context(), gguf, demo, nil, "F32")
	must(t, err)
	data, err := os.ReadFile(gguf)
	must(t, err)
	known := []byte("tokenizer.ggml.pre\x08\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00smollm")
	if bytes.Count(data, known) != 1 {
		t.Fatal("the GGUF does not say smollm")
	}
	must(t, os.WriteFile(gguf, bytes.Replace(data, known, bytes.Replace(known, []byte("smollm"), []byte("newest"), 1), 1), 0o666))
	if w.c, err = weights.Open(gguf); err != nil {
		t.Fatal(err)
	}
	defer w.c.Close()
	own, err := demo.TokenizerJSON()
	must(t, err)
	m, err := parquet.ReadManifest(w.o.Tokens)
	must(t, err)
	made := func(tokenizerJSON []byte) {
		t.Helper()
		k, err := tokenizer.FromJSON(tokenizerJSON)
		must(t, err)
		m.Hashes = map[string]string{"tokenizer": k.Fingerprint()}
		must(t, parquet.WriteManifest(w.o.Tokens, m))
		must(t, os.WriteFile(filepath.Join(w.o.Tokens, parquet.TokenizerName), tokenizerJSON, 0o666))
	}
	w.o.Scores, w.o.Loss, w.o.MaxRows, w.o.Epochs = "", "sft", 2, 1

	made(own)
	must(t, w.run(t.Context()))
	for _, want := range []string{"the vocabularies agree in all", `tokenizer.ggml.pre "newest" is not known`, filepath.Join(w.o.Out, ModelName) + " is written without a tokenizer"} {
		if !strings.Contains(w.log.String(), want) {
			t.Errorf("%q is not said: %s", want, w.log.String())
		}
	}
	trained, err := weights.Open(filepath.Join(w.o.Out, ModelName))
	must(t, err)
	defer trained.Close()
	if _, err := trained.TokenizerJSON(); err != weights.ErrNoTokenizer {
		t.Errorf("the trained model's tokenizer: %v", err)
	}

	made(bytes.ReplaceAll(own, []byte("im_start"), []byte("im_begin")))
	w.o.Out = filepath.Join(w.dir, "other")
	if err := w.run(t.Context()); cli.Code(err) != cli.ExitUsage || !strings.Contains(err.Error(), `id 1 is "<|im_begin|>"`) || !strings.Contains(err.Error(), "give the model that the tokens were made with") {
		t.Errorf("another vocabulary: %v", err)
	}
	// A text would be cut wrongly, and a GGUF without the vocabulary is no export of it.
	if _, err := model.ExportGGUF(t.Context(), filepath.Join(w.dir, "again.gguf"), w.c, nil, "F32"); err == nil || !strings.Contains(err.Error(), `"newest" is not known`) {
		t.Errorf("exported: %v", err)
	}
}
