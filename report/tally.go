package report

import (
	"math"
	"slices"
	"strconv"

	"eaft/eaft"
	"eaft/parquet"
)

// Bounds of what a report keeps apart, whatever the corpus brings.
const (
	maxSources  = 4096
	maxRoles    = 64
	maxTurns    = 16 // later turns count together
	maxPairs    = 1 << 17
	maxRepeats  = 1 << 16
	contextSize = 8 // tokens before a conflict that make it the same as another
)

// tally is what one look at targets gathers once the cuts are known. Tallies of
// shards merge, in order, into the dataset's.
type tally struct {
	o     *Options
	k     int
	cuts  eaft.Cuts
	vocab *vocabulary

	logprob, h, mass eaft.Sum
	conflictLoss     float64
	corr             eaft.Correlation
	probs, hs        eaft.Sketch
	grid             grid
	all              group
	by               [dimensions]*dimension
	classes          [len(classNames)]*group
	positions        [len(positionNames)]*group
	conflictRows     int64
	gates            []gateSum
	gradient         float64
	whatIf           []whatIf
	sure, flat       int64
	spare, markup    float64 // sum of 1-h, and of the markup tokens' part
	why              [len(whyNames)]whySum
	repeats          *frequent[uint64, repeat]
	pairs            *frequent[[2]int32, pairSum]
	worst, shown     worstRows

	row rowGroups
}

// Dimensions of the groups.
const (
	bySource = iota
	byRole
	byTurn
	byPosition
	byClass
	dimensions
)

// positionNames are places in a run of trained targets, from 1.
var positionNames = [...]string{"1", "2-4", "5-16", "17-64", "65-256", "257-"}

func position(place int) int {
	for i, last := range [...]int{1, 4, 16, 64, 256} {
		if place <= last {
			return i
		}
	}
	return len(positionNames) - 1
}

func newTally(o *Options, k int, cuts eaft.Cuts, vocab *vocabulary) *tally {
	t := &tally{o: o, k: k, cuts: cuts, vocab: vocab, grid: newGrid(cuts), gates: newGateSums(), whatIf: newWhatIf(o, cuts),
		repeats: newFrequent[uint64](maxRepeats, func(r *repeat) int64 { return r.rows }),
		pairs:   newFrequent[[2]int32](maxPairs, func(p *pairSum) int64 { return p.n }),
		worst:   worstRows{n: o.Worst}, shown: worstRows{n: o.Shown}}
	for i, limit := range [dimensions]int{maxSources, maxRoles, maxTurns + 1, len(positionNames), len(classNames)} {
		t.by[i] = newDimension(limit)
	}
	return t
}

// visit is one row.
func (t *tally) visit(i int64, s *parquet.ScoresRow, tok *parquet.TokensRow, counted []int) error {
	if tok != nil {
		tok.Text, tok.TokenStart, tok.TokenEnd = "", nil, nil // not looked at, and candidates are kept
	}
	c := candidate{row: i, targets: len(counted), scores: s, tokens: tok}
	t.row.touch(&t.all)
	var source *group
	if tok != nil {
		source = t.by[bySource].at(tok.Source)
		t.row.touch(source)
	}
	spans := spanGroups{t: t, row: tok, at: -1}
	place := 0
	for n, j := range counted {
		if n > 0 && s.Pos[j] == s.Pos[counted[n-1]]+1 {
			place++
		} else {
			place = 1
		}
		prob, h, mass := point(s, j, t.o.Estimator, t.k)
		conflict := t.cuts.Conflict(float64(prob), float64(h), mass)
		given, class := t.class(s, tok, j)
		t.target(s, j, prob, h, mass, conflict, class)
		lp := float64(s.LogProb[j])
		t.row.add(&t.all, conflict, float64(h), lp)
		if source != nil {
			t.row.add(source, conflict, float64(h), lp)
		}
		t.row.add(cached(&t.positions[position(place)], t.by[byPosition], positionNames[position(place)]), conflict, float64(h), lp)
		if t.vocab.t != nil {
			t.row.add(cached(&t.classes[class], t.by[byClass], classNames[class]), conflict, float64(h), lp)
		}
		outside := spans.add(s.Pos[j], conflict, float64(h), lp)
		if conflict {
			c.conflicts = append(c.conflicts, j)
			c.loss -= lp
			p, _ := t.pairs.at([2]int32{s.Top1ID[j], s.Token[j]})
			p.add(s, j)
			t.explain(i, s, tok, j, given, outside)
		}
	}
	t.row.end(i)
	t.conflictLoss += c.loss
	if len(c.conflicts) > 0 {
		t.conflictRows++
		t.worst.offer(c)
		t.shown.offer(c)
	}
	return nil
}

// target adds what does not depend on the row.
func (t *tally) target(s *parquet.ScoresRow, j int, prob, h float32, mass float64, conflict bool, class int) {
	lp, x := float64(s.LogProb[j]), float64(h)
	t.logprob.Add(s.LogProb[j])
	t.h.Add(h)
	t.mass.Add(s.TopKMass[j])
	t.corr.Add(float64(s.TopKEntropy[j]), float64(s.Entropy[j]))
	t.probs.Add(prob)
	t.hs.Add(h)
	t.grid.add(prob, h, mass >= t.cuts.MinMass)
	gradient := 1 - math.Exp(lp)
	t.gradient += gradient
	for i := range t.gates {
		t.gates[i].add(x, conflict, gradient, -lp)
	}
	for i := range t.whatIf {
		t.whatIf[i].add(float64(prob), x, mass, -lp)
	}
	if h < sureH {
		t.sure++
	}
	if mass < lowMass {
		t.flat++
	}
	t.spare += 1 - x
	if class == classMarkup {
		t.markup += 1 - x
	}
}

// class looks a target's token and the one before it up. Without tokens the one
// before is known only if it was scored too.
func (t *tally) class(s *parquet.ScoresRow, tok *parquet.TokensRow, j int) (*token, int) {
	given := t.vocab.info(s.Token[j])
	previous := &token{}
	switch {
	case tok != nil:
		previous = t.vocab.info(tok.InputIDs[s.Pos[j]-1])
	case j > 0 && s.Pos[j-1] == s.Pos[j]-1:
		previous = t.vocab.info(s.Token[j-1])
	}
	return given, given.class(previous)
}

func cached(slot **group, d *dimension, name string) *group {
	if *slot == nil {
		*slot = d.at(name)
	}
	return *slot
}

// spanGroups walks the roles and turns of a row.
type spanGroups struct {
	t          *tally
	row        *parquet.TokensRow
	at         int // span of the last target; -1: none
	role, turn *group
}

// add counts the target at pos, and reports that it stands in no span.
func (g *spanGroups) add(pos int32, conflict bool, h, logprob float64) (outside bool) {
	if g.row == nil || len(g.row.Spans) == 0 {
		return false
	}
	spans := g.row.Spans
	within := func(i int) bool { return spans[i].Start <= pos && pos < spans[i].End }
	if g.role == nil || g.at < 0 || !within(g.at) {
		g.at = -1
		for i := range spans {
			if within(i) {
				g.at = i
				break
			}
		}
		if g.at < 0 {
			g.role, g.turn = g.t.by[byRole].at("(outside)"), nil
		} else {
			turn := "later"
			if n := spans[g.at].Turn; n >= 0 && n < maxTurns {
				turn = strconv.Itoa(int(n))
			}
			g.role, g.turn = g.t.by[byRole].at(spans[g.at].Role), g.t.by[byTurn].at(turn)
		}
	}
	g.t.row.add(g.role, conflict, h, logprob)
	if g.turn != nil {
		g.t.row.add(g.turn, conflict, h, logprob)
	}
	return g.at < 0
}

// merge adds the tally of the next shard.
func (t *tally) merge(o *tally) {
	t.logprob.Merge(&o.logprob)
	t.h.Merge(&o.h)
	t.mass.Merge(&o.mass)
	t.conflictLoss += o.conflictLoss
	t.corr.Merge(&o.corr)
	t.probs.Merge(&o.probs)
	t.hs.Merge(&o.hs)
	t.grid.merge(&o.grid)
	t.all.merge(&o.all)
	for i := range t.by {
		t.by[i].merge(o.by[i])
	}
	t.conflictRows += o.conflictRows
	for i := range t.gates {
		t.gates[i].merge(&o.gates[i])
	}
	t.gradient += o.gradient
	for i := range t.whatIf {
		t.whatIf[i].Conflicts += o.whatIf[i].Conflicts
		t.whatIf[i].loss += o.whatIf[i].loss
	}
	t.sure += o.sure
	t.flat += o.flat
	t.spare += o.spare
	t.markup += o.markup
	for i := range t.why {
		t.why[i].merge(&o.why[i], i)
	}
	mergeFrequent(t.repeats, o.repeats, (*repeat).merge)
	mergeFrequent(t.pairs, o.pairs, (*pairSum).merge)
	for _, c := range o.worst.rows {
		t.worst.offer(c)
	}
	for _, c := range o.shown.rows {
		t.shown.offer(c)
	}
}

// mergeFrequent adds o's entries and then drops what is beyond the capacity, by
// counts alone: the order of the map does not matter.
func mergeFrequent[K comparable, V any](t, o *frequent[K, V], merge func(*V, *V)) {
	t.lost += o.lost
	for k, v := range o.entries {
		if have := t.entries[k]; have != nil {
			merge(have, v)
		} else {
			t.entries[k] = v
		}
	}
	for len(t.entries) > t.capacity {
		t.prune()
	}
}

// median and other quantiles of the report.
var quantilePoints = [...]float64{0.01, 0.05, 0.15, 0.25, 0.5, 0.75, 0.95, 0.99}

func quantiles(s *eaft.Sketch) []Quantile {
	list := []Quantile{}
	for _, q := range quantilePoints {
		list = append(list, Quantile{q, Num(s.Quantile(q))})
	}
	return list
}

// whatIf are other cuts asked for.
type whatIf struct {
	WhatIf
	cuts eaft.Cuts
	loss float64
}

func newWhatIf(o *Options, cuts eaft.Cuts) []whatIf {
	list := make([]whatIf, len(o.WhatIf))
	for i, c := range o.WhatIf {
		c.MinMass = cuts.MinMass
		list[i] = whatIf{WhatIf{Prob: Num(c.Prob), H: Num(c.H)}, c, 0}
	}
	return list
}

func (w *whatIf) add(prob, h, mass, loss float64) {
	if w.cuts.Conflict(prob, h, mass) {
		w.Conflicts++
		w.loss += loss
	}
}

// explain counts why a conflict is there.
func (t *tally) explain(i int64, s *parquet.ScoresRow, tok *parquet.TokensRow, j int, given *token, outside bool) {
	if t.vocab.t == nil {
		return
	}
	w := why(given, t.vocab.info(s.Top1ID[j]), outside)
	e := example{row: i, id: s.ID, pos: s.Pos[j], given: s.Token[j], expected: s.Top1ID[j], logprob: s.LogProb[j], expectedLogProb: s.Top1LogProb[j]}
	if tok != nil {
		e.before = tok.InputIDs[max(0, e.pos-contextSize):e.pos]
	}
	if w == whyContent && tok != nil {
		e.key = contextKey(e.before, e.given)
		r, fresh := t.repeats.at(e.key)
		if fresh {
			r.first = e
			r.first.before = slices.Clone(e.before)
			r.last = -1
		}
		r.n++
		r.loss -= float64(e.logprob)
		if r.last != i {
			r.rows, r.last = r.rows+1, i
		}
	}
	t.why[w].add(e, w)
}

// reason is why the target at pos conflicts, once t has seen all rows; ids are the
// row's tokens, nil where they are not known.
func (t *tally) reason(given, expected int32, outside bool, ids []int32, pos int32) int {
	w := why(t.vocab.info(given), t.vocab.info(expected), outside)
	if w == whyContent && ids != nil {
		if r := t.repeats.entries[contextKey(ids[max(0, pos-contextSize):pos], given)]; r != nil && r.rows >= repeatedRows {
			return whyRepeated
		}
	}
	return w
}

// contextKey is FNV-1a over the tokens, by whole ids.
func contextKey(before []int32, given int32) uint64 {
	h := uint64(14695981039346656037)
	for _, id := range before {
		h = (h ^ uint64(uint32(id))) * 1099511628211
	}
	return (h ^ uint64(uint32(given))) * 1099511628211
}
