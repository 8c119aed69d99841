package tokenizer

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"
)

// maxVocab bounds ids, which size a table.
const maxVocab = 1 << 24

// file is what a tokenizer.json holds.
type file struct {
	added                                            []addedToken
	normalizer, preTokenizer, decoder, postProcessor json.RawMessage
	model                                            modelJSON
	vocab                                            []token
	listed                                           bool // the vocabulary is a list, with scores
	names                                            *names
	merges                                           [][3]int32 // two tokens and what they become
}

type token struct {
	s     string
	id    int32
	score float64
}

type modelJSON struct {
	Type         string   `json:"type"`
	Dropout      *float64 `json:"dropout"`
	UnkToken     *string  `json:"unk_token"`
	UnkID        *int32   `json:"unk_id"`
	Prefix       *string  `json:"continuing_subword_prefix"`
	Suffix       *string  `json:"end_of_word_suffix"`
	FuseUnk      bool     `json:"fuse_unk"`
	ByteFallback bool     `json:"byte_fallback"`
	IgnoreMerges bool     `json:"ignore_merges"`
	MaxChars     *int     `json:"max_input_chars_per_word"`
}

// FromJSON reads a Hugging Face tokenizer.json: models BPE, Unigram and WordPiece.
// Errors name the field.
func FromJSON(data []byte) (*Tokenizer, error) {
	if !utf8.Valid(data) {
		return nil, fmt.Errorf("tokenizer.json: it is no UTF-8")
	}
	classOnce.Do(fillClasses)
	whole := string(data)
	f, err := readFile(whole)
	if err != nil {
		return nil, fmt.Errorf("tokenizer.json: %w", err)
	}
	t := &Tokenizer{json: whole, added: f.added, names: f.names}
	if t.normalizers, err = readNormalizer("normalizer", f.normalizer, 0, nil); err != nil {
		return nil, err
	}
	if t.splitters, err = readPreTokenizer("pre_tokenizer", f.preTokenizer, 0, &t.byteLevel, nil); err != nil {
		return nil, err
	}
	if err := t.setVocab(f.vocab); err != nil {
		return nil, err
	}
	if err := t.setModel(f); err != nil {
		return nil, err
	}
	if t.decoders, err = readDecoder("decoder", f.decoder, 0, nil); err != nil {
		return nil, err
	}
	if err := t.addTokens(); err != nil {
		return nil, err
	}
	if t.post, err = readPostProcessor("post_processor", f.postProcessor, 0, nil); err != nil {
		return nil, err
	}
	t.pool.New = func() any { return &encoder{cache: cache{slots: make([]slot, cacheSlots), long: map[string][]piece{}}} }
	return t, nil
}

func isNull(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

func readFile(s string) (*file, error) {
	f := &file{}
	r := &scan{s: s}
	fields := map[string]*json.RawMessage{"normalizer": &f.normalizer, "pre_tokenizer": &f.preTokenizer, "decoder": &f.decoder, "post_processor": &f.postProcessor}
	err := r.object(func(key string) error {
		if key == "model" {
			return f.readModel(r)
		}
		raw, err := r.raw()
		if err != nil {
			return err
		}
		if field := fields[key]; field != nil {
			*field = raw
		}
		if key == "added_tokens" && !isNull(raw) {
			if err := json.Unmarshal(raw, &f.added); err != nil {
				return fmt.Errorf("added_tokens: %w", err)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if r.space(); r.i < len(r.s) {
		return nil, r.fail("text after the end")
	}
	if f.model.Type == "" {
		if f.model.Type = f.kind(); f.model.Type == "" {
			return nil, fmt.Errorf("model.type is missing, and its fields are not those of BPE, Unigram or WordPiece")
		}
	}
	return f, nil
}

// kind is the model's, which files of before 2021 (T5's and BERT's among them) leave
// to its fields (huggingface/tokenizers, models/mod.rs, ModelUntagged).
func (f *file) kind() string {
	m := &f.model
	switch {
	case f.listed:
		return "Unigram"
	case f.merges != nil:
		return "BPE"
	case m.UnkToken != nil && m.Prefix != nil && m.MaxChars != nil:
		return "WordPiece"
	}
	return ""
}

// readModel keeps vocabulary and merges apart from the small fields.
func (f *file) readModel(r *scan) error {
	rest := map[string]json.RawMessage{}
	mergesAt := -1 // where they stand, if that is before the vocabulary
	err := r.object(func(key string) error {
		var err error
		switch key {
		case "vocab":
			if err = f.readVocab(r); err != nil {
				err = fmt.Errorf("model.vocab: %w", err)
			}
			f.names = newNames(f.vocab)
		case "merges":
			if f.vocab != nil {
				return f.readMerges(r)
			}
			mergesAt = r.i
			err = r.skip(0)
		default:
			rest[key], err = r.raw()
		}
		return err
	})
	if err != nil {
		return err
	}
	raw, err := json.Marshal(rest)
	if err != nil {
		return fmt.Errorf("model: %w", err)
	}
	if f.vocab == nil {
		return fmt.Errorf("model.vocab is missing")
	}
	if mergesAt >= 0 {
		if err := f.readMerges(&scan{s: r.s, i: mergesAt}); err != nil {
			return err
		}
	}
	if err := json.Unmarshal(raw, &f.model); err != nil {
		return fmt.Errorf("model: %w", err)
	}
	return nil
}

// readVocab takes an object of ids or a list of [token, score].
func (f *file) readVocab(r *scan) error {
	f.vocab = make([]token, 0, min(len(r.s)/40, 1<<18))
	r.space()
	if r.i < len(r.s) && r.s[r.i] == '[' {
		f.listed = true
		return r.array(func(i int) error {
			t := token{id: int32(i)}
			if i >= maxVocab {
				return fmt.Errorf("more than %d tokens", maxVocab)
			}
			if !r.next('[') {
				return r.fail("[token, score] was expected")
			}
			var err error
			if t.s, err = r.str(); err != nil {
				return err
			}
			if !r.next(',') {
				return r.fail("a comma was expected")
			}
			if t.score, err = r.float(); err != nil {
				return err
			}
			f.vocab = append(f.vocab, t)
			if !r.next(']') {
				return r.fail("] was expected")
			}
			return nil
		})
	}
	return r.object(func(key string) error {
		id, err := r.id()
		if err != nil {
			return fmt.Errorf("%q has %w", key, err)
		}
		f.vocab = append(f.vocab, token{s: key, id: id})
		return nil
	})
}

// readMerges takes pairs as "a b" or ["a", "b"]; the vocabulary has been read.
func (f *file) readMerges(r *scan) error {
	r.space()
	if strings.HasPrefix(r.s[r.i:], "null") {
		r.i += 4
		return nil
	}
	f.merges = make([][3]int32, 0, 2*len(f.vocab))
	err := r.array(func(int) error {
		a, b, err := r.pair()
		if err != nil {
			return err
		}
		var ids [3]int32
		var ok [3]bool
		ids[0], ok[0] = f.names.get(a)
		ids[1], ok[1] = f.names.get(b)
		ids[2], ok[2] = f.names.joined(a, b)
		for k, s := range []string{a, b, ""} {
			if !ok[k] {
				if k == 2 {
					s = a + b
				}
				return fmt.Errorf("%q is not in the vocabulary", s)
			}
		}
		f.merges = append(f.merges, ids)
		return nil
	})
	if err != nil {
		return fmt.Errorf("model.merges[%d]: %w", len(f.merges), err)
	}
	return nil
}

func (t *Tokenizer) setVocab(vocab []token) error {
	size := 0
	for _, v := range vocab {
		size = max(size, int(v.id)+1)
	}
	for i, a := range t.added {
		if a.ID < 0 || a.ID >= maxVocab || a.Content == "" {
			return fmt.Errorf("tokenizer.json: added_tokens[%d]: id %d, content %q is not possible", i, a.ID, a.Content)
		}
		size = max(size, int(a.ID)+1)
	}
	if size > 4*(len(vocab)+len(t.added))+1024 {
		return fmt.Errorf("tokenizer.json: model.vocab: an id of %d with %d tokens", size-1, len(vocab))
	}
	t.spell, t.known = make([]string, size), make([]bool, size)
	for _, v := range vocab {
		if t.known[v.id] {
			return fmt.Errorf("tokenizer.json: model.vocab: %q and %q share the id %d", v.s, t.spell[v.id], v.id)
		}
		t.spell[v.id], t.known[v.id] = v.s, true
	}
	return nil
}

// setModel makes the model of its kind.
func (t *Tokenizer) setModel(f *file) error {
	m := &f.model
	unk := int32(-1)
	if m.UnkToken != nil {
		id, ok := t.names.get(*m.UnkToken)
		if !ok && (m.Type != "BPE" || *m.UnkToken != "") {
			return fmt.Errorf("tokenizer.json: model.unk_token %q is not in the vocabulary", *m.UnkToken)
		}
		if ok {
			unk = id
		}
	}
	if t.byteLevel && m.Type != "BPE" {
		return fmt.Errorf("tokenizer.json: pre_tokenizer ByteLevel with model.type %q is not known: with BPE it is", m.Type)
	}
	switch m.Type {
	case "BPE":
		return t.setBPE(f, unk)
	case "Unigram":
		if m.UnkID == nil || *m.UnkID < 0 || int(*m.UnkID) >= len(f.vocab) {
			return fmt.Errorf("tokenizer.json: model.unk_id is missing or no token: characters without a token need it")
		}
		u := &unigram{tokens: newTrie(0), unk: *m.UnkID, unkScore: math.Inf(1), names: t.names, fallback: m.ByteFallback, bytes: t.byteTokens()}
		for _, v := range f.vocab {
			if v.s != "" {
				u.tokens.put(v.s, v.id)
			}
			u.scores = append(u.scores, v.score)
			u.unkScore = min(u.unkScore, v.score)
		}
		u.unkScore -= unkPenalty
		t.model = u
		return nil
	case "WordPiece":
		if unk < 0 {
			return fmt.Errorf("tokenizer.json: model.unk_token is missing: words without tokens need it")
		}
		w := &wordPiece{first: newTrie(0), rest: newTrie(0), unk: unk, most: 100}
		if m.MaxChars != nil {
			w.most = *m.MaxChars
		}
		prefix := "##"
		if m.Prefix != nil {
			prefix = *m.Prefix
		}
		for _, v := range f.vocab {
			if v.s != "" {
				w.first.put(v.s, v.id)
			}
			if rest, ok := strings.CutPrefix(v.s, prefix); ok && rest != "" {
				w.rest.put(rest, v.id)
			}
		}
		t.model = w
		return nil
	}
	return fmt.Errorf("tokenizer.json: model.type %q is not known: BPE, Unigram and WordPiece are", m.Type)
}

func (t *Tokenizer) setBPE(f *file, unk int32) error {
	m := &f.model
	switch {
	case m.Dropout != nil && *m.Dropout != 0:
		return fmt.Errorf("tokenizer.json: model.dropout %v: random tokens are not supported", *m.Dropout)
	case m.Prefix != nil && *m.Prefix != "":
		return fmt.Errorf("tokenizer.json: model.continuing_subword_prefix %q is not supported", *m.Prefix)
	case m.Suffix != nil && *m.Suffix != "":
		return fmt.Errorf("tokenizer.json: model.end_of_word_suffix %q is not supported", *m.Suffix)
	case t.byteLevel && m.ByteFallback:
		return fmt.Errorf("tokenizer.json: model.byte_fallback with a ByteLevel pre_tokenizer is not known")
	}
	b := &bpe{byteLevel: t.byteLevel, fallback: m.ByteFallback, unk: unk, fuse: m.FuseUnk, ignoreMerges: m.IgnoreMerges, names: t.names}
	b.merges = newTable(len(f.merges))
	for i, p := range f.merges {
		// A pair that stands twice counts where it stands last, as in a map that is filled in order.
		b.merges.put(pair(p[0], p[1]), int32(i), p[2])
	}
	t.model = b
	if b.byteLevel {
		for c := range 256 {
			b.bytes[c] = -1
			if id, ok := t.names.get(string(byteToRune[c])); ok {
				b.bytes[c] = id
			}
		}
		return nil
	}
	b.bytes = t.byteTokens()
	b.runes = map[rune]int32{}
	for c := range b.ascii {
		b.ascii[c] = -1
	}
	for _, v := range f.vocab {
		r, n := utf8.DecodeRuneInString(v.s)
		if n == 0 || n != len(v.s) {
			continue
		}
		if r < utf8.RuneSelf {
			b.ascii[r] = v.id
		} else {
			b.runes[r] = v.id
		}
	}
	b.partition(t.spell)
	if b.apart != nil {
		t.splitters = append(t.splitters, b)
	}
	return nil
}

// byteTokens are the ids of <0x00> to <0xFF>; -1: there is none.
func (t *Tokenizer) byteTokens() (ids [256]int32) {
	for c := range 256 {
		ids[c] = -1
		if id, ok := t.names.get(fmt.Sprintf("<0x%02X>", c)); ok {
			ids[c] = id
		}
	}
	return ids
}

// addTokens enters the added tokens after the model's.
func (t *Tokenizer) addTokens() error {
	t.more, t.special = make(map[string]int32, len(t.added)), map[int32]bool{}
	t.written = map[int32]string{}
	for i, a := range t.added {
		if id, ok := t.names.get(a.Content); ok && id != a.ID {
			return fmt.Errorf("tokenizer.json: added_tokens[%d]: %q has id %d, in the vocabulary %d", i, a.Content, a.ID, id)
		}
		t.more[a.Content] = a.ID
		if a.Special {
			t.special[a.ID] = true
		}
		t.spell[a.ID], t.known[a.ID] = a.Content, true
		if !a.Normalized {
			t.raw.insert(a)
			continue
		}
		if n := t.normalize(text{s: a.Content}).s; n != a.Content {
			a.Content = n
			t.written[a.ID] = n
		}
		if a.Content != "" {
			t.normed.insert(a)
		}
	}
	t.raw.build()
	t.normed.build()
	return nil
}
