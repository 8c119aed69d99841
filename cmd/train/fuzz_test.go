package main

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/fstest"

	"eaft/internal/bound"
	"eaft/model/weights"
	"eaft/tokenize"
	"eaft/tokenize/tokenizer"
)

// FuzzEndTokens: whatever generation_config.json and config.json say of the
// tokens that end an answer, they are the ids that stand there, or the error
// names a file or what to do.
func FuzzEndTokens(f *testing.F) {
	for _, s := range []string{`{"eos_token_id":2}`, `{"eos_token_id":[2,7],"temperature":0.6}`, `{"eos_token_id":null}`, `{}`, ``, `[]`, `null`, `{"eos_token_id":[null]}`,
		`{"eos_token_id":[]}`, `{"eos_token_id":2.5}`, `{"eos_token_id":"2"}`, `{"eos_token_id":4294967298}`, `{"eos_token_id":[[2]]}`, `{"eos_token_id":{"id":2}}`, `{"EOS_token_id":1,"eos_token_id":`} {
		f.Add([]byte(s), []byte(`{"eos_token_id":1}`))
		f.Add([]byte(`{}`), []byte(s))
	}
	tok, err := tokenizer.FromJSON([]byte(`{"model":{"type":"BPE","vocab":{"a":0,"</s>":1},"merges":[]}}`))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, generation, config []byte) {
		bound.Memory(t, len(generation)+len(config))
		c, err := weights.OpenFS(fstest.MapFS{"generation_config.json": {Data: generation}, "config.json": {Data: config}, "tokenizer.json": {Data: []byte(`{}`)}}, "x")
		if err != nil {
			t.Fatal(err)
		}
		ids, err := endTokens(c, &tokenize.Language{Tokenizer: tok})
		if err != nil {
			if !strings.Contains(err.Error(), "config.json") {
				t.Fatalf("the error names no file: %v", err)
			}
			return
		}
		for _, data := range [][]byte{generation, config} {
			var v struct {
				EOS any `json:"eos_token_id"`
			}
			if err := json.Unmarshal(data, &v); err != nil {
				t.Fatalf("%v of a file that is no JSON: %q", ids, data)
			}
			if v.EOS == nil {
				continue
			}
			want, ok := v.EOS.([]any)
			if !ok {
				want = []any{v.EOS}
			}
			if len(ids) != len(want) || len(ids) == 0 {
				t.Fatalf("%v of %v", ids, want)
			}
			for i, id := range ids {
				if want[i] != float64(id) {
					t.Fatalf("%v of %v", ids, want)
				}
			}
			return
		}
		t.Fatalf("%v of nothing", ids)
	})
}
