package tokenizer

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// postProcessor changes an encoding of text (huggingface/tokenizers, processors/).
type postProcessor interface {
	process(t *Tokenizer, text string, e *Encoding, special bool)
}

func readPostProcessor(field string, raw json.RawMessage, depth int, out []postProcessor) ([]postProcessor, error) {
	if isNull(raw) {
		return out, nil
	}
	var p struct {
		Type           string
		Processors     []json.RawMessage
		TrimOffsets    *bool `json:"trim_offsets"`
		AddPrefixSpace *bool `json:"add_prefix_space"`
		Cls, Sep       json.RawMessage
		Single         []struct {
			SpecialToken *struct{ ID string }
			Sequence     *struct{ ID string }
		}
		SpecialTokens map[string]struct{ IDs []int32 } `json:"special_tokens"`
	}
	if err := json.Unmarshal(raw, &p); err != nil {
		return nil, fmt.Errorf("tokenizer.json: %s: %w", field, err)
	}
	yes := func(b *bool) bool { return b == nil || *b }
	switch p.Type {
	case "Sequence":
		if depth >= maxNested {
			return nil, fmt.Errorf("tokenizer.json: %s: more than %d Sequences in each other", field, maxNested)
		}
		var err error
		for i, raw := range p.Processors {
			if out, err = readPostProcessor(fmt.Sprintf("%s.processors[%d]", field, i), raw, depth+1, out); err != nil {
				return nil, err
			}
		}
		return out, nil
	case "ByteLevel":
		if yes(p.TrimOffsets) {
			out = append(out, trim{yes(p.AddPrefixSpace)})
		}
		return out, nil
	case "BertProcessing", "RobertaProcessing":
		var w wrap
		for key, part := range map[string]struct {
			raw json.RawMessage
			ids *[]int32
		}{"cls": {p.Cls, &w.before}, "sep": {p.Sep, &w.after}} {
			var token string
			var id int32
			if err := json.Unmarshal(part.raw, &[]any{&token, &id}); err != nil {
				return nil, fmt.Errorf("tokenizer.json: %s.%s: [token, id] was expected: %w", field, key, err)
			}
			*part.ids = []int32{id}
		}
		if p.Type == "RobertaProcessing" && yes(p.TrimOffsets) {
			out = append(out, trim{yes(p.AddPrefixSpace)})
		}
		return append(out, w), nil
	case "TemplateProcessing":
		var w wrap
		texts := 0
		for _, piece := range p.Single {
			switch {
			case piece.Sequence != nil:
				texts++
			case piece.SpecialToken != nil:
				token, ok := p.SpecialTokens[piece.SpecialToken.ID]
				if !ok {
					return nil, fmt.Errorf("tokenizer.json: %s.special_tokens has no %q", field, piece.SpecialToken.ID)
				}
				if texts == 0 {
					w.before = append(w.before, token.IDs...)
				} else {
					w.after = append(w.after, token.IDs...)
				}
			}
		}
		if texts != 1 {
			return nil, fmt.Errorf("tokenizer.json: %s.single has the sequence %d times: once is known", field, texts)
		}
		return append(out, w), nil
	}
	return nil, fmt.Errorf("tokenizer.json: %s.type %q is not known: Sequence, ByteLevel, BertProcessing, RobertaProcessing and TemplateProcessing are", field, p.Type)
}

// wrap puts special tokens before and after the text.
type wrap struct{ before, after []int32 }

func (w wrap) process(_ *Tokenizer, _ string, e *Encoding, special bool) {
	if !special {
		return
	}
	zeros := func(n int) []int32 { return make([]int32, n) }
	e.IDs = slices.Concat(w.before, e.IDs, w.after)
	e.Starts = slices.Concat(zeros(len(w.before)), e.Starts, zeros(len(w.after)))
	e.Ends = slices.Concat(zeros(len(w.before)), e.Ends, zeros(len(w.after)))
}

// trim is ByteLevel's trim_offsets: offsets without the white space that a token
// begins and ends with.
type trim struct{ prefixSpace bool }

func (p trim) process(t *Tokenizer, text string, e *Encoding, _ bool) {
	isSpace := func(r rune) bool { return r == byteToRune[' '] || unicode.IsSpace(r) }
	for i, id := range e.IDs {
		s := t.spell[id]
		if t.more[s] == id && e.Ends[i] > 0 { // an added token is what was found, with what lstrip and rstrip took
			s = text[e.Starts[i]:e.Ends[i]]
		}
		leading := utf8.RuneCountInString(s) - utf8.RuneCountInString(strings.TrimLeftFunc(s, isSpace))
		trailing := utf8.RuneCountInString(s) - utf8.RuneCountInString(strings.TrimRightFunc(s, isSpace))
		if leading > 0 {
			if p.prefixSpace && leading == 1 && (i == 0 || e.Starts[i] == 0) {
				leading = 0 // the space that was put there
			}
			for ; leading > 0 && e.Starts[i] < e.Ends[i]; leading-- {
				_, n := utf8.DecodeRuneInString(text[e.Starts[i]:e.Ends[i]])
				e.Starts[i] += int32(n)
			}
		}
		for ; trailing > 0 && e.Ends[i] > e.Starts[i]; trailing-- {
			_, n := utf8.DecodeLastRuneInString(text[e.Starts[i]:e.Ends[i]])
			e.Ends[i] -= int32(n)
		}
	}
}
