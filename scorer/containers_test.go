package scorer

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"eaft/compute/cpu"
	"eaft/internal/cli"
	"eaft/model"
	"eaft/model/weights"
	"eaft/parquet"
	"eaft/tokenize/tokenizer"
)

// made writes a dataset that says that the tokenizer.json made its ids.
func made(t *testing.T, rows []parquet.TokensRow, tokenizerJSON []byte) string {
	t.Helper()
	dir := dataset(t, rows, 2, fingerprint(t, tokenizerJSON))
	if err := os.WriteFile(filepath.Join(dir, parquet.TokenizerName), tokenizerJSON, 0o666); err != nil {
		t.Fatal(err)
	}
	return dir
}

func fingerprint(t *testing.T, tokenizerJSON []byte) string {
	t.Helper()
	k, err := tokenizer.FromJSON(tokenizerJSON)
	if err != nil {
		t.Fatal(err)
	}
	return k.Fingerprint()
}

func tokenizerOf(t *testing.T, c *weights.Checkpoint) []byte {
	t.Helper()
	data, err := c.TokenizerJSON()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// swapped is a tokenizer.json in which two tokens have each other's ids.
func swapped(t *testing.T, tokenizerJSON []byte, a, b int32) []byte {
	t.Helper()
	var f map[string]any
	if err := json.Unmarshal(tokenizerJSON, &f); err != nil {
		t.Fatal(err)
	}
	vocab := f["model"].(map[string]any)["vocab"].(map[string]any)
	for token, id := range vocab {
		switch id.(float64) {
		case float64(a):
			vocab[token] = b
		case float64(b):
			vocab[token] = a
		}
	}
	data, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// scoreWith scores tokens with a model and returns what is said meanwhile.
func scoreWith(t *testing.T, c *weights.Checkpoint, tokens, out string) (sum Summary, again bool, log string, err error) {
	t.Helper()
	dev, err := cpu.New(1)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	o := options(tokens, out)
	o.Log = &b
	sum, again, err = Run(context.Background(), dev, c, o)
	return sum, again, b.String(), err
}

func manifest(t *testing.T, dir string) *parquet.Manifest {
	t.Helper()
	m, err := parquet.ReadManifest(dir)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// published is the demo's model with a tokenizer.json as transformers writes it, which
// says of no prefix that it is "". A GGUF does not keep that.
func published(t *testing.T) *weights.Checkpoint {
	t.Helper()
	dir := t.TempDir()
	demo := os.DirFS("../model/demo")
	if err := os.CopyFS(dir, demo); err != nil {
		t.Fatal(err)
	}
	data, err := fs.ReadFile(demo, "tokenizer.json")
	if err != nil {
		t.Fatal(err)
	}
	data = bytes.Replace(data, []byte(`"continuing_subword_prefix": null`), []byte(`"continuing_subword_prefix": ""`), 1)
	if err := os.WriteFile(filepath.Join(dir, "tokenizer.json"), data, 0o666); err != nil {
		t.Fatal(err)
	}
	return open(t, dir)
}

// A GGUF of a Hugging Face folder has another tokenizer.json, and the same ids:
// tokens that were made with the one are scored with the other, with the same bits.
func TestContainersOfOneModel(t *testing.T) {
	folder := published(t)
	path := filepath.Join(t.TempDir(), "demo.gguf")
	if _, err := model.ExportGGUF(t.Context(), path, folder, nil, "F32"); err != nil {
		t.Fatal(err)
	}
	gguf := open(t, path)
	spec, err := model.SpecOf(folder)
	if err != nil {
		t.Fatal(err)
	}
	ofFolder, ofGGUF := fingerprint(t, tokenizerOf(t, folder)), fingerprint(t, tokenizerOf(t, gguf))
	if ofFolder == ofGGUF {
		t.Fatal("both containers have one hash")
	}
	all := rows(spec.Vocab)
	tokens := map[*weights.Checkpoint]string{folder: made(t, all, tokenizerOf(t, folder)), gguf: made(t, all, tokenizerOf(t, gguf))}
	scores := map[[2]*weights.Checkpoint]string{}
	var want []parquet.ScoresRow
	var wantSum Summary
	for _, c := range []struct {
		by, with         *weights.Checkpoint
		hash, modelsHash string
	}{{folder, folder, ofFolder, ""}, {folder, gguf, ofFolder, ofGGUF}, {gguf, gguf, ofGGUF, ""}, {gguf, folder, ofGGUF, ofFolder}} {
		out := t.TempDir()
		scores[[2]*weights.Checkpoint{c.by, c.with}] = out
		sum, _, log, err := scoreWith(t, c.with, tokens[c.by], out)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(log, "the vocabularies agree"); (n == 1) != (c.modelsHash != "") || n > 1 {
			t.Errorf("tokens by %s, scores by %s: %s", c.by.Ref(), c.with.Ref(), log)
		}
		m := manifest(t, out)
		if m.Hashes["tokenizer"] != c.hash || m.Hashes["model_tokenizer"] != c.modelsHash {
			t.Errorf("tokens by %s, scores by %s: %v", c.by.Ref(), c.with.Ref(), m.Hashes)
		}
		if want == nil {
			want, wantSum = read(t, out), result(sum)
		} else if !reflect.DeepEqual(read(t, out), want) || !reflect.DeepEqual(result(sum), wantSum) {
			t.Errorf("tokens by %s, scores by %s: other scores", c.by.Ref(), c.with.Ref())
		}
		if _, again, _, err := scoreWith(t, c.with, tokens[c.by], out); err != nil || !again {
			t.Errorf("a second time: again is %v, the error %v", again, err)
		}
	}

	// Parts that were tokenized with either are parts of one annotation.
	mixed, own := scores[[2]*weights.Checkpoint{folder, gguf}], t.TempDir()
	if _, _, _, err := scoreWith(t, gguf, made(t, all[1:], tokenizerOf(t, gguf)), own); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		parts            []string
		hash, modelsHash string
	}{{[]string{mixed, own}, ofFolder, ofGGUF}, {[]string{own, mixed}, ofGGUF, ""}} {
		var log bytes.Buffer
		out, tokensOut := filepath.Join(t.TempDir(), "scores"), filepath.Join(t.TempDir(), "tokens")
		if _, err := Merge(context.Background(), c.parts, out, tokensOut, &log); err != nil {
			t.Fatal(err)
		}
		if strings.Count(log.String(), "the vocabularies agree") != 1 {
			t.Errorf("the merge says %q", log.String())
		}
		h, of := manifest(t, out).Hashes, manifest(t, tokensOut).Hashes
		if h["tokenizer"] != c.hash || h["model_tokenizer"] != c.modelsHash || of["tokenizer"] != c.hash {
			t.Errorf("the merged scores have %v, the tokens %v", h, of)
		}
		if v, err := Verify(context.Background(), out, "", io.Discard); err != nil || v.Rows != int64(2*len(want)-1) {
			t.Errorf("%d rows, error %v", v.Rows, err)
		}
		if _, _, _, err := scoreWith(t, gguf, tokensOut, filepath.Join(t.TempDir(), "again")); err != nil {
			t.Errorf("the merged tokens: %v", err)
		}
	}
}

// What is not of the model's vocabulary, or cannot be told, is refused by name.
func TestOtherVocabulary(t *testing.T) {
	folder := open(t, "demo")
	own := tokenizerOf(t, folder)
	k, err := tokenizer.FromJSON(own)
	if err != nil {
		t.Fatal(err)
	}
	const a, b = 300, 310
	other := swapped(t, own, a, b)
	all := rows(vocab(t))
	wrong, missing, changed := made(t, all, other), made(t, all, other), made(t, all, other)
	if err := os.Remove(filepath.Join(missing, parquet.TokenizerName)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(changed, parquet.TokenizerName), own, 0o666); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		dir  string
		want []string
	}{
		{wrong, []string{"id 300 is " + quoted(k, b), " and " + quoted(k, a), "(ids that differ: 2)", fingerprint(t, other), fingerprint(t, own)}},
		{missing, []string{filepath.Join(missing, parquet.TokenizerName) + " is missing"}},
		{changed, []string{filepath.Join(changed, parquet.TokenizerName) + " has the hash " + fingerprint(t, own)}},
	} {
		out := filepath.Join(t.TempDir(), "scores")
		_, _, _, err := scoreWith(t, folder, c.dir, out)
		if cli.Code(err) != cli.ExitUsage {
			t.Errorf("the error is %v", err)
			continue
		}
		for _, want := range append(c.want, filepath.Join(c.dir, parquet.ManifestName), "tokenize with --model demo") {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("the error is %v, without %q", err, want)
			}
		}
		if _, err := os.Stat(out); !os.IsNotExist(err) {
			t.Errorf("%s: %v", out, err)
		}
	}

	// A model without a tokenizer scores any ids; the parts are compared.
	first, plain := made(t, all, own), open(t, llama)
	scored := func(tokens string) string {
		out := t.TempDir()
		if _, _, _, err := scoreWith(t, plain, tokens, out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	for _, c := range []struct{ second, want string }{
		{wrong, "id 300 is " + quoted(k, b) + " in _tokenizer.json and " + quoted(k, a)},
		{missing, "_tokenizer.json is missing"},
	} {
		_, err := Merge(context.Background(), []string{scored(first), scored(c.second)}, filepath.Join(t.TempDir(), "scores"), filepath.Join(t.TempDir(), "tokens"), &bytes.Buffer{})
		if cli.Code(err) != cli.ExitUsage || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "tokenize and score all parts with one --model") {
			t.Errorf("the error is %v", err)
		}
	}
}

func quoted(k *tokenizer.Tokenizer, id int32) string {
	data, _ := json.Marshal(string(k.TokenBytes(id)))
	return string(data)
}
