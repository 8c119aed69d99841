package tokenizer

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// spmVocab is the vocabulary of a fixture with scores: the earlier a merge, the
// higher. Published ones score likewise.
func spmVocab(t *testing.T, style string) (v GGUFVocab, tok *Tokenizer) {
	tok = load(t, style)
	v = GGUFVocab{Model: "llama", BOS: -1, EOS: -1, PAD: -1, UNK: -1, SEP: -1}
	for id := range tok.VocabSize() {
		v.Tokens, v.Types = append(v.Tokens, tok.spell[id]), append(v.Types, 1)
		v.Scores = append(v.Scores, float32(-10_000-id))
		if _, ok := byteToken(tok.spell[id]); ok {
			v.Types[id], v.Scores[id] = 6, 0
		}
	}
	for i, m := range slices.Backward(mergesOf(t, tok)) {
		id, _ := tok.ID(m[0] + m[1])
		v.Scores[id] = float32(-i)
	}
	for _, a := range tok.added {
		v.Scores[a.ID] = 0
		if v.Types[a.ID] = typeUserDefined; a.Special {
			v.Types[a.ID] = typeControl
		}
	}
	v.Types[0] = typeUnknown
	return v, tok
}

func mergesOf(t *testing.T, tok *Tokenizer) [][2]string {
	var file struct{ Model struct{ Merges [][2]string } }
	if err := json.Unmarshal(tok.JSON(), &file); err != nil {
		t.Fatal(err)
	}
	return file.Model.Merges
}

func convert(t *testing.T, v GGUFVocab) *Tokenizer {
	t.Helper()
	data, err := ConvertGGUF(v)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := FromJSON(data)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// spmIDs is the rule, word for word: of all neighbours whose text is a token, join
// the leftmost of those with the highest score, until there are none.
func spmIDs(v GGUFVocab, text string) (ids []int32) {
	vocab := map[string]int32{}
	for id, s := range v.Tokens {
		vocab[s] = int32(id)
	}
	parts := strings.Split(strings.ReplaceAll(text, " ", "▁"), "")
	for {
		best, score := -1, math.Inf(-1)
		for i := range len(parts) - 1 {
			if id, ok := vocab[parts[i]+parts[i+1]]; ok && float64(v.Scores[id]) > score {
				best, score = i, float64(v.Scores[id])
			}
		}
		if best < 0 {
			break
		}
		parts[best] += parts[best+1]
		parts = slices.Delete(parts, best+1, best+2)
	}
	for _, p := range parts {
		if id, ok := vocab[p]; ok {
			ids = append(ids, id)
			continue
		}
		for i := range len(p) {
			ids = append(ids, vocab[fmt.Sprintf("<0x%02X>", p[i])])
		}
	}
	return ids
}

func TestSPMRule(t *testing.T) {
	for _, style := range []string{"llama2", "gemma", "mistral"} {
		v, _ := spmVocab(t, style)
		for prefix := range 2 {
			b := prefix == 1
			v.AddSpacePrefix = &b
			tok := convert(t, v)
			n := 0
			for _, text := range readJSON[[]string](t, "texts.json") {
				if slices.ContainsFunc(tok.added, func(a addedToken) bool { return strings.Contains(text, a.Content) }) {
					continue // they cut the text first: TestSPMReference
				}
				n++
				s := text
				if b && s != "" {
					s = " " + s
				}
				if got, want := tok.Encode(text).IDs, spmIDs(v, s); !slices.Equal(got, want) {
					t.Errorf("%s, prefix %v: %+q: %v, want %v", style, b, text, got, want)
				}
				if got := tok.Detokenize(tok.Encode(text).IDs, false); !strings.Contains(text, "▁") && got != text {
					t.Errorf("%s, prefix %v: decoded %+q, want %+q", style, b, got, text)
				}
			}
			if n < 200 {
				t.Errorf("%d texts are compared", n)
			}
		}
	}
}

// TestSPMRuns has runs of spaces that share a score, as published vocabularies have.
func TestSPMRuns(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	v, _ := spmVocab(t, "llama2")
	var spare []int // tokens that a run may replace
	for id, s := range v.Tokens {
		if strings.Trim(s, "▁") == "" && len(s) > 3 {
			spare = append(spare, id)
		} else if v.Types[id] == 1 && len(s) > 8 && len(spare) < 12 {
			spare = append(spare, id)
		}
	}
	for range 40 {
		w := v
		w.Tokens, w.Scores = slices.Clone(v.Tokens), slices.Clone(v.Scores)
		lengths := r.Perm(17)
		for i, id := range spare {
			w.Tokens[id], w.Scores[id] = strings.Repeat("▁", lengths[i]+2), -1e9
		}
		tok := convert(t, w)
		for n := range 60 {
			text := strings.Repeat(" ", n) + "a" + strings.Repeat(" ", r.IntN(60)) + "b" + strings.Repeat(" ", r.IntN(9))
			if got, want := tok.Encode(text).IDs, spmIDs(w, " "+text); !slices.Equal(got, want) {
				t.Fatalf("runs of %v: %q: %v, want %v", lengths[:len(spare)], text, got, want)
			}
		}
	}
}

func TestSPMDefaults(t *testing.T) {
	v, _ := spmVocab(t, "llama2")
	yes, no := true, false
	for _, c := range []struct {
		bos, eos *bool
		want     []int32
	}{{nil, nil, []int32{1}}, {&yes, &yes, []int32{1, 2}}, {&no, &no, nil}, {&no, &yes, []int32{2}}} {
		v.AddBOS, v.AddEOS = c.bos, c.eos
		if got := convert(t, v).EncodeSpecial("").IDs; !slices.Equal(got, c.want) {
			t.Errorf("special tokens %v, want %v", got, c.want)
		}
	}
	for _, c := range []struct {
		change func(v *GGUFVocab)
		want   string
	}{
		{func(v *GGUFVocab) { v.Scores = v.Scores[1:] }, "tokenizer.ggml.scores has"},
		{func(v *GGUFVocab) { v.Scores[7] = float32(math.NaN()) }, "tokenizer.ggml.scores[7]"},
		{func(v *GGUFVocab) { v.Types = v.Types[1:] }, "tokenizer.ggml.token_type"},
		{func(v *GGUFVocab) { v.Tokens[7] = v.Tokens[8] }, "has the ids 7 and 8"},
		{func(v *GGUFVocab) { v.Tokens[9] = "\xff" }, "no UTF-8"},
		{func(v *GGUFVocab) { v.Tokens[9] = strings.Repeat("a", 2000) }, "2000 bytes"},
		{func(v *GGUFVocab) { v.Tokens[slices.Index(v.Tokens, "<0xC1>")] = "zqx" }, "<0xC1> is missing"},
		{func(v *GGUFVocab) { v.Tokens[600] = "a\U0001f9ff" }, "not both tokens"},
		{func(v *GGUFVocab) { v.Tokens[600] = "<0x41>a" }, "byte token"},
		{func(v *GGUFVocab) {
			for i := range v.Scores {
				v.Scores[i] = -1000
			}
		}, "share the score -1000"},
		{func(v *GGUFVocab) { // every part, of at most 100 characters, of a text
			var b strings.Builder
			for i := range 900 {
				b.WriteRune(rune(0x4e00 + i))
			}
			s := b.String()
			for n := 3; n <= 300; n += 3 {
				for i := 0; i+n <= len(s); i += 3 {
					if t := s[i : i+n]; !slices.Contains(v.Tokens[:760], t) {
						v.Tokens, v.Types, v.Scores = append(v.Tokens, t), append(v.Types, 1), append(v.Scores, float32(-len(v.Tokens)))
					}
				}
			}
		}, "texts of all merges"},
		{func(v *GGUFVocab) { v.UNK = 1 << 20 }, "unknown_token_id"},
		{func(v *GGUFVocab) { v.Name = "Phi-3 mini" }, "Phi-3"},
	} {
		v, _ := spmVocab(t, "llama2")
		c.change(&v)
		if _, err := ConvertGGUF(v); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want %q", err, c.want)
		}
	}
}

// TestSPMReference compares ids with llama.cpp's, and with what Hugging Face's
// library makes of the tokenizer.json.
func TestSPMReference(t *testing.T) {
	if os.Getenv("EAFT_PYTHON") == "" {
		t.Skip("EAFT_PYTHON (with gguf and llama-cpp-python) is not set")
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	yes, no := true, false
	for _, style := range []string{"llama2", "gemma", "mistral"} {
		v, _ := spmVocab(t, style)
		for _, flags := range [][3]*bool{{&yes, &yes, &no}, {&no, &yes, &yes}, {&yes, &no, &no}} {
			v.AddSpacePrefix, v.AddBOS, v.AddEOS = flags[0], flags[1], flags[2]
			tok := convert(t, v)
			texts := slices.Concat(readJSON[[]string](t, "texts.json"), hostile(rand.New(rand.NewPCG(seed, 2)), tok, 500))
			wrong := 0
			for i, want := range llamaCPP(t, v, texts) {
				for k, got := range [][]int32{tok.Encode(texts[i]).IDs, tok.EncodeSpecial(texts[i]).IDs} {
					if !slices.Equal(got, want[k]) {
						if wrong++; wrong <= 5 {
							t.Errorf("%s: %+q:\n got %v\nwant %v", style, texts[i], got, want[k])
						}
					}
				}
			}
			t.Logf("%s: %d of %d texts differ", style, wrong, len(texts))
			file := filepath.Join(t.TempDir(), "tokenizer.json")
			if err := os.WriteFile(file, tok.JSON(), 0o600); err != nil {
				t.Fatal(err)
			}
			compareWithPython(t, file, 300)
		}
	}
}
