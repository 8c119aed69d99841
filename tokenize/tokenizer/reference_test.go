package tokenizer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// expectation is what Hugging Face's library makes of a text (testdata/reference.py).
type expectation struct {
	IDs     []int32 `json:"ids"`
	Starts  []int32 `json:"starts"`
	Ends    []int32 `json:"ends"`
	Special []int32 `json:"special"`
	Text    string  `json:"text"`
}

// compare returns what differs, or "".
func (w expectation) compare(tok *Tokenizer, text string) string {
	e := tok.Encode(text)
	switch {
	case !slices.Equal(e.IDs, w.IDs):
		return fmt.Sprintf("ids\n got %v\nwant %v", e.IDs, w.IDs)
	case !slices.Equal(e.Starts, w.Starts) || !slices.Equal(e.Ends, w.Ends):
		return fmt.Sprintf("offsets\n got %v %v\nwant %v %v\n ids %v", e.Starts, e.Ends, w.Starts, w.Ends, e.IDs)
	}
	if got := tok.EncodeSpecial(text).IDs; !slices.Equal(got, w.Special) {
		return fmt.Sprintf("ids with special tokens\n got %v\nwant %v", got, w.Special)
	}
	if got := tok.Detokenize(e.IDs, false); got != w.Text {
		return fmt.Sprintf("decoded\n got %+q\nwant %+q", got, w.Text)
	}
	return ""
}

// python runs reference.py.
func python(t *testing.T, file string, texts []string) []expectation {
	t.Helper()
	in, err := json.Marshal(texts)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Getenv("EAFT_PYTHON"), "testdata/reference.py", file)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return answers[expectation](t, out, len(texts))
}

// answers are what a program printed of n texts, a JSON value each.
func answers[T any](t *testing.T, out []byte, n int) []T {
	t.Helper()
	var all []T
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var one T
		if err := dec.Decode(&one); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, one)
	}
	if len(all) != n {
		t.Fatalf("%d answers for %d texts", len(all), n)
	}
	return all
}

// hostile makes random texts of what tokenizers stumble over, and of tok's tokens.
func hostile(r *rand.Rand, tok *Tokenizer, n int) []string {
	bits := []string{
		" ", "  ", "\n", "\r\n", "\t", "\n\n", " \n ", "\u00a0", "\u3000", "\u0085", "\u2028", "\u200b", "\u200d", "\ufeff", "\x00", "\x1b", "\x7f",
		"'s", "'S", "'ll", "'LL", "'ſ", "'RE", "'", "’s", "1", "12", "1234", "½", "٣", "Ⅷ", "१२", "𝟙", "e\u0301", "\u0301", "\u0323", "\u0345", "İ", "ß", "ǅ", "ʰ", "ΑΣ",
		"ﬁ", "①", "™", "㍿", "각", "\u1100\u1161\u11a8", "가\u11a8", "漢字", "々", "カタカナ", "ｶﾞ", "ひらがな", "ไทย", "ำ", "नि", "क्षि", "ா", "مرحبا", "\u064b", "שלום", "Ж", "ж",
		"👨‍👩‍👧", "🇩🇪", "👍🏽", "❤️", "\U000e0067", "\ufe0f", "_", "__", "▁", "▁▁", "<", ">", "<0x41>", "##", "/", "//", ".", "...", "!?", "$", "€", "^", "`", "|", "\\", "(", ")", "{\"a\":", "==", "the", "The", "THE", "iPhone", "a", "b", "zqx", "\ufffd",
		"\ua7da", "\U00010d50", "\U0001fbf0", "\u1df6", "\u0f73", "\u2adc", "\ufb1d", "\U0001d15e",
	}
	for _, a := range tok.added[:min(40, len(tok.added))] {
		bits = append(bits, a.Content)
	}
	var out []string
	for range n {
		var b strings.Builder
		for range 1 + r.IntN(24) {
			switch k := r.IntN(20); {
			case k < 11:
				b.WriteString(bits[r.IntN(len(bits))])
			case k < 14:
				b.WriteString(strings.ToValidUTF8(string(tok.TokenBytes(int32(r.IntN(tok.VocabSize())))), "\ufffd"))
			case k < 16:
				b.WriteRune(rune(0x20 + r.IntN(0x60)))
			case k < 17:
				b.WriteString(strings.Repeat(bits[r.IntN(len(bits))], 1+r.IntN(40)))
			case k < 18:
				if c := rune(r.IntN(0x32000)); utf8.ValidRune(c) {
					b.WriteRune(c)
				}
			default:
				b.WriteByte(' ')
			}
		}
		out = append(out, b.String())
	}
	return out
}

// long texts must be encoded in about linear time.
func long() []string {
	return []string{
		strings.Repeat("a", 100_000), strings.Repeat(" ", 100_000) + "x", strings.Repeat("ab ", 30_000), strings.Repeat("\n", 50_000),
		strings.Repeat("é", 50_000), strings.Repeat("漢", 30_000), strings.Repeat("<", 50_000), strings.Repeat("1", 50_000), strings.Repeat("=", 50_000),
	}
}

// TestReference compares the fixtures, and whole published tokenizers where
// EAFT_TOKENIZER_DIRS names folders with a tokenizer.json, with Hugging Face's
// library on random texts; EAFT_SEED repeats a run, EAFT_TEXTS is how many texts
// (300).
func TestReference(t *testing.T) {
	if os.Getenv("EAFT_PYTHON") == "" {
		t.Skip("EAFT_PYTHON (with tokenizers==0.23.3) is not set")
	}
	for _, style := range styles {
		t.Run(style, func(t *testing.T) { compareWithPython(t, filepath.Join("testdata", style+".json"), 300) })
	}
	for _, dir := range filepath.SplitList(os.Getenv("EAFT_TOKENIZER_DIRS")) {
		t.Run(filepath.Base(dir), func(t *testing.T) { compareWithPython(t, filepath.Join(dir, "tokenizer.json"), 300) })
	}
}

func compareWithPython(t *testing.T, file string, n int) {
	tok := loadFile(t, file)
	seed := uint64(time.Now().UnixNano())
	var err error
	if s := os.Getenv("EAFT_SEED"); s != "" {
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	if s := os.Getenv("EAFT_TEXTS"); s != "" {
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("EAFT_SEED=%d", seed)
	texts := slices.Concat(readJSON[[]string](t, "texts.json"), long(), hostile(rand.New(rand.NewPCG(seed, 1)), tok, n))
	wrong := 0
	for i, w := range python(t, file, texts) {
		if diff := w.compare(tok, texts[i]); diff != "" {
			if wrong++; wrong <= 5 {
				t.Errorf("%.2000s: %.3000s", strconv.QuoteToASCII(texts[i]), diff)
			}
		}
	}
	if wrong > 0 {
		t.Errorf("%d of %d texts differ", wrong, len(texts))
	}
}
