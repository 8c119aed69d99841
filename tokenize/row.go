package tokenize

import (
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"strconv"

	"eaft/parquet"
	"eaft/tokenize/template"
)

// ignored is the label of a token that is not trained (Hugging Face's -100).
const ignored = -100

// reject is why a row cannot be used: the reason is counted, the detail is for
// whoever mends the row.
type reject struct{ reason, detail string }

func (r *reject) Error() string { return r.reason + ": " + r.detail }

func rejectf(reason, format string, a ...any) error {
	return &reject{reason, fmt.Sprintf(format, a...)}
}

// Reasons for a rejected row, as the ledger counts them.
const (
	malformedJSON = "malformed JSON"
	invalidUTF8   = "invalid UTF-8"
	missingField  = "missing field"
	wrongType     = "wrong type"
	emptyAnswer   = "empty answer"
	templateError = "template error"
	noTarget      = "nothing to train on"
	toolCallsLost = "tool calls without a template for them"
	tooLong       = "over max-length"
	cutToNothing  = "nothing trained before max-length"
	emptyPiece    = "piece with nothing to train on"
	duplicate     = "duplicate"
	nearDuplicate = "near duplicate"
)

// wanted are the reasons that the user asked for, which say nothing about the
// input's quality.
var wanted = map[string]bool{duplicate: true, nearDuplicate: true, emptyPiece: true}

// encode makes the row of a canonical record.
func (l *Language) encode(data *template.Dict, rec record) (row *parquet.TokensRow, err error) {
	if _, ok := data.Get("id"); !ok && rec.key != "" {
		data.Set("id", rec.key)
	}
	row = &parquet.TokensRow{Source: rec.source, Row: rec.row}
	if row.ID, err = rowID(data, rec.source, rec.row); err != nil {
		return nil, err
	}
	row.Weight = weightOf(data)
	return row, l.fill(data, row)
}

// rowID is the record's own id, else its source and number.
func rowID(record *template.Dict, source string, n int64) (string, error) {
	v, _ := record.Get("id")
	switch id := v.(type) {
	case nil:
		return source + ":" + strconv.FormatInt(n, 10), nil
	case string:
		return id, nil
	case json.Number:
		return id.String(), nil
	}
	return "", rejectf(wrongType, "id is neither a text nor a number")
}

// fill makes the row of a canonical record.
func (l *Language) fill(record *template.Dict, row *parquet.TokensRow) error {
	if messages, ok := record.Get("messages"); ok {
		return l.fillChat(messages, record, row)
	}
	if _, ok := record.Get("prompt"); ok {
		return l.fillPair(record, row)
	}
	if _, ok := record.Get("text"); ok {
		text, err := textField(record, "text")
		if err != nil {
			return err
		}
		l.encodePlain(row, text, 0)
		return nil
	}
	return l.fillTokens(record.Values["input_ids"], record, row)
}

func textField(record *template.Dict, field string) (string, error) {
	v, ok := record.Get(field)
	if !ok || v == nil {
		return "", rejectf(missingField, "no %s", field)
	}
	s, ok := v.(string)
	if !ok {
		return "", rejectf(wrongType, "%s is no text", field)
	}
	if s == "" {
		return "", rejectf(emptyAnswer, "%s is empty", field)
	}
	return s, nil
}

// fillPair reads prompt and completion: a conversation of two turns, or, for a
// model without a template, one plain text.
func (l *Language) fillPair(record *template.Dict, row *parquet.TokensRow) error {
	prompt, err := textField(record, "prompt")
	if err != nil {
		return err
	}
	completion, err := textField(record, "completion")
	if err != nil {
		return err
	}
	if l.chat != nil {
		return l.fillMessages([]any{message("user", prompt), message("assistant", completion)}, nil, row)
	}
	l.encodePlain(row, prompt+completion, len(prompt))
	return nil
}

func (l *Language) fillChat(v any, record *template.Dict, row *parquet.TokensRow) error {
	messages, ok := v.([]any)
	if !ok {
		return rejectf(wrongType, "messages is no list")
	}
	answers := 0
	for i, v := range messages {
		m, ok := v.(*template.Dict)
		if !ok {
			return rejectf(wrongType, "messages[%d] is no object", i)
		}
		role, ok := m.Values["role"].(string)
		if !ok {
			return rejectf(missingField, "messages[%d].role", i)
		}
		if role != "assistant" {
			continue
		}
		answers++
		if m.Values["content"] == nil && m.Values["tool_calls"] == nil {
			return rejectf(emptyAnswer, "messages[%d] has neither content nor tool_calls", i)
		}
		if s, ok := m.Values["content"].(string); ok && s == "" && m.Values["tool_calls"] == nil {
			return rejectf(emptyAnswer, "messages[%d].content", i)
		}
	}
	if answers == 0 {
		return rejectf(emptyAnswer, "messages has no assistant message")
	}
	return l.fillMessages(messages, record.Values["tools"], row)
}

func (l *Language) fillMessages(messages []any, tools any, row *parquet.TokensRow) error {
	l = l.forTools(tools)
	if l.chat == nil {
		return rejectf(templateError, "the model has no chat template; give one with --template")
	}
	return l.fillConversation(messages, tools, row)
}

// encodeText encodes text once; none of it is trained yet.
func (l *Language) encodeText(row *parquet.TokensRow, text string) {
	e := l.Tokenizer.Encode(text)
	row.Text, row.InputIDs, row.TokenStart, row.TokenEnd = text, e.IDs, e.Starts, e.Ends
	row.Labels = make([]int32, len(e.IDs))
	for i := range row.Labels {
		row.Labels[i] = ignored
	}
}

// tokensIn are the tokens that begin in a byte range.
func tokensIn(row *parquet.TokensRow, r byteRange) (lo, hi int) {
	lo = sort.Search(len(row.TokenStart), func(i int) bool { return int(row.TokenStart[i]) >= r.lo })
	hi = sort.Search(len(row.TokenStart), func(i int) bool { return int(row.TokenStart[i]) >= r.hi })
	return lo, max(lo, hi)
}

// fillTokens takes rows that are tokens already; without labels all are trained.
func (l *Language) fillTokens(v any, record *template.Dict, row *parquet.TokensRow) error {
	var err error
	if row.InputIDs, err = int32s("input_ids", v); err != nil {
		return err
	}
	size := int32(l.Tokenizer.VocabSize())
	for i, id := range row.InputIDs {
		if id < 0 || id >= size {
			return rejectf(wrongType, "input_ids[%d] is %d, the vocabulary has %d tokens", i, id, size)
		}
	}
	row.Labels = append([]int32(nil), row.InputIDs...)
	if v, ok := record.Get("labels"); ok {
		if row.Labels, err = int32s("labels", v); err != nil {
			return err
		}
		if len(row.Labels) != len(row.InputIDs) {
			return rejectf(wrongType, "%d labels for %d input_ids", len(row.Labels), len(row.InputIDs))
		}
		for i, y := range row.Labels {
			if y != ignored && y != row.InputIDs[i] {
				return rejectf(wrongType, "labels[%d] is %d, neither -100 nor input_ids[%d] (labels are not shifted)", i, y, i)
			}
		}
	}
	at := int32(0)
	for _, id := range row.InputIDs {
		row.TokenStart = append(row.TokenStart, at)
		at += int32(len(l.Tokenizer.TokenBytes(id)))
		row.TokenEnd = append(row.TokenEnd, at)
	}
	row.Text = l.Tokenizer.Decode(row.InputIDs)
	return nil
}

func int32s(field string, v any) ([]int32, error) {
	list, ok := v.([]any)
	if !ok {
		return nil, rejectf(wrongType, "%s is no list", field)
	}
	out := make([]int32, len(list))
	for i, v := range list {
		s, ok := v.(json.Number)
		if !ok {
			return nil, rejectf(wrongType, "%s[%d] is no number", field, i)
		}
		n, err := strconv.ParseInt(s.String(), 10, 32)
		if err != nil {
			return nil, rejectf(wrongType, "%s[%d]: %v", field, i, errors.Unwrap(err))
		}
		out[i] = int32(n)
	}
	return out, nil
}

func truncate(row *parquet.TokensRow, n int) {
	row.InputIDs, row.Labels = row.InputIDs[:n], row.Labels[:n]
	row.TokenStart, row.TokenEnd = row.TokenStart[:n], row.TokenEnd[:n]
	spans := row.Spans[:0]
	for _, s := range row.Spans {
		if s.Start < int32(n) {
			s.End = min(s.End, int32(n))
			spans = append(spans, s)
		}
	}
	row.Spans = spans
}

// targets counts the trained targets: the first token has nothing to be
// predicted from.
func targets(row *parquet.TokensRow) int64 {
	var n int64
	for i, y := range row.Labels {
		if i > 0 && y != ignored {
			n++
		}
	}
	return n
}
