package tokenizer

import (
	"strings"
	"testing"
)

// A GGUF made of a tokenizer.json has its ids, and fillers behind them, and another
// hash.
func TestCompareIDsOfContainers(t *testing.T) {
	for _, name := range []string{"smollm2", "gpt2", "llama3", "qwen2", "tekken", "deepseek", "llama2"} {
		hf := load(t, name)
		v, err := ExportGGUF(plainAdded(t, hf.JSON()), hf.VocabSize()+3)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		read := func() *Tokenizer {
			data, err := ConvertGGUF(*v)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			gguf, err := FromJSON(data)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			return gguf
		}
		gguf := read()
		if hf.Fingerprint() == gguf.Fingerprint() {
			t.Errorf("%s: the hashes are alike", name)
		}
		if a, b := CompareIDs(hf, gguf), CompareIDs(gguf, hf); a != nil || b != nil {
			t.Errorf("%s: %+v, and the other way round %+v", name, a, b)
		}
		v.Tokens[300], v.Tokens[301] = v.Tokens[301], v.Tokens[300]
		if v.Scores != nil {
			v.Scores[300], v.Scores[301] = v.Scores[301], v.Scores[300]
		}
		if d := CompareIDs(hf, read()); d == nil || *d != (Difference{300, hf.quote(300), hf.quote(301), 2}) {
			t.Errorf("%s: tokens 300 and 301 swapped: %+v", name, d)
		}
	}
}

func TestCompareIDs(t *testing.T) {
	const head = `{"normalizer":null,"pre_tokenizer":null,"decoder":{"type":"ByteFallback"},"added_tokens":[{"id":5,"content":"<s>","special":true}],"model":{"type":"BPE","byte_fallback":true,"vocab":{"a":0,"<0x61>":1,"b":2,"ab":3,"[PAD4]":4},"merges":["a b"]}}`
	base, err := FromJSON([]byte(head))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, old, new string
		want           *Difference
	}{
		{"same", "", "", nil},
		{"another normalizer", `"normalizer":null`, `"normalizer":{"type":"NFC"}`, nil},
		{"another pre-tokenizer", `"pre_tokenizer":null`, `"pre_tokenizer":{"type":"Digits","individual_digits":true}`, nil},
		{"no merges", `["a b"]`, `[]`, nil},
		{"not special", `"special":true`, `"special":false`, nil},
		{"added", `"added_tokens":[`, `"added_tokens":[{"id":3,"content":"ab"},`, nil},
		{"filler left out", `,"[PAD4]":4`, ``, nil},
		{"filler with another number", `[PAD4]`, `[PAD1]`, nil},
		{"filler that is added", `"added_tokens":[`, `"added_tokens":[{"id":4,"content":"[PAD4]"},`, nil},
		{"token for a filler", `[PAD4]`, `[PAD]`, &Difference{4, `"[PAD4]"`, `"[PAD]"`, 1}},
		{"padding token for a filler", `,"[PAD4]":4`, `,"c":4`, &Difference{4, `"[PAD4]"`, `"c"`, 1}},
		{"spelled otherwise", `"a":0,"<0x61>":1`, `"<0x61>":0,"a":1`, &Difference{0, `"a"`, `"<0x61>"`, 2}},
		{"other bytes", `{"type":"ByteFallback"}`, `null`, &Difference{1, `"a"`, `"<0x61>"`, 1}},
		{"another special", `<s>`, `</s>`, &Difference{5, `"<s>"`, `"</s>"`, 1}},
		{"special moved", `{"id":5`, `{"id":6`, &Difference{5, `"<s>"`, `no token`, 2}},
		{"truncated", `{"id":5,"content":"<s>","special":true}`, ``, &Difference{5, `"<s>"`, `no token`, 1}},
		{"more", `"[PAD4]":4`, `"[PAD4]":4,"c":6`, &Difference{6, `no token`, `"c"`, 1}},
	} {
		if c.old != "" && strings.Count(head, c.old) != 1 {
			t.Fatalf("%s: %q is there %d times", c.name, c.old, strings.Count(head, c.old))
		}
		other, err := FromJSON([]byte(strings.Replace(head, c.old, c.new, 1)))
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		d := CompareIDs(base, other)
		if (d == nil) != (c.want == nil) || d != nil && *d != *c.want {
			t.Errorf("%s: %+v, want %+v", c.name, d, c.want)
		}
	}
}
