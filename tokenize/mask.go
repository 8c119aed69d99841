package tokenize

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"eaft/internal/cli"
	"eaft/parquet"
	"eaft/tokenize/template"
)

// TrainOn says which turns of a conversation are trained; a message's own train or
// weight field overrides it.
type TrainOn string

const (
	Assistant TrainOn = "assistant" // every assistant turn
	Last      TrainOn = "last"      // the last assistant turn
	All       TrainOn = "all"       // every token
)

// Reasons for a rejected row that the mask finds.
const (
	noPrompt   = "nothing but answers"
	lostAnswer = "answer not in the rendering"
)

func (t TrainOn) check() error {
	switch t {
	case Assistant, Last, All, "":
		return nil
	}
	return cli.Usagef("--train-on %q: use assistant, last or all", string(t))
}

// with is l for a run with the options o.
func (l *Language) with(o *Options) *Language {
	out := *l
	out.trainOn = o.TrainOn
	if o.NoSpecialTokens {
		out.bounds = bounds{}
	}
	if l.toolUse != nil {
		out.toolUse = l.toolUse.with(o)
	}
	return &out
}

// forTools is l with the template that rows with these tools have, as transformers
// chooses it (apply_chat_template, "tool_use").
func (l *Language) forTools(tools any) *Language {
	if tools != nil && l.toolUse != nil {
		return l.toolUse
	}
	return l
}

// selected are the messages that are to be trained, and the messages without
// their train and weight fields, which no template is shown.
func selected(messages []any, on TrainOn) (plain []any, train []bool, err error) {
	train = make([]bool, len(messages))
	last := -1
	for i, v := range messages {
		if role(v) == "assistant" {
			last = i
		}
	}
	for i, v := range messages {
		m := v.(*template.Dict)
		train[i] = on == All || role(m) == "assistant" && (on != Last || i == last)
		switch f := m.Values["train"].(type) {
		case nil:
		case bool:
			train[i] = f
		default:
			return nil, nil, rejectf(wrongType, "messages[%d].train is neither true nor false", i)
		}
		// As OpenAI's fine-tuning takes it: 1 is what a turn has anyway.
		switch f := m.Values["weight"]; f {
		case nil, json.Number("1"):
		case json.Number("0"):
			if m.Values["train"] == true {
				return nil, nil, rejectf(wrongType, "messages[%d] has train true and weight 0", i)
			}
			train[i] = false
		default:
			return nil, nil, rejectf(wrongType, "messages[%d].weight is neither 0 nor 1", i)
		}
		plain = append(plain, without(m, "train", "weight"))
	}
	return plain, train, nil
}

// without is d without some of its fields.
func without(d *template.Dict, fields ...string) *template.Dict {
	out := template.NewDict()
	for _, k := range d.Keys {
		if !slices.Contains(fields, k) {
			out.Set(k, d.Values[k])
		}
	}
	return out
}

func role(message any) string {
	s, _ := message.(*template.Dict).Values["role"].(string)
	return s
}

// noText names the first content that is no text, at which templates fail that
// take it for one; "" if all are.
func noText(messages []any) string {
	for i, m := range messages {
		switch v := m.(*template.Dict).Values["content"].(type) {
		case nil, string:
		default:
			return fmt.Sprintf("; messages[%d].content is %s, not a text", i, kindOf(v))
		}
	}
	return ""
}

// fillConversation renders messages once, encodes the text once, and labels by
// position: of a trained assistant's turn all that follows its header, through
// its end of turn; or what the template's own generation blocks hold.
func (l *Language) fillConversation(messages []any, tools any, row *parquet.TokensRow) error {
	messages, train, err := selected(messages, l.trainOn)
	if err != nil {
		return err
	}
	out, err := l.chat.render(messages, tools, false)
	if err != nil {
		return rejectf(templateError, "%v%s", err, noText(messages))
	}
	if out.Unplaced && l.trainOn != All {
		return rejectf(templateError, "a generation block stands in a macro, set or filter, so that its place in the text is not known; put it around where that is printed")
	}
	turns := newTurns(out, len(messages))
	l.encodeText(row, out.Text.S)
	if l.trainOn == All {
		copy(row.Labels, row.InputIDs)
	}
	for i, t := range turns {
		if train[i] && role(messages[i]) == "assistant" {
			if err := answered(messages[i].(*template.Dict), t, i); err != nil {
				return err
			}
		}
		r := t.own
		if role(messages[i]) == "assistant" && !t.region.empty() {
			body, err := l.chat.body(out.Text.S, t, messages, i, tools)
			if err != nil {
				return rejectf(templateError, "%v", err)
			}
			r = byteRange{wordStart(row, body), l.endOfTurn(row, t)}
		}
		lo, hi := tokensIn(row, r)
		row.Spans = append(row.Spans, parquet.Span{Role: role(messages[i]), Turn: int32(i), Start: int32(lo), End: int32(hi)})
		if l.chat.template.Generation && role(messages[i]) == "assistant" && l.trainOn != All {
			continue
		}
		if role(messages[i]) != "assistant" && train[i] {
			r.hi = l.endOfTurn(row, t)
		}
		l.label(row, r, train[i])
	}
	if l.chat.template.Generation && l.trainOn != All {
		l.labelGenerated(row, out, turns, train)
	}
	return whole(row, l.trainOn)
}

// wordStart is lo, or, where a token holds lo and of the header only spaces,
// where that token begins: "Assistant: yes" has the token " yes".
func wordStart(row *parquet.TokensRow, lo int) int {
	if start := tokenStart(row, lo); strings.Trim(row.Text[start:lo], " ") == "" {
		return start
	}
	return lo
}

// tokenStart is where the token begins that holds the byte at.
func tokenStart(row *parquet.TokensRow, at int) int {
	i, _ := tokensIn(row, byteRange{at, at})
	if i == 0 || int(row.TokenEnd[i-1]) <= at {
		return at
	}
	return int(row.TokenStart[i-1])
}

// label trains, or does not, the tokens that begin in r.
func (l *Language) label(row *parquet.TokensRow, r byteRange, train bool) {
	lo, hi := tokensIn(row, r)
	for i := lo; i < hi; i++ {
		row.Labels[i] = ignored
		if train {
			row.Labels[i] = row.InputIDs[i]
		}
	}
}

// labelGenerated trains the generation blocks of the selected messages, as
// transformers does from the token on that holds a block's first character.
func (l *Language) labelGenerated(row *parquet.TokensRow, out template.Output, turns []turn, train []bool) {
	for _, g := range out.Generation {
		if g[0] == g[1] {
			continue
		}
		for i, t := range turns {
			if train[i] && g[0] >= t.region.lo && g[0] < t.region.hi {
				l.label(row, byteRange{tokenStart(row, g[0]), g[1]}, true)
				break
			}
		}
	}
}

// endOfTurn is where a message's turn ends: behind the special token that ends
// a turn, else behind the last special token of the turn, else behind one that
// stands right after it, as the next turn's header where that is the signal to
// stop, else behind what the template writes last.
func (l *Language) endOfTurn(row *parquet.TokensRow, t turn) int {
	after, last := max(t.own.hi, t.region.lo), -1
	lo, hi := tokensIn(row, byteRange{after, t.region.hi})
	for i := lo; i < hi; i++ {
		id := row.InputIDs[i]
		if id == l.chat.end {
			return int(row.TokenEnd[i])
		}
		if l.Tokenizer.IsSpecial(id) && (t.exact || last < 0) {
			last = int(row.TokenEnd[i])
		}
	}
	switch {
	case last >= 0:
		return last
	case strings.TrimSpace(row.Text[after:t.region.hi]) == "" && hi < len(row.InputIDs) && int(row.TokenStart[hi]) == t.region.hi && l.Tokenizer.IsSpecial(row.InputIDs[hi]):
		return int(row.TokenEnd[hi])
	}
	return t.region.hi
}

// answered rejects an assistant's message that its rendering has lost: its tool
// calls, or all of it.
func answered(m *template.Dict, t turn, i int) error {
	if calls, ok := m.Values["tool_calls"].([]any); ok && len(calls) > 0 && !t.calls {
		return rejectf(lostAnswer, "messages[%d].tool_calls are not in the rendering: the template writes none", i)
	}
	if s, ok := m.Values["content"].(string); ok && strings.TrimSpace(s) != "" && t.own.empty() {
		return rejectf(lostAnswer, "messages[%d].content is not in the rendering", i)
	}
	if t.region.empty() {
		return rejectf(lostAnswer, "messages[%d] is not in the rendering", i)
	}
	return nil
}

// whole rejects a conversation of which every token would be trained, though
// not all were asked for.
func whole(row *parquet.TokensRow, on TrainOn) error {
	if on == All {
		return nil
	}
	for _, y := range row.Labels {
		if y == ignored {
			return nil
		}
	}
	return rejectf(noPrompt, "every token is an assistant's: there is no prompt; --train-on all trains such rows")
}
