package report

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"eaft/internal/cli"
	"eaft/parquet"
)

// OneRow is a row token by token.
type OneRow struct {
	Row    int64      `json:"row"`
	ID     string     `json:"id"`
	Source string     `json:"source,omitempty"`
	Cuts   Cuts       `json:"cuts"`
	Tokens []RowToken `json:"tokens"`
}

// RowToken is one token; what follows Token is null where it was not scored.
type RowToken struct {
	Pos          int    `json:"pos"`
	Token        int32  `json:"token"`
	Text         string `json:"text"`
	Trained      bool   `json:"trained"`
	Prob         *Num32 `json:"prob"`
	H            *Num32 `json:"h"`
	Mass         *Num32 `json:"topk_mass"`
	Rank         *int32 `json:"rank"`
	Expected     *int32 `json:"expected"`
	ExpectedText string `json:"expected_text,omitempty"`
	ExpectedProb Num    `json:"expected_prob"`
	Conflict     bool   `json:"conflict"`

	Likeliest []Likely `json:"likeliest,omitempty"` // descending, where the scores store them
}

// Likely is a token that the model might have said.
type Likely struct {
	Token int32  `json:"token"`
	Text  string `json:"text"`
	Prob  Num    `json:"prob"`
}

var errFound = errors.New("found")

// FindRow looks for the row with an id, and if there is none takes that for the row's
// number in the dataset, from 0. The cuts are those of the whole dataset.
func FindRow(ctx context.Context, o Options, id string) (*OneRow, error) {
	p, err := open(o)
	if err != nil {
		return nil, err
	}
	vocab, err := p.vocabulary()
	if err != nil {
		return nil, err
	}
	defer p.begin(o, "inspect", 1)()
	k := p.scores.Manifest.K
	number, notNumber := strconv.ParseInt(id, 10, 64)
	var found *OneRow
	var scores *parquet.ScoresRow
	var tokens *parquet.TokensRow
	rows, first := int64(0), ""
	err = p.sequential(ctx, func(i int64, s *parquet.ScoresRow, t *parquet.TokensRow, _ []int) error {
		if rows++; i == 0 {
			first = s.ID
		}
		if s.ID != id && (notNumber != nil || i != number) {
			return nil
		}
		found, scores, tokens = &OneRow{Row: i, ID: Visible([]byte(s.ID)), Tokens: []RowToken{}}, s, t
		if s.ID == id {
			return errFound
		}
		return nil
	})
	if err != nil && !errors.Is(err, errFound) {
		return nil, err
	}
	if rows == 0 {
		return nil, cli.Usagef("%s: there are no rows in it", o.Scores)
	}
	if found == nil {
		return nil, cli.Usagef("%s: no row has the id %q, nor is it a number below %d; ids are such as %q", o.Scores, id, rows, first)
	}
	cuts, err := findCuts(ctx, p, o, k)
	if err != nil {
		return nil, err
	}
	found.Cuts = o.cuts(cuts)
	scored := map[int32]int{}
	last := int32(-1)
	for j, pos := range scores.Pos {
		scored[pos] = j
		last = pos
	}
	n := int(last) + 1
	if tokens != nil {
		n = len(tokens.InputIDs)
		found.Source = Visible([]byte(tokens.Source))
	}
	for pos := range n {
		j, ok := scored[int32(pos)]
		r := RowToken{Pos: pos, ExpectedProb: Num(nan)}
		switch {
		case tokens != nil:
			r.Token, r.Trained = tokens.InputIDs[pos], tokens.Labels[pos] != parquet.Ignore
		case ok:
			r.Token, r.Trained = scores.Token[j], true
		default:
			continue // without tokens nothing is known of it
		}
		r.Text = vocab.token(r.Token)
		if ok {
			prob, h, mass := point(scores, j, o.Estimator, k)
			p, e, stored := Num32(prob), Num32(h), Num32(scores.TopKMass[j])
			r.Prob, r.H, r.Mass, r.Rank, r.Expected = &p, &e, &stored, &scores.Rank[j], &scores.Top1ID[j]
			r.ExpectedText, r.ExpectedProb = vocab.token(scores.Top1ID[j]), probability(scores.Top1LogProb[j])
			ids, logProbs := scores.TopK(j)
			for n, id := range ids {
				r.Likeliest = append(r.Likeliest, Likely{id, vocab.token(id), probability(logProbs[n])})
			}
			r.Conflict = r.Trained && cuts.Conflict(float64(prob), float64(h), mass)
		}
		found.Tokens = append(found.Tokens, r)
	}
	return found, nil
}

// sequential visits all rows in order until one returns an error.
func (p *pass) sequential(ctx context.Context, f visit) error {
	first := int64(0)
	for i := range p.scores.Shards {
		if err := p.shard(ctx, i, first, false, f); err != nil {
			return err
		}
		p.count(p.scores.Manifest.Shards[i].Rows)
		first += p.scores.Manifest.Shards[i].Rows
	}
	return nil
}

// Text writes a line for each token.
func (r *OneRow) Text(w io.Writer, colour bool) error {
	t := &text{colour: colour}
	head := fmt.Sprintf("row %d, id %s", r.Row, r.ID)
	if r.Source != "" {
		head += ", " + r.Source
	}
	t.f("%s\n\n", t.paint(bold, head))
	t.f("  %6s  %s %9s %9s %7s %6s   %s\n", "pos", pad("token", 24), "p", "h", "mass", "rank", "expected")
	for _, k := range r.Tokens {
		name := pad(k.Text, 24)
		if k.Prob == nil {
			t.f("  %6d  %s\n", k.Pos, t.paint(dim, strings.TrimRight(name, " ")))
			continue
		}
		mark := " "
		if k.Conflict {
			mark, name = t.paint(red, "!"), t.paint(red, name)
		}
		expected := "" // the token itself
		if *k.Expected != k.Token {
			expected = t.paint(green, clip(k.ExpectedText, 24)) + " " + percent(float64(k.ExpectedProb))
		}
		t.f("%s\n", strings.TrimRight(fmt.Sprintf("%s %6d  %s %9s %9.4f %7.4f %6d   %s", mark, k.Pos, name, percent(float64(*k.Prob)), *k.H, *k.Mass, *k.Rank, expected), " "))
		if len(k.Likeliest) > 0 {
			var list []string
			for _, l := range k.Likeliest {
				list = append(list, clip(l.Text, 24)+" "+percent(float64(l.Prob)))
			}
			t.f("  %6s  %s\n", "", t.paint(dim, "likeliest: "+strings.Join(list, "  ")))
		}
	}
	t.f("\n! is a confident conflict: p <= %s, h <= %s, mass >= %s\n", num(r.Cuts.Prob), num(r.Cuts.H), num(r.Cuts.MinMass))
	_, err := w.Write(t.b.Bytes())
	return err
}
