package tokenizer

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

var styles = []string{"smollm2", "qwen2", "llama3", "gpt2"}

func load(tb testing.TB, style string) *Tokenizer {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", style+".json"))
	if err != nil {
		tb.Fatal(err)
	}
	t, err := FromJSON(data)
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

func readJSON[T any](tb testing.TB, name string) (v T) {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	if err := json.Unmarshal(data, &v); err != nil {
		tb.Fatal(err)
	}
	return v
}

// checkOffsets: within the text, monotone, and every byte belongs to a token.
func checkOffsets(t *testing.T, text string, e Encoding) {
	t.Helper()
	if len(e.IDs) != len(e.Starts) || len(e.IDs) != len(e.Ends) {
		t.Fatalf("%q: %d ids, %d starts, %d ends", text, len(e.IDs), len(e.Starts), len(e.Ends))
	}
	start, end := int32(0), int32(0)
	for i := range e.IDs {
		if e.Starts[i] < start || e.Ends[i] < end || e.Starts[i] > end || e.Starts[i] >= e.Ends[i] {
			t.Fatalf("%q: token %d is [%d,%d) after [%d,%d)", text, i, e.Starts[i], e.Ends[i], start, end)
		}
		start, end = e.Starts[i], e.Ends[i]
	}
	if int(end) != len(text) {
		t.Fatalf("%q: the tokens end at %d of %d", text, end, len(text))
	}
}

func TestHuggingFace(t *testing.T) {
	texts := readJSON[[]string](t, "texts.json")
	for _, style := range styles {
		t.Run(style, func(t *testing.T) {
			tok, want := load(t, style), readJSON[[][]int32](t, style+".ids.json")
			if len(want) != len(texts) {
				t.Fatalf("%d expectations for %d texts", len(want), len(texts))
			}
			for i, text := range texts {
				e := tok.Encode(text)
				if !slices.Equal(e.IDs, want[i]) {
					t.Errorf("%q (%+q):\n got %v\nwant %v", text, text, e.IDs, want[i])
				}
				checkOffsets(t, text, e)
			}
		})
	}
}

// TestOffsets: without NFC a token's bytes are the text's at its offsets.
func TestOffsets(t *testing.T) {
	stripped := []string{"<left>", "<right>", "<both>"}
	for _, style := range []string{"smollm2", "llama3", "gpt2"} {
		tok := load(t, style)
		for _, text := range readJSON[[]string](t, "texts.json") {
			e := tok.Encode(text)
			for i, id := range e.IDs {
				got, want := text[e.Starts[i]:e.Ends[i]], string(tok.TokenBytes(id))
				if slices.Contains(stripped, want) {
					got = strings.TrimSpace(got)
				}
				if got != want {
					t.Fatalf("%s: %q: token %d spells %q, its offsets hold %q", style, text, i, want, got)
				}
			}
		}
	}
	// A composed character's tokens point to all of it.
	e := load(t, "qwen2").Encode("xe\u0301y")
	for i := range e.IDs {
		if e.Starts[i] > 0 && e.Starts[i] < 4 && (e.Starts[i] != 1 || e.Ends[i] < 4) {
			t.Errorf("offsets %v %v", e.Starts, e.Ends)
		}
	}
}

// TestNFC compares with x/text wherever that adds no U+034F and no mark is younger
// than Hugging Face's tables.
func TestNFC(t *testing.T) {
	all := slices.Concat(readJSON[[]string](t, "texts.json"))
	for r := rune(0); r < 0x30000; r++ {
		if utf8.ValidRune(r) {
			all = append(all, string(r), "a"+string(r)+"\u0323\u0301", "\u1100"+string(r)+"\u11a8")
		}
	}
	for _, s := range all {
		want := norm.NFC.String(s)
		if strings.Count(want, "\u034f") != strings.Count(s, "\u034f") || strings.ContainsFunc(s, func(r rune) bool { return unicode.Is(youngMarks, r) }) {
			continue
		}
		if got := nfc(s); got != want {
			t.Fatalf("%+q: got %+q, want %+q", s, got, want)
		}
		if got, _ := normalize(s, 0); got != want {
			t.Fatalf("%+q: got %+q, want %+q", s, got, want)
		}
	}
	if got := nfc("e" + strings.Repeat("\u0301", 50)); got != "é"+strings.Repeat("\u0301", 49) {
		t.Errorf("50 accents: %+q", got)
	}
}

// TestLong passes in reasonable time only if merging is not quadratic.
func TestLong(t *testing.T) {
	for _, style := range styles {
		tok := load(t, style)
		for _, text := range []string{strings.Repeat("a", 100_000), strings.Repeat(" ", 100_000) + "x", "e" + strings.Repeat("\u0323\u0301", 50_000), strings.Repeat("<", 100_000)} {
			e := tok.Encode(text)
			checkOffsets(t, text, e)
			if style != "qwen2" && tok.Decode(e.IDs) != text {
				t.Errorf("%s: %.5q... does not decode to itself", style, text)
			}
		}
	}
}

func TestInvalidUTF8(t *testing.T) {
	tok := load(t, "gpt2")
	if got := tok.Decode(tok.Encode("a\xff\xfeb").IDs); got != "a\ufffd\ufffdb" {
		t.Errorf("got %q", got)
	}
}

func TestLookups(t *testing.T) {
	tok := load(t, "llama3")
	if tok.VocabSize() != 627 {
		t.Errorf("VocabSize %d", tok.VocabSize())
	}
	id, ok := tok.ID("<|end|>")
	if !ok || !tok.IsSpecial(id) || string(tok.TokenBytes(id)) != "<|end|>" {
		t.Errorf("<|end|>: %d %v %v %q", id, ok, tok.IsSpecial(id), tok.TokenBytes(id))
	}
	if id, ok = tok.ID("Ġthe"); ok && (tok.IsSpecial(id) || string(tok.TokenBytes(id)) != " the") {
		t.Errorf("Ġthe spells %q", tok.TokenBytes(id))
	}
	for _, id := range []int32{-1, 627, 1 << 30} {
		if b := tok.TokenBytes(id); b != nil {
			t.Errorf("id %d spells %q", id, b)
		}
	}
}

func TestFingerprint(t *testing.T) {
	data, err := os.ReadFile("testdata/gpt2.json")
	if err != nil {
		t.Fatal(err)
	}
	var v map[string]any
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	print := func() string {
		out, _ := json.MarshalIndent(v, "", "   ")
		tok, err := FromJSON(out)
		if err != nil {
			t.Fatal(err)
		}
		return tok.Fingerprint()
	}
	same := load(t, "gpt2").Fingerprint()
	if print() != same {
		t.Error("formatting counts")
	}
	model := v["model"].(map[string]any)
	merges := model["merges"].([]any)
	for i, m := range merges { // the older spelling of the same pair
		p := m.([]any)
		merges[i] = p[0].(string) + " " + p[1].(string)
	}
	if print() != same {
		t.Error("the spelling of merges counts")
	}
	model["merges"] = merges[:len(merges)-1]
	if print() == same {
		t.Error("merges do not count")
	}
	model["merges"] = merges
	v["normalizer"] = map[string]any{"type": "NFC"}
	if print() == same {
		t.Error("the normalizer does not count")
	}
}

// TestReference compares whole published tokenizers with Hugging Face's library.
func TestReference(t *testing.T) {
	python, dirs := os.Getenv("EAFT_PYTHON"), os.Getenv("EAFT_TOKENIZER_DIRS")
	if python == "" || dirs == "" {
		t.Skip("EAFT_PYTHON (with tokenizers==0.23.3) and EAFT_TOKENIZER_DIRS (folders with tokenizer.json) are not set")
	}
	texts := readJSON[[]string](t, "texts.json")
	for _, dir := range filepath.SplitList(dirs) {
		file := filepath.Join(dir, "tokenizer.json")
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		tok, err := FromJSON(data)
		if err != nil {
			t.Fatal(err)
		}
		in, _ := json.Marshal(texts)
		cmd := exec.Command(python, "testdata/reference_ids.py", file)
		cmd.Stdin, cmd.Stderr = bytes.NewReader(in), os.Stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		var want [][]int32
		if err := json.Unmarshal(out, &want); err != nil {
			t.Fatal(err)
		}
		for i, text := range texts {
			if got := tok.Encode(text).IDs; !slices.Equal(got, want[i]) {
				t.Errorf("%s: %+q:\n got %v\nwant %v", dir, text, got, want[i])
			}
		}
	}
}
