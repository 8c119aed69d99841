package tokenizer

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

func TestUnknownKinds(t *testing.T) {
	type object = map[string]any
	set := func(keys string, value any) func(object) {
		return func(v object) {
			path := strings.Split(keys, ".")
			for _, k := range path[:len(path)-1] {
				v = v[k].(object)
			}
			v[path[len(path)-1]] = value
		}
	}
	split := func(regex, behavior string) object {
		return object{"type": "Sequence", "pretokenizers": []any{
			object{"type": "Split", "pattern": object{"Regex": regex}, "behavior": behavior, "invert": false},
			object{"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}}}
	}
	for _, c := range []struct {
		change func(object)
		want   string
	}{
		{set("model.type", "WordLevel"), `model.type "WordLevel"`},
		{set("model.type", "Unigram"), "ByteLevel with model.type"},
		{set("model.unk_token", "zqxzqx"), "model.unk_token"},
		{set("model.byte_fallback", true), "model.byte_fallback"},
		{set("model.dropout", 0.1), "model.dropout"},
		{set("model.continuing_subword_prefix", "##"), "model.continuing_subword_prefix"},
		{set("model.end_of_word_suffix", "</w>"), "model.end_of_word_suffix"},
		{set("model.vocab.x", -1), "model.vocab"},
		{set("model.vocab.xx", 0), "model.vocab"},
		{set("model.vocab.xx", 1<<23), "model.vocab"},
		{set("model.merges", []string{"nopair"}), "model.merges[0]"},
		{set("model.merges", []string{"a zqxzqx"}), "model.merges[0]"},
		{set("normalizer", object{"type": "Nmt"}), `normalizer.type "Nmt"`},
		{set("normalizer", object{"type": "Replace", "pattern": object{"Regex": "a|b"}, "content": ""}), "normalizer.pattern"},
		{set("normalizer", object{"type": "Precompiled", "precompiled_charsmap": "AAAA"}), "precompiled_charsmap"},
		{set("decoder", object{"type": "CTC"}), `decoder.type "CTC"`},
		{set("post_processor", object{"type": "X"}), `post_processor.type "X"`},
		{set("post_processor", object{"type": "TemplateProcessing", "single": []any{}}), "post_processor.single"},
		{set("pre_tokenizer", object{"type": "Metaspace"}), "pre_tokenizer.replacement"},
		{set("pre_tokenizer", object{"type": "UnicodeScripts"}), `pre_tokenizer.type "UnicodeScripts"`},
		{set("pre_tokenizer", split(`\w+`, "Isolated")), "pre_tokenizer.pretokenizers[0].pattern"},
		{set("pre_tokenizer", split(patternQwen2, "Removed")), `behavior "Removed"`},
		{set("added_tokens", []any{object{"id": 1, "content": ""}}), "added_tokens[0]"},
		{set("added_tokens", []any{object{"id": 7, "content": "a"}}), "added_tokens[0]"},
	} {
		var v object
		data, err := os.ReadFile("testdata/gpt2.json")
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(data, &v); err != nil {
			t.Fatal(err)
		}
		c.change(v)
		out, _ := json.Marshal(v)
		if _, err := FromJSON(out); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want %q", err, c.want)
		}
	}
	for _, s := range []string{"", "null", "[]", "{", `{"model":{"type":"BPE"}}`} {
		if _, err := FromJSON([]byte(s)); err == nil {
			t.Errorf("%q: no error", s)
		}
	}
}

// TestConvertGGUF goes from a vocabulary back to a tokenizer with the same ids.
func TestConvertGGUF(t *testing.T) {
	for style, pre := range map[string]string{"smollm2": "smollm", "qwen2": "qwen2", "gpt2": "gpt-2", "deepseek": "deepseek-v3", "tekken": "tekken", "o200k": "gpt-4o", "llama3": "llama-bpe"} {
		tok := load(t, style)
		v := GGUFVocab{Model: "gpt2", Pre: pre, BOS: -1, EOS: -1, PAD: -1, UNK: -1, SEP: -1}
		for id := range tok.VocabSize() {
			v.Tokens, v.Types = append(v.Tokens, tok.spell[id]), append(v.Types, 1)
		}
		for _, a := range tok.added {
			if v.Types[a.ID] = typeUserDefined; a.Special {
				v.Types[a.ID] = typeControl
			}
		}
		var file struct{ Model struct{ Merges [][2]string } }
		if err := json.Unmarshal(tok.JSON(), &file); err != nil {
			t.Fatal(err)
		}
		for _, m := range file.Model.Merges {
			v.Merges = append(v.Merges, m[0]+" "+m[1])
		}
		data, err := ConvertGGUF(v)
		if err != nil {
			t.Fatal(err)
		}
		got, err := FromJSON(data)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range readJSON[[]string](t, "texts.json") {
			// A GGUF does not keep lstrip and its kin, nor that a token is normalised.
			if strings.Contains(text, "<") || strings.Contains(text, "word") || strings.Contains(text, "Am") {
				continue
			}
			a, b := tok.Encode(text).IDs, got.Encode(text).IDs
			if tok.Decode(a) != got.Decode(b) || len(a) != len(b) {
				t.Errorf("%s: %q: %v, converted %v", style, text, a, b)
			}
		}
	}
	for _, c := range []struct {
		v    GGUFVocab
		want string
	}{
		{GGUFVocab{Model: "rwkv"}, "tokenizer.ggml.model"},
		{GGUFVocab{Model: "gpt2", Pre: "viking"}, "tokenizer.ggml.pre"},
		{GGUFVocab{Model: "gpt2", Pre: "gpt-2", Tokens: []string{"a", "a"}}, "tokenizer.ggml.tokens"},
		{GGUFVocab{Model: "gpt2", Pre: "gpt-2", Tokens: []string{"a"}, Types: []int32{1, 1}}, "tokenizer.ggml.token_type"},
	} {
		if _, err := ConvertGGUF(c.v); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want %q", err, c.want)
		}
	}
}
