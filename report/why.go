package report

import (
	"cmp"
	"math"
	"slices"
)

// Why is one reason for conflicts; a conflict has one.
type Why struct {
	Why       string    `json:"why"`
	Conflicts int64     `json:"conflicts"`
	Share     Num       `json:"share"` // of the conflicts
	Loss      Num       `json:"loss"`  // sum of -logprob
	Examples  []Example `json:"examples"`
}

// Example is one conflict, or one that stands in several rows.
type Example struct {
	Row          int64  `json:"row"` // the first
	ID           string `json:"id"`
	Pos          int32  `json:"pos"`
	Rows         int64  `json:"rows"`
	Before       string `json:"before"` // the 8 tokens before it
	GivenText    string `json:"given_text"`
	ExpectedText string `json:"expected_text"`
	Prob         Num    `json:"prob"`
	ExpectedProb Num    `json:"expected_prob"`
}

// Examples to show of a reason, and to keep of content, where some turn out to be repeated.
const (
	shownExamples = 3
	keptExamples  = 64
)

type example struct {
	row                      int64
	id                       string
	pos, given, expected     int32
	logprob, expectedLogProb float32
	before                   []int32
	key                      uint64
}

func (a example) compare(b example) int {
	return cmp.Or(cmp.Compare(a.logprob, b.logprob), cmp.Compare(a.row, b.row), cmp.Compare(a.pos, b.pos))
}

func (e example) describe(v *vocabulary, rows int64) Example {
	return Example{Row: e.row, ID: Visible([]byte(e.id)), Pos: e.pos, Rows: rows, Before: v.text(e.before), GivenText: v.token(e.given), ExpectedText: v.token(e.expected),
		Prob: Num(math.Exp(float64(e.logprob))), ExpectedProb: Num(math.Exp(float64(e.expectedLogProb)))}
}

// whySum counts a reason, with its conflicts of the largest loss.
type whySum struct {
	n        int64
	loss     float64
	examples []example
}

func (w *whySum) add(e example, why int) {
	w.n++
	w.loss -= float64(e.logprob)
	w.keep(e, why)
}

func (w *whySum) keep(e example, why int) {
	limit := shownExamples
	if why == whyContent {
		limit = keptExamples
	}
	if len(w.examples) == limit && e.compare(w.examples[limit-1]) >= 0 {
		return
	}
	at, _ := slices.BinarySearchFunc(w.examples, e, example.compare)
	e.before = slices.Clone(e.before) // the row itself need not stay
	w.examples = slices.Insert(w.examples, at, e)
	w.examples = w.examples[:min(limit, len(w.examples))]
}

func (w *whySum) merge(o *whySum, why int) {
	w.n += o.n
	w.loss += o.loss
	for _, e := range o.examples {
		w.keep(e, why)
	}
}

// repeat is a content conflict by its context.
type repeat struct {
	rows, last int64 // rows it stands in, the last of them
	n          int64
	loss       float64
	first      example
}

func (r *repeat) merge(o *repeat) {
	r.rows += o.rows
	r.n += o.n
	r.loss += o.loss
}

// reasons moves what is repeated from content and describes all; nil without a
// vocabulary.
func (t *tally) reasons() []Why {
	list := []Why{}
	if t.vocab.t == nil {
		return list
	}
	var repeated []*repeat
	isRepeated := map[uint64]bool{}
	for key, r := range t.repeats.entries {
		if r.rows >= repeatedRows {
			repeated = append(repeated, r)
			isRepeated[key] = true
		}
	}
	slices.SortFunc(repeated, func(a, b *repeat) int {
		return cmp.Or(-cmp.Compare(a.rows, b.rows), a.first.compare(b.first))
	})
	for i, name := range whyNames {
		n, loss := t.why[i].n, t.why[i].loss
		examples := []Example{}
		if i == whyRepeated {
			for _, r := range repeated {
				n += r.n
				loss += r.loss
				if len(examples) < shownExamples {
					examples = append(examples, r.first.describe(t.vocab, r.rows))
				}
			}
		}
		for _, e := range t.why[i].examples {
			if len(examples) < shownExamples && !isRepeated[e.key] {
				examples = append(examples, e.describe(t.vocab, 1))
			}
		}
		if i == whyContent {
			for _, r := range repeated {
				n -= r.n
				loss -= r.loss
			}
		}
		if i == whyUndecided && n == 0 {
			continue
		}
		if n == 0 {
			loss = 0 // what was taken away leaves rounding
		}
		list = append(list, Why{name, n, Num(float64(n) / float64(t.all.conflicts)), Num(loss), examples})
	}
	return list
}
