package eval

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"eaft/internal/cli"
	"eaft/model"
)

// Match is the task of generating an answer whose number is right, as
// lm-evaluation-harness's gsm8k: greedy, the answer behind "####" (strict) or
// the last number (flexible).
type Match struct {
	Fields Fields
	Prompt string // "": the question, or PromptTexts without a chat template
	Limit  int    // of records; 0: all
	MaxNew int    // tokens
	Slots  int    // rows at a time
	Stop   []int32
	Until  []string // texts that end an answer and do not belong to it
}

// MatchResult is what a model answered.
type MatchResult struct {
	Questions int    `json:"questions"`
	Strict    Share  `json:"strict"`   // the number behind ####
	Flexible  Share  `json:"flexible"` // the last number
	Unended   int    `json:"unended"`  // answers that were cut at the most new tokens
	Prompt    string `json:"prompt"`
	Fields    Fields `json:"fields"`
	Tokens    int64  `json:"tokens"` // generated
}

// Matched is a line of the examples' file.
type Matched struct {
	ID       string `json:"id"`
	Answer   string `json:"answer"` // the model's
	Gold     string `json:"gold"`
	Strict   string `json:"strict"` // what was found in the answer
	Flexible string `json:"flexible"`
	IsStrict bool   `json:"strict_match"`
	IsFlex   bool   `json:"flexible_match"`
	Tokens   int    `json:"tokens"`
	Ended    bool   `json:"ended"` // by itself
	prompt   []int32
}

// DefaultUntil ends the answers of a model that is not asked through a chat
// template and would go on with a question of its own.
var DefaultUntil = []string{"Question:", "</s>", "<|im_end|>"}

// Run asks all questions of src. one, if not nil, gets each in order, as soon as
// those before it are answered; progress the number of answers and new tokens.
func (t *Match) Run(ctx context.Context, m *model.Model, l *Language, src Source, one func(Matched) error, progress func(done, of int, tokens int64)) (*MatchResult, error) {
	f := t.Fields
	records, err := src.records(&f, t.Limit)
	if err != nil {
		return nil, err
	}
	res := &MatchResult{Questions: len(records), Prompt: t.prompt(l), Fields: f}
	answers := make([]*Matched, len(records))
	prompts := make([][]int32, len(records))
	for i := range records {
		if answers[i], err = t.question(&records[i], &f, res.Prompt, l, m.Spec()); err != nil {
			return nil, err
		}
		prompts[i] = answers[i].prompt
	}
	strict, flexible, done, next := 0, 0, 0, 0
	finished := make([]bool, len(records))
	err = m.Generate(ctx, prompts, model.Generation{MaxNew: t.MaxNew, Slots: t.Slots, Stop: t.stop(l)}, func(i int, c model.Completion) error {
		a := answers[i]
		t.read(a, c, l)
		res.Tokens += int64(a.Tokens)
		if a.IsStrict {
			strict++
		}
		if a.IsFlex {
			flexible++
		}
		if !a.Ended {
			res.Unended++
		}
		done++
		progress(done, len(records), res.Tokens)
		for finished[i] = true; next < len(finished) && finished[next]; next++ {
			if one != nil {
				if err := one(*answers[next]); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	res.Strict, res.Flexible = shareOf(strict, len(records)), shareOf(flexible, len(records))
	return res, nil
}

func (t *Match) prompt(l *Language) string {
	switch {
	case t.Prompt != "":
		return t.Prompt
	case l.Chat != nil:
		return PromptQuestion
	}
	return PromptTexts
}

func (t *Match) question(r *record, f *Fields, prompt string, l *Language, spec model.Spec) (*Matched, error) {
	gold, err := r.text("answer", f.Answer)
	if err != nil {
		return nil, err
	}
	a := &Matched{ID: r.id, Gold: normal(gold)}
	if a.Gold == "" {
		return nil, cli.Usagef("%s: field %s, the answer, is empty", r.where, f.Answer)
	}
	s, err := fill(prompt, r.value(f, nil))
	if err != nil {
		return nil, err
	}
	if _, a.prompt, err = l.prompt(s); err != nil {
		return nil, fmt.Errorf("%s: %w", r.where, err)
	}
	if limit := spec.MaxPositions; len(a.prompt) == 0 || limit > 0 && len(a.prompt) >= limit {
		return nil, cli.Usagef("%s: the prompt has %d tokens, the model %d positions: leave the record out", r.where, len(a.prompt), limit)
	}
	return a, nil
}

// stop ends a row at an end token, or where the text of its last tokens holds
// one of Until: as many tokens as could hold it.
func (t *Match) stop(l *Language) func(ids []int32) bool {
	longest := 0
	for _, s := range t.Until {
		longest = max(longest, len(s))
	}
	return func(ids []int32) bool {
		if slices.Contains(t.Stop, ids[len(ids)-1]) {
			return true
		}
		if longest == 0 {
			return false
		}
		text := l.Tokenizer.Decode(ids[max(0, len(ids)-longest-1):])
		return slices.ContainsFunc(t.Until, func(s string) bool { return strings.Contains(text, s) })
	}
}

// read takes the answer from a completion.
func (t *Match) read(a *Matched, c model.Completion, l *Language) {
	ids := c.IDs
	a.Tokens, a.Ended = len(ids), c.Stopped
	if n := len(ids) - 1; slices.Contains(t.Stop, ids[n]) {
		ids = ids[:n]
	}
	a.Answer = l.Tokenizer.Detokenize(ids, true)
	for _, s := range t.Until {
		a.Answer, _, _ = strings.Cut(a.Answer, s)
	}
	a.Strict, a.Flexible = Numbers(a.Answer)
	a.IsStrict, a.IsFlex = same(a.Strict, a.Gold), same(a.Flexible, a.Gold)
}

var (
	strictNumber   = regexp.MustCompile(`#### (-?[0-9.,]+)`)
	flexibleNumber = regexp.MustCompile(`-?[$0-9.,]{2,}|-?[0-9]+`)
)

// Numbers are the first number behind "####" in an answer, and the last number
// in it, by the harness's two expressions; "" for none.
func Numbers(answer string) (strict, flexible string) {
	if m := strictNumber.FindStringSubmatch(answer); m != nil {
		strict = m[1]
	}
	if all := flexibleNumber.FindAllString(answer, -1); len(all) > 0 {
		flexible = all[len(all)-1]
	}
	return strict, flexible
}

// normal is a text as the harness compares it in gsm8k: without commas, dollar
// signs, what goes before the last "#### ", and a full stop at the end.
func normal(s string) string {
	s = strings.NewReplacer(",", "", "$", "").Replace(s)
	if i := strings.LastIndex(s, "#### "); i >= 0 {
		s = s[i+len("#### "):]
	}
	return strings.TrimSuffix(strings.ToLower(s), ".")
}

// same compares a number that was found, which no answer has if it is "".
func same(found, gold string) bool { return found != "" && normal(found) == gold }
