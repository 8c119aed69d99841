package train

import (
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"eaft/internal/cli"
)

// mixture is how often an epoch visits the rows of a source, by the source's name:
// with weight 2 each row twice, with 0.5 half of them. Sources that are not named
// have weight 1.
type mixture map[string]float64

// maxMix bounds a weight: an epoch is a list in memory.
const maxMix = 1000

// parseMix reads --mix: source=weight, joined by commas. A source's name may hold a
// "=", not a comma.
func parseMix(s string) (mixture, error) {
	if s == "" {
		return nil, nil
	}
	m := mixture{}
	for part := range strings.SplitSeq(s, ",") {
		i := strings.LastIndexByte(part, '=')
		if i < 0 {
			return nil, cli.Usagef("--mix: %q is not of the form source=weight", part)
		}
		source, number := part[:i], part[i+1:]
		w, err := strconv.ParseFloat(number, 64)
		if err != nil || !(w >= 0 && w <= maxMix) {
			return nil, cli.Usagef("--mix: the weight of %q is %q; it must be a number from 0 to %d", source, number, maxMix)
		}
		if _, twice := m[source]; twice {
			return nil, cli.Usagef("--mix: %q has two weights", source)
		}
		m[source] = w
	}
	return m, nil
}

// maxNamed is how many sources an error lists.
const maxNamed = 16

// check refuses sources that no row has, and a mixture that leaves nothing.
func (m mixture) check(rows []*row) error {
	have := map[string]bool{}
	left := false
	for _, r := range rows {
		have[r.source] = true
		if w, ok := m[r.source]; !ok || w > 0 {
			left = true
		}
	}
	for _, source := range slices.Sorted(maps.Keys(m)) {
		if !have[source] {
			known, more := slices.Sorted(maps.Keys(have)), ""
			if n := len(known); n > maxNamed {
				known, more = known[:maxNamed], fmt.Sprintf(" and %d more", n-maxNamed)
			}
			return cli.Usagef("--mix: no trained row has the source %q; there are %q%s", source, known, more)
		}
	}
	if !left {
		return cli.Usagef("--mix leaves no row to train on: give a source a weight above 0")
	}
	return nil
}

// epoch is which rows epoch e visits, in the dataset's order; a row may come
// several times. Of weight w, a row is visited floor(w) times, and once more if it
// is among the next round((w - floor(w)) n) of the source's n rows, in an order that
// PCG(seed, hash of the source) gives: each epoch goes on in it where the one before
// has stopped, so that all rows have had their turn before one has its second.
func (m mixture) epoch(rows []*row, e int, seed uint64) []int {
	extra := make([]bool, len(rows))
	of := map[string][]int{}
	for i, r := range rows {
		if _, ok := m[r.source]; ok {
			of[r.source] = append(of[r.source], i)
		}
	}
	for source, at := range of {
		n := len(at)
		part := m[source] - math.Floor(m[source])
		k := int(math.Round(part * float64(n)))
		h := fnv.New64a()
		h.Write([]byte(source))
		order := rand.New(rand.NewPCG(seed, h.Sum64())).Perm(n)
		for j := range k {
			extra[at[order[(e*k+j)%n]]] = true
		}
	}
	var out []int
	for i, r := range rows {
		times := 1
		if w, ok := m[r.source]; ok {
			times = int(math.Floor(w))
		}
		if extra[i] {
			times++
		}
		for range times {
			out = append(out, i)
		}
	}
	return out
}

// Visits is what a run sees of a source.
type Visits struct {
	Source string  `json:"source"`
	Weight float64 `json:"weight"`
	Rows   int64   `json:"rows"`
	Visits int64   `json:"visits"` // over all epochs
}

// visits counts the rows of steps by source, sorted; nil without a mixture.
func (m mixture) visits(rows []*row, steps []step) []Visits {
	if m == nil {
		return nil
	}
	by := map[string]*Visits{}
	for _, r := range rows {
		v := by[r.source]
		if v == nil {
			v = &Visits{Source: r.source, Weight: 1}
			if w, ok := m[r.source]; ok {
				v.Weight = w
			}
			by[r.source] = v
		}
		v.Rows++
	}
	for _, s := range steps {
		for _, r := range s.rows {
			by[r.source].Visits++
		}
	}
	var out []Visits
	for _, source := range slices.Sorted(maps.Keys(by)) {
		out = append(out, *by[source])
	}
	return out
}

// planned checks rows against the options of mixing and weighing them, plans the
// steps that o asks for, and says in rec how often each source
// is visited.
func (o *Options) planned(rows []*row, rec *Record) ([]step, error) {
	m, err := parseMix(o.Mix)
	if err != nil {
		return nil, err
	}
	if err := o.checkRowWeights(rows); err != nil {
		return nil, err
	}
	if err := m.check(rows); err != nil {
		return nil, err
	}
	steps, err := m.plan(rows, o.Epochs, o.Steps, o.BatchTokens, o.Seed, maxVisits)
	if err != nil {
		return nil, cli.Usagef("%s: %w", o.length(), err)
	}
	if len(steps) == 0 {
		return nil, cli.Usagef("--mix leaves no row to train on: its weights are too small for the rows there are")
	}
	rec.Steps, rec.Visits = len(steps), m.visits(rows, steps)
	for _, v := range rec.Visits {
		fmt.Fprintf(o.Stderr, "mix: %s, weight %v: %d rows, %d visits\n", show(v.Source), v.Weight, v.Rows, v.Visits)
	}
	return steps, nil
}

// length is the flag that says how long the run is.
func (o *Options) length() string {
	if o.Steps > 0 {
		return fmt.Sprintf("--steps %d", o.Steps)
	}
	return fmt.Sprintf("--epochs %d", o.Epochs)
}

// checkRowWeights refuses rows without the weight that --row-weights asks for.
func (o *Options) checkRowWeights(rows []*row) error {
	if !o.RowWeights {
		return nil
	}
	for _, r := range rows {
		if r.weight == nil {
			return cli.Usagef("%s: row %d (%s) has no weight, which --row-weights asks for: tokenize with --map weight=FIELD, where every row has that field, or leave the flag out", o.Tokens, r.order, r.id)
		}
	}
	return nil
}
