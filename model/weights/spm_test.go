package weights

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"eaft/tokenize/tokenizer"
)

// TestSentencePieceVocabulary reads scores and flags of a GGUF of the kind llama.
func TestSentencePieceVocabulary(t *testing.T) {
	tokens, types := []string{"<unk>", "<s>", "</s>"}, []uint32{2, 3, 3}
	for c := range 256 {
		tokens, types = append(tokens, fmt.Sprintf("<0x%02X>", c)), append(types, 6)
	}
	tokens = append(tokens, "ab", "▁a", "bc", "▁", "a", "b", "c")
	scores := make([]float32, len(tokens))
	for i := 259; i < len(tokens); i++ {
		types = append(types, 1)
		scores[i] = -float32(i - 259)
	}
	g := newGGUF(0, 6)
	key := func(name string, typ uint32) { g.str("tokenizer.ggml." + name); g.u32(typ) }
	list := func(name string, typ uint32, each func(i int)) {
		key(name, typeArray)
		g.u32(typ)
		g.u64(uint64(len(tokens)))
		for i := range tokens {
			each(i)
		}
	}
	key("model", typeString)
	g.str("llama")
	key("add_eos_token", typeBool)
	g.b = append(g.b, 1)
	key("add_space_prefix", typeBool)
	g.b = append(g.b, 0)
	list("tokens", typeString, func(i int) { g.str(tokens[i]) })
	list("scores", typeF32, func(i int) { g.u32(math.Float32bits(scores[i])) })
	list("token_type", typeI32, func(i int) { g.u32(types[i]) })
	file := filepath.Join(t.TempDir(), "vocab.gguf")
	if err := os.WriteFile(file, g.file(0), 0o600); err != nil {
		t.Fatal(err)
	}
	c := open(t, file)
	if v, ok := c.gguf.Float32s("tokenizer.ggml.scores"); !ok || !slices.Equal(v, scores) {
		t.Error("scores", v, ok)
	}
	data, err := c.TokenizerJSON()
	if err != nil {
		t.Fatal(err)
	}
	tok, err := tokenizer.FromJSON(data)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, id := range tok.EncodeSpecial("abc a").IDs {
		got = append(got, tokens[id])
	}
	if s := strings.Join(got, "|"); s != "<s>|ab|c|▁a|</s>" {
		t.Error("tokens", s)
	}
}

// TestUnigramAndWordPieceVocabularies reads the keys that the kinds t5 and bert have
// beside those of the others.
func TestUnigramAndWordPieceVocabularies(t *testing.T) {
	trie := []uint32{1 << 10, 0} // without entries
	charsmap := []byte{8, 0, 0, 0}
	for _, u := range trie {
		charsmap = binary.LittleEndian.AppendUint32(charsmap, u)
	}
	for _, c := range []struct {
		model        string
		tokens       []string
		types        []int32
		scores       []float32
		flags        map[string]bool
		ids          map[string]uint32
		text, pieces string
		normalizer   string
	}{
		{
			model: "t5", tokens: []string{"<pad>", "</s>", "<unk>", "▁a", "b", "▁"}, types: []int32{3, 3, 2, 1, 1, 1}, scores: []float32{0, 0, 0, -1, -2, -3},
			flags: map[string]bool{"add_space_prefix": true, "remove_extra_whitespaces": true}, ids: map[string]uint32{"unknown": 2, "eos": 1},
			text: "a   b", pieces: "▁a|▁|b|</s>", normalizer: `"precompiled_charsmap":"CAAAAAAEAAAAAAAA"`,
		},
		{
			model: "bert", tokens: []string{"[UNK]", "[CLS]", "[SEP]", "▁a", "B", "▁é"}, types: []int32{3, 3, 3, 1, 1, 1},
			flags: map[string]bool{"normalizer.lowercase": false}, ids: map[string]uint32{"unknown": 0, "bos": 1, "seperator": 2},
			text: "aB é B", pieces: "[CLS]|▁a|B|▁é|[UNK]|[SEP]", normalizer: `"lowercase":false`,
		},
	} {
		const prefix = "tokenizer.ggml."
		kv := []KeyValue{{prefix + "model", c.model}, {prefix + "tokens", c.tokens}, {prefix + "token_type", c.types}}
		if c.scores != nil {
			kv = append(kv, KeyValue{prefix + "scores", c.scores})
		}
		for name, b := range c.flags {
			kv = append(kv, KeyValue{prefix + name, b})
		}
		for name, id := range c.ids {
			kv = append(kv, KeyValue{prefix + name + "_token_id", id})
		}
		header, err := ggufHeader(kv, nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.model == "t5" { // arrays of bytes are read only
			header = slices.Clone(header)
			header[16]++ // keys
			at := 24
			entry := binary.LittleEndian.AppendUint64(nil, uint64(len(prefix+"precompiled_charsmap")))
			entry = append(entry, prefix+"precompiled_charsmap"...)
			entry = binary.LittleEndian.AppendUint32(entry, typeArray)
			entry = binary.LittleEndian.AppendUint32(entry, typeU8)
			entry = binary.LittleEndian.AppendUint64(entry, uint64(len(charsmap)))
			header = slices.Insert(header, at, append(entry, charsmap...)...)
			header = append(header, make([]byte, aligned(len(header))-len(header))...)
		}
		file := filepath.Join(t.TempDir(), "vocab.gguf")
		if err := os.WriteFile(file, header, 0o600); err != nil {
			t.Fatal(err)
		}
		data, err := open(t, file).TokenizerJSON()
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(data), c.normalizer) {
			t.Errorf("%s: no %s in %s", c.model, c.normalizer, data)
		}
		tok, err := tokenizer.FromJSON(data)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, id := range tok.EncodeSpecial(c.text).IDs {
			got = append(got, c.tokens[id])
		}
		if s := strings.Join(got, "|"); s != c.pieces {
			t.Errorf("%s: %s, want %s", c.model, s, c.pieces)
		}
	}
}
