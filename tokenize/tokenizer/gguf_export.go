package tokenizer

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// llama.cpp's types of tokens that ExportGGUF alone gives.
const (
	typeNormal = 1
	typeUnused = 5
	typeByte   = 6
)

// exportedPre are the names of tokenizer.ggml.pre that ExportGGUF gives, of those
// that mean the same the first.
var exportedPre = []string{"gpt-2", "smollm", "llama-bpe", "qwen2", "qwen35", "gpt-4o", "tekken", "chatglm-bpe", "deepseek-v3"}

// probe is a text on which a tokenizer and its conversion must agree.
const probe = "Hello, world! It's 3.14159 and 1234567 things:\n\n\tdef f(x):\r\n        return x**2  # naïve café\n" +
	"Größe, žluťoučký, МОСКВА, 東京タワー, こんにちは, 한국어, العربية, हिन्दी, e\u0301 🙂👩‍👩‍👧 ½ ② “quotes” — don't WE'LL   trailing   "

// ExportGGUF makes the vocabulary of a GGUF with size tokens out of a
// tokenizer.json: the inverse of ConvertGGUF, which the result is tried on. BPE on
// bytes becomes the kind gpt2, BPE on characters with byte tokens the kind llama;
// what llama.cpp has no kind or name for is an error.
func ExportGGUF(data []byte, size int) (*GGUFVocab, error) {
	t, err := FromJSON(data)
	if err != nil {
		return nil, err
	}
	f, err := readFile(string(data))
	if err != nil {
		return nil, fmt.Errorf("tokenizer.json: %w", err)
	}
	if f.model.Type != "BPE" {
		return nil, fmt.Errorf("tokenizer.json: model.type is %q: BPE alone is written to a GGUF", f.model.Type)
	}
	v := &GGUFVocab{BOS: -1, EOS: -1, PAD: -1, UNK: -1, SEP: -1}
	if err := v.list(f, size); err != nil {
		return nil, err
	}
	if t.byteLevel {
		err = v.exportGPT2(f)
	} else {
		err = v.exportSPM(f)
	}
	if err != nil {
		return nil, err
	}
	return v, v.try(t)
}

// list fills in the tokens and their types. Ids that no token has are unused.
func (v *GGUFVocab) list(f *file, size int) error {
	v.Tokens, v.Types = make([]string, size), make([]int32, size)
	for i := range v.Types {
		v.Tokens[i], v.Types[i] = fmt.Sprintf("[PAD%d]", i), typeUnused
	}
	set := func(id int32, s string, typ int32) error {
		if int(id) >= size {
			return fmt.Errorf("tokenizer.json: token %q has the id %d, but the model has %d rows of embeddings: add rows to the model, or take the token out", s, id, size)
		}
		v.Tokens[id], v.Types[id] = s, typ
		return nil
	}
	for _, t := range f.vocab {
		if err := set(t.id, t.s, typeNormal); err != nil {
			return err
		}
	}
	for _, a := range f.added {
		if a.LStrip || a.RStrip || a.SingleWord {
			return fmt.Errorf("tokenizer.json: added token %q takes the white space beside it or stands for a whole word only (lstrip, rstrip, single_word), which a GGUF cannot say", a.Content)
		}
		typ := int32(typeUserDefined)
		if a.Special {
			typ = typeControl
		}
		if err := set(a.ID, a.Content, typ); err != nil {
			return err
		}
	}
	return nil
}

// component is a part of a normalizer or pre-tokenizer, as far as it is looked at.
type component struct {
	Type       string
	Normalizer []component `json:"normalizers"`
	Pre        []component `json:"pretokenizers"`
	Individual bool        `json:"individual_digits"`
	Prefix     *bool       `json:"add_prefix_space"`
	Prepend    string
	Content    string
	Regex      *bool `json:"use_regex"`
	Behavior   string
	Invert     bool
	Pattern    struct{ Regex, String *string }
}

// components are the parts of a sequence, or the part itself; none of null.
func components(raw json.RawMessage) ([]component, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	var p component
	if err := json.Unmarshal(raw, &p); err != nil {
		return nil, err
	}
	if p.Type == "Sequence" {
		return append(p.Normalizer, p.Pre...), nil
	}
	return []component{p}, nil
}

// chains are the components of the normalizer and of the pre-tokenizer.
func (f *file) chains() (norm, pre []component, err error) {
	if norm, err = components(f.normalizer); err != nil {
		return nil, nil, fmt.Errorf("tokenizer.json: normalizer: %w", err)
	}
	if pre, err = components(f.preTokenizer); err != nil {
		return nil, nil, fmt.Errorf("tokenizer.json: pre_tokenizer: %w", err)
	}
	return norm, pre, nil
}

// exportGPT2 finds the name that llama.cpp has for the pre-tokenizer.
func (v *GGUFVocab) exportGPT2(f *file) error {
	norm, pre, err := f.chains()
	if err != nil {
		return err
	}
	have := preTokenizer{ignoreMerges: f.model.IgnoreMerges}
	for _, p := range norm {
		if p.Type != "NFC" {
			return fmt.Errorf("tokenizer.json: normalizer.type is %q: llama.cpp has no name for it", p.Type)
		}
		have.nfc = true
	}
	own := false // ByteLevel's own regex
	for _, p := range pre {
		switch {
		case p.Type == "Digits" && p.Individual:
			have.digits = true
		case p.Type == "Split" && p.Pattern.Regex != nil && strings.EqualFold(p.Behavior, "Isolated") && !p.Invert:
			have.regexes = append(have.regexes, *p.Pattern.Regex)
		case p.Type == "ByteLevel" && (p.Prefix == nil || !*p.Prefix):
			own = p.Regex == nil || *p.Regex
		default:
			return fmt.Errorf("tokenizer.json: pre_tokenizer has a %s that llama.cpp has no name for", p.Type)
		}
	}
	for _, name := range exportedPre {
		x := preTokenizers[name]
		if x.nfc == have.nfc && x.digits == have.digits && x.ignoreMerges == have.ignoreMerges && slices.Equal(x.regexes, have.regexes) && own == (len(x.regexes) == 0) {
			v.Model, v.Pre = "gpt2", name
			for _, m := range f.merges {
				v.Merges = append(v.Merges, v.Tokens[m[0]]+" "+v.Tokens[m[1]])
			}
			return nil
		}
	}
	return fmt.Errorf("tokenizer.json: llama.cpp has no name for its pre_tokenizer (known: %s)", strings.Join(exportedPre, ", "))
}

// exportSPM gives each token the negative place of the first merge that makes it,
// which is the order that merges came from.
func (v *GGUFVocab) exportSPM(f *file) error {
	if !f.model.ByteFallback {
		return fmt.Errorf("tokenizer.json: a BPE on characters without byte_fallback is no kind of llama.cpp's")
	}
	norm, pre, err := f.chains()
	if err != nil {
		return err
	}
	// Llama 2's form, as ConvertGGUF writes it: others put the first space elsewhere.
	prefix := len(norm) == 2 && norm[0].Type == "Prepend" && norm[0].Prepend == "▁"
	if last := len(norm) - 1; len(pre) > 0 || last < 0 || last > 1 || last == 1 && !prefix ||
		norm[last].Type != "Replace" || norm[last].Pattern.String == nil || *norm[last].Pattern.String != " " || norm[last].Content != "▁" {
		return fmt.Errorf("tokenizer.json: llama.cpp has no kind for its normalizer and pre_tokenizer: with BPE on characters it is Prepend ▁ (or not), Replace of spaces by ▁, and no pre_tokenizer")
	}
	v.Model, v.AddSpacePrefix = "llama", &prefix
	v.Scores = make([]float32, len(v.Tokens))
	made := make([]bool, len(v.Tokens))
	for i, m := range f.merges {
		if id := m[2]; !made[id] {
			made[id], v.Scores[id] = true, -float32(i)
		}
	}
	for id, s := range v.Tokens {
		if len(s) == 6 && strings.HasPrefix(s, "<0x") && v.Types[id] == typeNormal {
			v.Types[id] = typeByte
		}
		if f.model.UnkToken != nil && s == *f.model.UnkToken {
			v.Types[id], v.UNK = typeUnknown, int32(id)
		}
	}
	return nil
}

// try reads the vocabulary back and compares it with what it was made of.
func (v *GGUFVocab) try(t *Tokenizer) error {
	data, err := ConvertGGUF(*v)
	if err != nil {
		return fmt.Errorf("the vocabulary cannot be read back: %w", err)
	}
	again, err := FromJSON(data)
	if err != nil {
		return fmt.Errorf("the vocabulary cannot be read back: %w", err)
	}
	if a, b := t.Encode(probe).IDs, again.Encode(probe).IDs; !slices.Equal(a, b) {
		return fmt.Errorf("tokenizer.json: as a GGUF of the kind %s it cuts texts differently: what it has is not all known to llama.cpp", v.Model)
	}
	return nil
}
