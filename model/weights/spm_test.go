package weights

import (
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
