package tokenizer

import (
	"compress/gzip"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

// styles are the fixtures of testdata/make_fixtures.py.
var styles = []string{
	"smollm2", "qwen2", "qwen35", "llama3", "gpt2", "o200k", "tekken", "deepseek", "roberta", "nfkc",
	"llama2", "gemma", "mistral", "unk", "fuse", "t5", "xlmr", "unigram_bytes", "bert", "albert",
}

// whole are those of styles whose tokens spell the text, byte for byte, where no
// added token strips it.
var whole = []string{"smollm2", "llama3", "gpt2", "o200k", "tekken", "deepseek", "gemma"}

func load(tb testing.TB, style string) *Tokenizer {
	tb.Helper()
	return loadFile(tb, filepath.Join("testdata", style+".json"))
}

func loadFile(tb testing.TB, path string) *Tokenizer {
	tb.Helper()
	data, err := os.ReadFile(path)
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

// expected reads NAME.expected.json.gz.
func expected(tb testing.TB, style string) (all []expectation) {
	tb.Helper()
	f, err := os.Open(filepath.Join("testdata", style+".expected.json.gz"))
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		tb.Fatal(err)
	}
	if err := json.NewDecoder(z).Decode(&all); err != nil {
		tb.Fatal(err)
	}
	return all
}

func TestHuggingFace(t *testing.T) {
	texts := readJSON[[]string](t, "texts.json")
	for _, style := range styles {
		t.Run(style, func(t *testing.T) {
			tok, want := load(t, style), expected(t, style)
			if len(want) != len(texts) {
				t.Fatalf("%d expectations for %d texts", len(want), len(texts))
			}
			for i, text := range texts {
				if diff := want[i].compare(tok, text); diff != "" {
					t.Errorf("%+q: %s", text, diff)
				}
			}
		})
	}
}

// checkOffsets: within the text, monotone, at characters' ends, and every byte
// belongs to a token.
func checkOffsets(t *testing.T, text string, e Encoding) {
	t.Helper()
	if len(e.IDs) != len(e.Starts) || len(e.IDs) != len(e.Ends) {
		t.Fatalf("%.99q: %d ids, %d starts, %d ends", text, len(e.IDs), len(e.Starts), len(e.Ends))
	}
	start, end := int32(0), int32(0)
	for i := range e.IDs {
		lo, hi := e.Starts[i], e.Ends[i]
		if lo < start || hi < end || lo > end || lo >= hi || !utf8.RuneStart(text[lo]) || int(hi) < len(text) && !utf8.RuneStart(text[hi]) {
			t.Fatalf("%.99q: token %d is [%d,%d) after [%d,%d)", text, i, lo, hi, start, end)
		}
		start, end = lo, hi
	}
	if int(end) != len(text) {
		t.Fatalf("%.99q: the tokens end at %d of %d", text, end, len(text))
	}
}

// TestOffsets: without a normaliser a token's bytes are the text's, and the
// characters that they are of lie at its offsets.
func TestOffsets(t *testing.T) {
	for _, style := range whole {
		tok := load(t, style)
		for _, text := range readJSON[[]string](t, "texts.json") {
			e := tok.Encode(text)
			checkOffsets(t, text, e)
			if strings.Contains(text, "<") || style == "gemma" && strings.Contains(text, "▁") {
				continue // tokens with lstrip or rstrip swallow spaces
			}
			at := 0
			for i, id := range e.IDs {
				b := string(tok.TokenBytes(id))
				if !strings.HasPrefix(text[at:], b) {
					t.Fatalf("%s: %q: token %d spells %q at byte %d", style, text, i, b, at)
				}
				if int(e.Starts[i]) > at || int(e.Ends[i]) < at+len(b) || !strings.Contains(text[e.Starts[i]:e.Ends[i]], b) {
					t.Fatalf("%s: %q: token %d spells %q, its offsets hold %q", style, text, i, b, text[e.Starts[i]:e.Ends[i]])
				}
				at += len(b)
			}
		}
	}
}

// TestNFC compares with x/text wherever that adds no U+034F and no mark is younger
// than Hugging Face's tables.
func TestNFC(t *testing.T) {
	all := readJSON[[]string](t, "texts.json")
	for r := rune(0); r < 0x30000; r++ {
		if utf8.ValidRune(r) {
			all = append(all, string(r), "a"+string(r)+"\u0323\u0301", "\u1100"+string(r)+"\u11a8")
		}
	}
	for name, f := range forms {
		for _, s := range all {
			want := f.quick.String(s)
			young := func(r rune) bool { return unicode.Is(youngMarks, r) || undecomposed.has(r) }
			if strings.Count(want, "\u034f") != strings.Count(s, "\u034f") || strings.ContainsFunc(s, young) {
				continue
			}
			if got := f.normalize(text{s: s}).s; got != want {
				t.Fatalf("%s of %+q: got %+q, want %+q", name, s, got, want)
			}
		}
	}
	if got := forms["NFC"].normalize(text{s: "e" + strings.Repeat("\u0301", 50)}).s; got != "é"+strings.Repeat("\u0301", 49) {
		t.Errorf("50 accents: %+q", got)
	}
}

// TestLong passes in reasonable time only if nothing is quadratic.
func TestLong(t *testing.T) {
	for _, style := range styles {
		tok := load(t, style)
		for _, text := range append(long(), "e"+strings.Repeat("\u0323\u0301", 50_000), strings.Repeat("<left>", 20_000)) {
			begin := time.Now()
			e := tok.Encode(text)
			if took := time.Since(begin); took > 5*time.Second {
				t.Errorf("%s: %.9q...: %v", style, text, took)
			}
			if slices.Contains(whole, style) {
				checkOffsets(t, text, e)
				if tok.Decode(e.IDs) != text {
					t.Errorf("%s: %.5q... does not decode to itself", style, text)
				}
			}
		}
	}
}

// TestFused: unknown characters become one token whatever they are, U+0000 too.
func TestFused(t *testing.T) {
	e := load(t, "fuse").Encode("\ua7da\x00\x01\ua7da")
	if len(e.IDs) != 1 || e.Starts[0] != 0 || e.Ends[0] != 8 {
		t.Errorf("got %v %v %v, want one token of 8 bytes", e.IDs, e.Starts, e.Ends)
	}
}

// TestInvalidUTF8: a wrong byte is read as U+FFFD and keeps its place.
func TestInvalidUTF8(t *testing.T) {
	for _, style := range styles {
		tok := load(t, style)
		good, bad := tok.Encode("a b\ufffd\ufffdc é"), tok.Encode("a b\xff\xe3c é")
		if !slices.Equal(good.IDs, bad.IDs) {
			t.Errorf("%s: %v, want %v", style, bad.IDs, good.IDs)
		}
		for i := range bad.IDs {
			for _, p := range [][2]int32{{good.Starts[i], bad.Starts[i]}, {good.Ends[i], bad.Ends[i]}} {
				want := p[0]
				if want > 3 {
					want -= 2
				}
				if want > 4 {
					want -= 2
				}
				if p[1] != want {
					t.Errorf("%s: offset %d of token %d, want %d", style, p[1], i, want)
				}
			}
		}
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
