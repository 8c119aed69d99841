package tokenizer

import (
	"os"
	"strings"
	"testing"
)

// BenchmarkLoad and BenchmarkEncode take the files that EAFT_TOKENIZER and
// EAFT_TEXT name; without them the fixtures.
func BenchmarkLoad(b *testing.B) {
	data := benchmarkFile(b, "EAFT_TOKENIZER", "testdata/qwen2.json")
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := FromJSON(data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	tok, err := FromJSON(benchmarkFile(b, "EAFT_TOKENIZER", "testdata/qwen2.json"))
	if err != nil {
		b.Fatal(err)
	}
	text := strings.ToValidUTF8(string(benchmarkFile(b, "EAFT_TEXT", "testdata/texts.json")), "?")
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		for s := text; len(s) > 0; {
			n := min(len(s), 4096)
			tok.Encode(s[:n])
			s = s[n:]
		}
	}
}

func benchmarkFile(b *testing.B, env, other string) []byte {
	name := os.Getenv(env)
	if name == "" {
		name = other
	}
	data, err := os.ReadFile(name)
	if err != nil {
		b.Fatal(err)
	}
	return data
}
