package tokenize

import (
	"os"
	"slices"
	"strings"
	"testing"

	"eaft/parquet"
	"eaft/tokenize/tokenizer"
)

// A plain text gets the special tokens that the tokenizer adds, where it adds them,
// and the end of the sequence once.
func TestPlainTextBetweenSpecialTokens(t *testing.T) {
	for _, c := range []struct{ style, bos, eos string }{
		{"llama2", "<s>", "</s>"}, {"mistral", "<s>", "</s>"}, {"llama3", "<|im_start|>", "<|im_end|>"}, {"t5", "", "</s>"}, {"bert", "[CLS]", "[SEP]"}, {"gpt2", "", ""},
	} {
		data, err := os.ReadFile("tokenizer/testdata/" + c.style + ".json")
		if err != nil {
			t.Fatal(err)
		}
		tok, err := tokenizer.FromJSON(data)
		if err != nil {
			t.Fatal(err)
		}
		l, err := NewLanguage(tok, "", "", "", "<|end|>") // which gpt2 alone needs
		if err != nil {
			t.Fatal(err)
		}
		if c.style == "gpt2" {
			c.eos = "<|end|>"
		}
		for _, text := range []string{"a", " a b  c", "naïve 漢字 e\u0301", "x" + c.eos, c.bos + "x", c.bos + "x" + c.eos} {
			row := &parquet.TokensRow{}
			if err := l.fill(dict("text", text), row); err != nil {
				t.Fatal(err)
			}
			bare := strings.TrimSuffix(text, c.eos)
			if c.bos != "" {
				bare = strings.TrimPrefix(bare, c.bos)
			}
			want := tok.EncodeSpecial(bare).IDs
			if c.bos != "" && strings.HasPrefix(text, c.bos) { // what follows BOS there is no beginning of a text
				want = tok.Encode(text).IDs
			}
			if id, ok := tok.ID(c.eos); ok && want[len(want)-1] != id {
				want = append(want, id)
			}
			if !slices.Equal(row.InputIDs, want) {
				t.Errorf("%s: %q: %v, want %v", c.style, text, row.InputIDs, want)
			}
			first := 0
			if c.bos != "" && !strings.HasPrefix(text, c.bos) {
				first = 1
			}
			if row.Text != c.bos+bare+c.eos || !slices.Equal(row.Labels[first:], row.InputIDs[first:]) || first == 1 && row.Labels[0] != ignored {
				t.Errorf("%s: %q: text %q, labels %v of %v", c.style, text, row.Text, row.Labels, row.InputIDs)
			}
			if n := len(row.InputIDs) - 1; row.Text[row.TokenStart[n]:row.TokenEnd[n]] != c.eos {
				t.Errorf("%s: %q: the end spans %d to %d of %q", c.style, text, row.TokenStart[n], row.TokenEnd[n], row.Text)
			}
			pair := &parquet.TokensRow{}
			if err := l.fill(dict("prompt", "a b", "completion", " c"), pair); err != nil {
				t.Fatal(err)
			}
			if got := trained(l, pair); !strings.HasSuffix(got, "c"+c.eos) && c.style != "bert" || strings.Contains(got, "b") || pair.Text != c.bos+"a b c"+c.eos {
				t.Errorf("%s: of a pair %q is trained, its text is %q", c.style, got, pair.Text)
			}
			row = &parquet.TokensRow{}
			if err := l.with(&Options{NoSpecialTokens: true}).fill(dict("text", text), row); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(row.InputIDs, tok.Encode(text).IDs) || row.Text != text {
				t.Errorf("%s: %q without special tokens: %v", c.style, text, row.InputIDs)
			}
		}
	}
}
