package eval

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"eaft/internal/cli"
	"eaft/model"
)

// Choice is the task of choosing the likeliest of several answers, as
// lm-evaluation-harness's output type multiple_choice.
type Choice struct {
	Fields Fields
	Prompt string // "": by what the records have
	// Texts: the answers are the choices' texts instead of their letters.
	Texts bool
	// Labels are the choices of every record, where records have none.
	Labels []string
	Limit  int // of records; 0: all
}

// ChoiceResult is what a model chose. Accuracy is the share of questions whose
// right answer has the largest log-probability, summed over its tokens;
// AccuracyNorm that of the largest log-probability for each of its characters.
type ChoiceResult struct {
	Questions    int       `json:"questions"`
	Accuracy     Share     `json:"acc"`
	AccuracyNorm Share     `json:"acc_norm"`
	Truncated    int       `json:"truncated"` // prompts of which only the end fits the model
	Fields       Fields    `json:"fields"`
	Prompt       string    `json:"prompt"`
	Subjects     []Subject `json:"subjects,omitempty"`
}

// Share is a share of n, with the standard error of a mean, sqrt(p(1-p)/(n-1));
// nil for n = 1.
type Share struct {
	Value  float64  `json:"value"`
	StdErr *float64 `json:"stderr"`
}

func shareOf(hits, n int) Share {
	s := Share{Value: float64(hits) / float64(n)}
	if n > 1 {
		e := math.Sqrt(s.Value * (1 - s.Value) / float64(n-1))
		s.StdErr = &e
	}
	return s
}

func (s Share) String() string {
	if s.StdErr == nil {
		return fmt.Sprintf("%.4f", s.Value)
	}
	return fmt.Sprintf("%.4f +- %.4f", s.Value, *s.StdErr)
}

// Subject is the part of the questions with one subject.
type Subject struct {
	Name         string `json:"name"`
	Questions    int    `json:"questions"`
	Accuracy     Share  `json:"acc"`
	AccuracyNorm Share  `json:"acc_norm"`
}

// Chosen is a line of the examples' file.
type Chosen struct {
	ID         string    `json:"id"`
	Subject    string    `json:"subject,omitempty"`
	Gold       int       `json:"gold"`
	Choice     int       `json:"choice"`      // of the largest log-probability
	ChoiceNorm int       `json:"choice_norm"` // for each character
	LogProbs   []float64 `json:"logprobs"`    // of each choice
}

// question is a record as tokens.
type question struct {
	Chosen
	prompt  []int32
	answers [][]int32
	lengths []float64 // of the answers in characters
}

// Run asks all questions of src. one, if not nil, gets each as it is answered, in
// order; progress the number of answered ones.
func (c *Choice) Run(ctx context.Context, m *model.Model, l *Language, src Source, one func(Chosen) error, progress func(done, of int)) (*ChoiceResult, error) {
	f := c.Fields
	records, err := src.records(&f, c.Limit)
	if err != nil {
		return nil, err
	}
	res := &ChoiceResult{Questions: len(records), Prompt: c.prompt(&f), Fields: f}
	questions := make([]question, len(records))
	for i := range records {
		if questions[i], err = c.question(&records[i], &f, res.Prompt, l, m.Spec(), res); err != nil {
			return nil, err
		}
	}
	for lo := 0; lo < len(questions); {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		hi, tokens := lo, 0
		for hi < len(questions) && (hi == lo || tokens+questions[hi].tokens() <= batchTokens) {
			tokens += questions[hi].tokens()
			hi++
		}
		if err := answer(m, questions[lo:hi]); err != nil {
			return nil, err
		}
		for _, q := range questions[lo:hi] {
			if one != nil {
				if err := one(q.Chosen); err != nil {
					return nil, err
				}
			}
		}
		progress(hi, len(questions))
		lo = hi
	}
	res.count(questions)
	return res, nil
}

// prompt is the one for what the records have.
func (c *Choice) prompt(f *Fields) string {
	switch {
	case c.Prompt != "":
		return c.Prompt
	case f.Context != "":
		return PromptContext
	case c.Texts || c.Labels != nil:
		return PromptTexts
	case f.Subject != "":
		return PromptSubject
	}
	return PromptLetters
}

func (c *Choice) question(r *record, f *Fields, prompt string, l *Language, spec model.Spec, res *ChoiceResult) (question, error) {
	q := question{Chosen: Chosen{ID: r.id}}
	texts, names := c.Labels, []string(nil)
	var err error
	if texts == nil {
		if texts, names, err = r.choices(f.Choices); err != nil {
			return q, err
		}
	}
	if q.Gold, err = r.gold(f.Answer, texts, names); err != nil {
		return q, err
	}
	if f.Subject != "" {
		if q.Subject, err = r.text("subject", f.Subject); err != nil {
			return q, err
		}
	}
	s, err := fill(prompt, r.value(f, texts))
	if err != nil {
		return q, err
	}
	text, ids, err := l.prompt(s)
	if err != nil {
		return q, fmt.Errorf("%s: %w", r.where, err)
	}
	// White space at a prompt's end belongs to the choices, as in the harness: a space
	// would else be a token of its own, that no choice was trained to stand behind.
	special := ids[:len(ids)-len(l.Tokenizer.Encode(text).IDs)]
	encoded := l.Tokenizer.Encode(strings.TrimRightFunc(text, unicode.IsSpace)).IDs
	ids, own := slices.Concat(special, encoded), len(encoded)
	if len(ids) == 0 {
		return q, cli.Usagef("%s: the prompt is empty: nothing would predict a choice's first token", r.where)
	}
	longest := 0
	for i, s := range texts {
		if !c.Texts && c.Labels == nil {
			s = letters[i : i+1]
		}
		// The harness's delimiter: a space, but none behind a chat template.
		answer := s
		if l.Chat == nil {
			answer = " " + s
		}
		whole := l.Tokenizer.Encode(text + answer).IDs
		if len(whole) <= own || s == "" {
			return q, cli.Usagef("%s: choice %d, %q, is no token behind the prompt", r.where, i, s)
		}
		q.answers = append(q.answers, whole[own:])
		q.lengths = append(q.lengths, float64(utf8.RuneCountInString(s)))
		longest = max(longest, len(whole)-own)
	}
	if limit := spec.MaxPositions; limit > 0 && len(ids)+longest > limit {
		if longest >= limit {
			return q, cli.Usagef("%s: a choice has %d tokens, the model %d positions", r.where, longest, limit)
		}
		ids = ids[len(ids)+longest-limit:]
		res.Truncated++
	}
	q.prompt = ids
	for i, id := range slices.Concat(append([][]int32{ids}, q.answers...)...) {
		if int(id) >= spec.Vocab {
			return q, cli.Usagef("%s: token %d is %d, but the model's vocabulary has %d entries: the tokenizer is not this model's", r.where, i, id, spec.Vocab)
		}
	}
	return q, nil
}

func (q *question) tokens() int {
	n := len(q.prompt)
	for _, a := range q.answers {
		n += len(a)
	}
	return n
}

// answer sets the log-probabilities of all choices. The choices share their
// prompt, which is computed once.
func answer(m *model.Model, questions []question) error {
	b := model.Batch{CuSeqlens: []int32{0}}
	var targets []int32
	add := func(ids []int32, parent int) {
		b.IDs = append(b.IDs, ids...)
		b.CuSeqlens = append(b.CuSeqlens, int32(len(b.IDs)))
		b.Parent = append(b.Parent, int32(parent))
	}
	for i := range questions {
		q := &questions[i]
		p := len(b.Parent)
		add(q.prompt, -1)
		for _, a := range q.answers {
			for j := range a {
				targets = append(targets, int32(len(b.IDs)+j))
			}
			add(a, p)
		}
	}
	st, err := m.Score(b, targets, 1)
	if err != nil {
		return err
	}
	if err := finite(st.LogProb); err != nil {
		return err
	}
	lp := st.LogProb
	for i := range questions {
		q := &questions[i]
		for _, a := range q.answers {
			sum := 0.0
			for _, x := range lp[:len(a)] {
				sum += float64(x)
			}
			q.LogProbs, lp = append(q.LogProbs, sum), lp[len(a):]
		}
		for j, x := range q.LogProbs {
			if x > q.LogProbs[q.Choice] {
				q.Choice = j
			}
			if x/q.lengths[j] > q.LogProbs[q.ChoiceNorm]/q.lengths[q.ChoiceNorm] {
				q.ChoiceNorm = j
			}
		}
	}
	return nil
}

// count sums up, over all and by subject in the order of the names.
func (r *ChoiceResult) count(questions []question) {
	type hits struct{ n, sum, norm int }
	by := map[string]*hits{}
	all := &hits{}
	var names []string
	for _, q := range questions {
		if by[q.Subject] == nil {
			by[q.Subject] = &hits{}
			names = append(names, q.Subject)
		}
		for _, h := range []*hits{all, by[q.Subject]} {
			h.n++
			if q.Choice == q.Gold {
				h.sum++
			}
			if q.ChoiceNorm == q.Gold {
				h.norm++
			}
		}
	}
	r.Accuracy, r.AccuracyNorm = shareOf(all.sum, all.n), shareOf(all.norm, all.n)
	slices.Sort(names)
	for _, name := range names {
		if h := by[name]; r.Fields.Subject != "" {
			r.Subjects = append(r.Subjects, Subject{name, h.n, shareOf(h.sum, h.n), shareOf(h.norm, h.n)})
		}
	}
}
