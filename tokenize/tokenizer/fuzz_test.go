package tokenizer

import (
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"eaft/internal/bound"
)

func FuzzEncode(f *testing.F) {
	for _, s := range []string{"", "It's 123\r\n <|end|>", "e\u0301\u0323", " x<left> y", "\xff\x80", strings.Repeat("\u0301", 40)} {
		f.Add(s)
	}
	toks := map[string]*Tokenizer{}
	for _, style := range styles {
		toks[style] = load(f, style)
	}
	f.Fuzz(func(t *testing.T, text string) {
		bound.Memory(t, len(text))
		for style, tok := range toks {
			e := tok.Encode(text)
			for i := range e.IDs {
				if e.Starts[i] < 0 || e.Starts[i] > e.Ends[i] || int(e.Ends[i]) > len(text) {
					t.Fatalf("%s: %q: token %d is [%d,%d)", style, text, i, e.Starts[i], e.Ends[i])
				}
			}
			tok.EncodeSpecial(text)
			tok.Detokenize(e.IDs, true)
			// Tokens with lstrip or rstrip swallow spaces.
			if !utf8.ValidString(text) || !slices.Contains(whole, style) || strings.ContainsAny(text, "<▁") {
				continue
			}
			checkOffsets(t, text, e)
			if got := tok.Decode(e.IDs); got != text {
				t.Fatalf("%s: %q decodes to %q", style, text, got)
			}
		}
	})
}

func FuzzFromJSON(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a b"]},"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false}}`,
		`{"model":{"type":"BPE","ignore_merges":true,"vocab":{"a":0},"merges":[]},"added_tokens":[{"id":1,"content":"<x>","lstrip":true}],"normalizer":{"type":"NFC"},"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false}}`,
	} {
		f.Add([]byte(s))
	}
	for _, style := range styles {
		if data, err := os.ReadFile("testdata/" + style + ".json"); err == nil {
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		bound.Memory(t, len(data))
		tok, err := FromJSON(data)
		if err != nil {
			return
		}
		for _, id := range tok.EncodeSpecial("aab <x> 'll e\u0301 12").IDs {
			if id < 0 {
				t.Fatalf("id %d", id)
			}
		}
		tok.Fingerprint()
	})
}
