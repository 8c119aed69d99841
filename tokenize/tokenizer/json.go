package tokenizer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// maxVocab bounds ids, which size a table.
const maxVocab = 1 << 24

type fileJSON struct {
	AddedTokens  []addedToken    `json:"added_tokens"`
	Normalizer   json.RawMessage `json:"normalizer"`
	PreTokenizer json.RawMessage `json:"pre_tokenizer"`
	Decoder      json.RawMessage `json:"decoder"`
	Model        struct {
		Type         string            `json:"type"`
		Dropout      *float64          `json:"dropout"`
		UnkToken     *string           `json:"unk_token"`
		Prefix       *string           `json:"continuing_subword_prefix"`
		Suffix       *string           `json:"end_of_word_suffix"`
		ByteFallback bool              `json:"byte_fallback"`
		IgnoreMerges bool              `json:"ignore_merges"`
		Vocab        json.RawMessage   `json:"vocab"`
		Merges       []json.RawMessage `json:"merges"`
	} `json:"model"`
}

// FromJSON reads a Hugging Face tokenizer.json. Errors name the field.
func FromJSON(data []byte) (*Tokenizer, error) {
	var f fileJSON
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, fmt.Errorf("tokenizer.json: %w", err)
	}
	m := &f.Model
	if m.Type != "BPE" {
		return nil, fmt.Errorf("tokenizer.json: model.type %q is not known: byte-level BPE is", m.Type)
	}
	switch {
	case m.Dropout != nil && *m.Dropout != 0:
		return nil, fmt.Errorf("tokenizer.json: model.dropout %v: random tokens are not supported", *m.Dropout)
	case m.ByteFallback:
		return nil, fmt.Errorf("tokenizer.json: model.byte_fallback: SentencePiece-style BPE is not known: byte-level BPE is")
	case m.Prefix != nil && *m.Prefix != "":
		return nil, fmt.Errorf("tokenizer.json: model.continuing_subword_prefix %q is not supported", *m.Prefix)
	case m.Suffix != nil && *m.Suffix != "":
		return nil, fmt.Errorf("tokenizer.json: model.end_of_word_suffix %q is not supported", *m.Suffix)
	}
	t := &Tokenizer{json: bytes.Clone(data), added: f.AddedTokens}
	if err := t.setNormalizer(f.Normalizer); err != nil {
		return nil, err
	}
	byteLevel := false
	if err := t.addPreTokenizer("pre_tokenizer", f.PreTokenizer, &byteLevel); err != nil {
		return nil, err
	}
	if !byteLevel {
		return nil, fmt.Errorf("tokenizer.json: pre_tokenizer has no ByteLevel: only byte-level BPE is known")
	}
	if err := t.setVocab(f.Model.Vocab); err != nil {
		return nil, err
	}
	if err := t.setMerges(m.Merges); err != nil {
		return nil, err
	}
	t.model.ignoreMerges = m.IgnoreMerges
	if m.IgnoreMerges {
		t.model.words = make(map[string]int32, len(t.ids))
		for s, id := range t.ids {
			if b, ok := spelled(s); ok {
				t.model.words[string(b)] = id
			}
		}
	}
	if err := t.addTokens(); err != nil {
		return nil, err
	}
	t.pool.New = func() any { return &encoder{known: map[string]pieces{}} }
	return t, nil
}

func isNull(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

func (t *Tokenizer) setNormalizer(raw json.RawMessage) error {
	if isNull(raw) {
		return nil
	}
	var n struct {
		Type        string
		Normalizers []json.RawMessage
	}
	if err := json.Unmarshal(raw, &n); err != nil {
		return fmt.Errorf("tokenizer.json: normalizer: %w", err)
	}
	switch {
	case n.Type == "NFC":
		t.nfc = true
		return nil
	case n.Type == "Sequence" && len(n.Normalizers) == 0:
		return nil
	case n.Type == "Sequence" && len(n.Normalizers) == 1:
		return t.setNormalizer(n.Normalizers[0])
	}
	return fmt.Errorf("tokenizer.json: normalizer.type %q is not known: NFC is", n.Type)
}

// addPreTokenizer adds the splitters of one pre-tokenizer.
func (t *Tokenizer) addPreTokenizer(field string, raw json.RawMessage, byteLevel *bool) error {
	if isNull(raw) {
		return nil
	}
	var p struct {
		Type           string
		PreTokenizers  []json.RawMessage
		Individual     bool  `json:"individual_digits"`
		AddPrefixSpace bool  `json:"add_prefix_space"`
		UseRegex       *bool `json:"use_regex"`
		Pattern        struct{ Regex *string }
		Behavior       string
		Invert         bool
	}
	if err := json.Unmarshal(raw, &p); err != nil {
		return fmt.Errorf("tokenizer.json: %s: %w", field, err)
	}
	add := func(name string, s splitter) {
		t.split, t.names = append(t.split, s), append(t.names, name)
	}
	if *byteLevel {
		return fmt.Errorf("tokenizer.json: %s: nothing may follow ByteLevel", field)
	}
	switch p.Type {
	case "Sequence":
		for i, raw := range p.PreTokenizers {
			if err := t.addPreTokenizer(fmt.Sprintf("%s.pretokenizers[%d]", field, i), raw, byteLevel); err != nil {
				return err
			}
		}
		return nil
	case "Digits":
		if !p.Individual {
			return fmt.Errorf("tokenizer.json: %s: Digits with individual_digits false is not known", field)
		}
		add("digits", splitDigits)
		return nil
	case "Split":
		if p.Pattern.Regex == nil || patterns[*p.Pattern.Regex] == nil {
			return fmt.Errorf("tokenizer.json: %s.pattern %s is not known: the patterns of GPT-2, Llama 3 and Qwen 2 are", field, raw)
		}
		if p.Behavior != "Isolated" || p.Invert {
			return fmt.Errorf("tokenizer.json: %s: Split with behavior %q, invert %v is not known: Isolated is", field, p.Behavior, p.Invert)
		}
		add(*p.Pattern.Regex, patterns[*p.Pattern.Regex])
		return nil
	case "ByteLevel":
		if p.AddPrefixSpace {
			return fmt.Errorf("tokenizer.json: %s.add_prefix_space true is not known", field)
		}
		if p.UseRegex == nil || *p.UseRegex {
			add(patternGPT2, splitGPT2)
		}
		*byteLevel = true
		return nil
	}
	return fmt.Errorf("tokenizer.json: %s.type %q is not known: Sequence, Digits, Split and ByteLevel are", field, p.Type)
}

func (t *Tokenizer) setVocab(raw json.RawMessage) error {
	if err := json.Unmarshal(raw, &t.ids); err != nil {
		return fmt.Errorf("tokenizer.json: model.vocab: %w", err)
	}
	size := 0
	for s, id := range t.ids {
		if id < 0 || id >= maxVocab {
			return fmt.Errorf("tokenizer.json: model.vocab: %q has the impossible id %d", s, id)
		}
		size = max(size, int(id)+1)
	}
	for i, a := range t.added {
		if a.ID < 0 || a.ID >= maxVocab || a.Content == "" {
			return fmt.Errorf("tokenizer.json: added_tokens[%d]: id %d, content %q is not possible", i, a.ID, a.Content)
		}
		size = max(size, int(a.ID)+1)
	}
	if size > 4*(len(t.ids)+len(t.added))+1024 {
		return fmt.Errorf("tokenizer.json: model.vocab: an id of %d with %d tokens", size-1, len(t.ids))
	}
	t.tokens, t.spell = make([][]byte, size), make([]string, size)
	for s, id := range t.ids {
		if t.tokens[id] != nil {
			return fmt.Errorf("tokenizer.json: model.vocab: %q and %q share the id %d", s, t.spell[id], id)
		}
		b, ok := spelled(s)
		if !ok {
			b = []byte(s) // special tokens stand in the vocabulary as they are
		}
		t.tokens[id], t.spell[id] = b, s
	}
	for c := range 256 {
		t.model.bytes[c] = -1
		if id, ok := t.ids[string(byteToRune[c])]; ok {
			t.model.bytes[c] = id
		}
	}
	return nil
}

// setMerges reads merges as "a b" or ["a", "b"].
func (t *Tokenizer) setMerges(raws []json.RawMessage) error {
	t.model.merges = make(map[uint64]merge, len(raws))
	for i, raw := range raws {
		var parts [2]string
		var s string
		if json.Unmarshal(raw, &s) == nil {
			var ok bool
			if parts[0], parts[1], ok = strings.Cut(s, " "); !ok {
				return fmt.Errorf("tokenizer.json: model.merges[%d]: %q is no pair", i, s)
			}
		} else if err := json.Unmarshal(raw, &parts); err != nil {
			return fmt.Errorf("tokenizer.json: model.merges[%d]: %w", i, err)
		}
		var ids [3]int32
		for k, s := range []string{parts[0], parts[1], parts[0] + parts[1]} {
			id, ok := t.ids[s]
			if !ok {
				return fmt.Errorf("tokenizer.json: model.merges[%d]: %q is not in the vocabulary", i, s)
			}
			ids[k] = id
		}
		if len(t.tokens[ids[2]]) != len(t.tokens[ids[0]])+len(t.tokens[ids[1]]) {
			return fmt.Errorf("tokenizer.json: model.merges[%d]: %q is not spelled in bytes", i, parts)
		}
		// A pair that stands twice counts where it stands last, as in a map that is filled in order.
		t.model.merges[pair(ids[0], ids[1])] = merge{int32(i), ids[2]}
	}
	return nil
}

// addTokens enters the added tokens after the model's.
func (t *Tokenizer) addTokens() error {
	for i, a := range t.added {
		if id, ok := t.ids[a.Content]; ok && id != a.ID {
			return fmt.Errorf("tokenizer.json: added_tokens[%d]: %q has id %d, in the vocabulary %d", i, a.Content, a.ID, id)
		}
		t.ids[a.Content] = a.ID
		t.tokens[a.ID], t.spell[a.ID] = []byte(a.Content), a.Content
		if a.Normalized {
			if t.nfc {
				a.Content = nfc(a.Content)
			}
			t.normed.insert(a)
		} else {
			t.raw.insert(a)
		}
	}
	return nil
}
