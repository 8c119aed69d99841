package tokenizer

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// wordPieceVocab is a WordPiece's vocabulary as llama.cpp's conversion writes it.
func wordPieceVocab(t *testing.T, tok *Tokenizer) GGUFVocab {
	v := GGUFVocab{Model: "bert", BOS: -1, EOS: -1, PAD: -1, UNK: -1, SEP: -1}
	for id := range tok.VocabSize() {
		s, typ := tok.spell[id], int32(typeNormal)
		switch a := slices.IndexFunc(tok.added, func(a addedToken) bool { return a.ID == int32(id) }); {
		case !tok.known[id]:
			s, typ = "[PAD]", typeUnused
		case a >= 0 && tok.added[a].Special:
			typ = typeControl
		case strings.HasPrefix(s, "##"):
			s = s[2:]
		default:
			if s = "▁" + s; a >= 0 {
				typ = typeUserDefined
			}
		}
		v.Tokens, v.Types = append(v.Tokens, s), append(v.Types, typ)
	}
	for text, id := range map[string]*int32{"[CLS]": &v.BOS, "[SEP]": &v.SEP, "[UNK]": &v.UNK, "[PAD]": &v.PAD} {
		*id = int32(slices.Index(v.Tokens, text))
	}
	return v
}

// unigramVocab is a Unigram's vocabulary as llama.cpp's conversion writes it, with
// unused tokens at its end.
func unigramVocab(t *testing.T, tok *Tokenizer) GGUFVocab {
	yes := true
	v := GGUFVocab{Model: "t5", Pre: "default", BOS: -1, EOS: -1, PAD: -1, UNK: -1, SEP: -1, AddSpacePrefix: &yes, RemoveExtraSpaces: &yes}
	f, err := readFile(string(tok.JSON()))
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range f.vocab {
		v.Tokens, v.Types, v.Scores = append(v.Tokens, a.s), append(v.Types, typeNormal), append(v.Scores, float32(a.score))
	}
	for _, a := range tok.added {
		for int(a.ID) >= len(v.Tokens) {
			v.Tokens, v.Types, v.Scores = append(v.Tokens, "?"), append(v.Types, typeNormal), append(v.Scores, -1000)
		}
		v.Tokens[a.ID] = a.Content
		if v.Types[a.ID] = typeUserDefined; a.Special {
			v.Types[a.ID] = typeControl
		}
	}
	v.UNK = *f.model.UnkID
	v.Types[v.UNK] = typeUnknown
	v.EOS = int32(slices.Index(v.Tokens, "</s>"))
	v.Tokens, v.Types, v.Scores = append(v.Tokens, "[PAD1]", "[PAD2]"), append(v.Types, typeUnused, typeUnused), append(v.Scores, -10000, -10000)
	var normalizer struct {
		CharsMap    []byte `json:"precompiled_charsmap"`
		Normalizers []struct {
			CharsMap []byte `json:"precompiled_charsmap"`
		}
	}
	if err := json.Unmarshal(f.normalizer, &normalizer); err != nil {
		t.Fatal(err)
	}
	v.CharsMap = normalizer.CharsMap
	for _, n := range normalizer.Normalizers {
		v.CharsMap = append(v.CharsMap, n.CharsMap...)
	}
	return v
}

// plainTexts are those without added tokens, of which a GGUF does not say all.
func plainTexts(tok *Tokenizer, texts []string) []string {
	return slices.DeleteFunc(slices.Clone(texts), func(s string) bool {
		return slices.ContainsFunc(tok.added, func(a addedToken) bool {
			return strings.Contains(s, a.Content) || strings.Contains(tok.normalize(text{s: s}).s, tok.normalize(text{s: a.Content}).s)
		})
	})
}

// compareConverted compares got, made from a GGUF, with what that was made from.
func compareConverted(t *testing.T, name string, tok, got *Tokenizer, texts []string) {
	t.Helper()
	texts = plainTexts(tok, texts)
	if len(texts) < 200 {
		t.Fatalf("%s: %d texts", name, len(texts))
	}
	for _, s := range texts {
		a, b := tok.Encode(s), got.Encode(s)
		if !slices.Equal(a.IDs, b.IDs) || !slices.Equal(a.Starts, b.Starts) || !slices.Equal(a.Ends, b.Ends) {
			t.Errorf("%s: %+q: %v, converted %v", name, s, a, b)
		}
		if a, b := tok.EncodeSpecial(s).IDs, got.EncodeSpecial(s).IDs; !slices.Equal(a, b) {
			t.Errorf("%s: %+q: %v, converted %v", name, s, a, b)
		}
		if a, b := tok.Detokenize(a.IDs, false), got.Detokenize(b.IDs, false); a != b {
			t.Errorf("%s: decoded %+q, converted %+q", name, a, b)
		}
	}
}

// TestConvertKinds goes from the vocabulary of a WordPiece and of a Unigram back to a
// tokenizer with the same ids and offsets.
func TestConvertKinds(t *testing.T) {
	for _, style := range []string{"bert", "t5"} {
		tok := load(t, style)
		v := wordPieceVocab(t, tok)
		if style == "t5" {
			v = unigramVocab(t, tok)
		}
		compareConverted(t, style, tok, convert(t, v), readJSON[[]string](t, "texts.json"))
	}
}

func TestConvertKindsRefuses(t *testing.T) {
	yes, no := true, false
	for _, c := range []struct {
		style  string
		change func(v *GGUFVocab)
		want   string
	}{
		{"bert", func(v *GGUFVocab) { v.Types = nil }, "tokenizer.ggml.token_type has 0"},
		{"bert", func(v *GGUFVocab) { v.Tokens[20] = v.Tokens[21] }, "has the ids 20 and 21"},
		{"bert", func(v *GGUFVocab) { v.Tokens[20] = "▁" }, "tokens[20] is empty"},
		{"bert", func(v *GGUFVocab) { v.Tokens[20] = "▁Zqx" }, "normalizer.lowercase is missing"},
		{"bert", func(v *GGUFVocab) { v.SEP = 1 << 20 }, "tokenizer.ggml.seperator_token_id"},
		{"bert", func(v *GGUFVocab) { v.Types[v.BOS] = typeUnused }, "unused token"},
		{"t5", func(v *GGUFVocab) { v.Types = nil }, "tokenizer.ggml.token_type has 0"},
		{"t5", func(v *GGUFVocab) { v.Scores = v.Scores[1:] }, "tokenizer.ggml.scores has"},
		{"t5", func(v *GGUFVocab) { v.Scores[7] = float32(math.Inf(-1)) }, "tokenizer.ggml.scores[7]"},
		{"t5", func(v *GGUFVocab) { v.Tokens[7] = "" }, "tokens[7] is empty"},
		{"t5", func(v *GGUFVocab) { v.UNK = 1 << 20 }, "tokenizer.ggml.unknown_token_id"},
		{"t5", func(v *GGUFVocab) { v.EOS = 1 << 20 }, "tokenizer.ggml.eos_token_id"},
		{"t5", func(v *GGUFVocab) { v.AddBOS = &yes }, "tokenizer.ggml.bos_token_id is missing"},
		{"t5", func(v *GGUFVocab) { v.AddSpacePrefix = &no }, "add_space_prefix is false"},
	} {
		tok := load(t, c.style)
		v := wordPieceVocab(t, tok)
		if c.style == "t5" {
			v = unigramVocab(t, tok)
		}
		c.change(&v)
		if _, err := ConvertGGUF(v); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.style, err, c.want)
		}
	}
}

// TestKindsReference compares the fixtures' vocabularies and those of
// EAFT_TOKENIZER_DIRS, each out of a GGUF, with what they were before, which
// TestReference compares with Hugging Face's library, and with llama.cpp: texts of
// words must agree; of hostile ones the number that differs is told, for llama.cpp
// goes by other rules there (docs/tokenizers.md).
func TestKindsReference(t *testing.T) {
	if os.Getenv("EAFT_PYTHON") == "" {
		t.Skip("EAFT_PYTHON (with gguf and llama-cpp-python) is not set")
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	files := []string{"testdata/bert.json", "testdata/t5.json"}
	for _, dir := range filepath.SplitList(os.Getenv("EAFT_TOKENIZER_DIRS")) {
		files = append(files, filepath.Join(dir, "tokenizer.json"))
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		tok, err := FromJSON(data)
		if err != nil {
			t.Fatal(err)
		}
		var v GGUFVocab
		switch m := tok.model.(type) {
		case *wordPiece:
			m.most = 100 // which a GGUF does not say
			v = wordPieceVocab(t, tok)
			lower := strings.Contains(string(data), `"lowercase":true`) || strings.Contains(string(data), `"lowercase": true`)
			v.Lowercase = &lower
		case *unigram:
			v = unigramVocab(t, tok)
		default:
			continue
		}
		got := convert(t, v)
		r := rand.New(rand.NewPCG(seed, 3))
		words := strings.Fields("The quick brown fox's jumps, over 13 lazy dogs; it'll cost $4.50 (or so)! naïve Café größer übel Ωmega жизнь in_between x=y*2 http://a.b/c?d=e#f ## [x] {y} a-b 3rd 100% zqx")
		var plain []string
		for range 500 {
			var b strings.Builder
			for range 1 + r.IntN(20) {
				b.WriteString(words[r.IntN(len(words))])
				b.WriteString([]string{" ", " ", " ", "\n", "  ", ""}[r.IntN(6)])
			}
			plain = append(plain, b.String())
		}
		texts := slices.Concat(plain, readJSON[[]string](t, "texts.json"), hostile(r, got, 500))
		compareConverted(t, file, tok, got, texts)
		wrong := 0
		for i, want := range llamaCPP(t, v, texts) {
			for k, ids := range [][]int32{got.Encode(texts[i]).IDs, got.EncodeSpecial(texts[i]).IDs} {
				if slices.Equal(ids, want[k]) {
					continue
				}
				if i < len(plain) {
					t.Errorf("%s: %+q:\n got %v\nwant %v", file, texts[i], ids, want[k])
				} else if k == 0 {
					wrong++
				}
			}
		}
		t.Logf("%s: %d of %d hostile texts differ from llama.cpp", file, wrong, len(texts)-len(plain))
	}
}
