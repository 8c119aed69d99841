package report

import (
	"cmp"
	"math"
	"slices"
	"strconv"
)

// Replicates is how many times the rows are resampled for an interval.
const Replicates = 200

// Group is the share of one source, role, turn, position or class of tokens.
// Low and High bound 95% of the conflict rates that resampled rows give: a
// Poisson bootstrap, in which each row counts a Poisson(1) number of times.
type Group struct {
	Name         string `json:"name"`
	Rows         int64  `json:"rows"` // with a target in the group; of a source all
	Targets      int64  `json:"targets"`
	Conflicts    int64  `json:"conflicts"`
	ConflictRate Num    `json:"conflict_rate"`
	Low          Num    `json:"low"`
	High         Num    `json:"high"`
	MeanH        Num    `json:"mean_h"`
	MeanLogProb  Num    `json:"mean_logprob"`
}

// group gathers a Group.
type group struct {
	rows, targets, conflicts int64
	h, logprob               float64
	touched                  bool  // by the row at hand
	n, c                     int64 // of the row at hand
	boot                     [Replicates]struct{ n, c int64 }
}

func (g *group) merge(o *group) {
	g.rows += o.rows
	g.targets += o.targets
	g.conflicts += o.conflicts
	g.h += o.h
	g.logprob += o.logprob
	for b := range g.boot {
		g.boot[b].n += o.boot[b].n
		g.boot[b].c += o.boot[b].c
	}
}

// others takes the groups beyond a dimension's bound.
const others = "(others)"

// dimension is what targets are grouped by; at most limit groups and others.
type dimension struct {
	limit  int
	groups map[string]*group
}

func newDimension(limit int) *dimension { return &dimension{limit, map[string]*group{}} }

func (d *dimension) at(name string) *group {
	g := d.groups[name]
	if g == nil {
		if len(d.groups) >= d.limit && name != others {
			return d.at(others)
		}
		g = new(group)
		d.groups[name] = g
	}
	return g
}

func (d *dimension) merge(o *dimension) {
	names := make([]string, 0, len(o.groups))
	for name := range o.groups {
		names = append(names, name)
	}
	slices.Sort(names) // which groups are beyond the bound must not depend on the map
	for _, name := range names {
		d.at(name).merge(o.groups[name])
	}
}

// list is the groups by conflict rate, the largest first.
func (d *dimension) list() []Group {
	list := []Group{}
	for name, g := range d.groups {
		list = append(list, g.group(name))
	}
	slices.SortFunc(list, func(a, b Group) int {
		return cmp.Or(-cmp.Compare(a.ConflictRate, b.ConflictRate), cmp.Compare(a.Name, b.Name))
	})
	return list
}

// ordered is the groups that there are in the order of names, then the rest.
func (d *dimension) ordered(names []string) []Group {
	list := d.list()
	place := func(g Group) int {
		if i := slices.Index(names, g.Name); i >= 0 {
			return i
		}
		if n, err := strconv.Atoi(g.Name); err == nil {
			return len(names) + n
		}
		return math.MaxInt
	}
	slices.SortStableFunc(list, func(a, b Group) int { return cmp.Compare(place(a), place(b)) })
	return list
}

func (g *group) group(name string) Group {
	n := float64(g.targets)
	low, high := g.interval()
	return Group{Name: Visible([]byte(name)), Rows: g.rows, Targets: g.targets, Conflicts: g.conflicts, ConflictRate: Num(float64(g.conflicts) / n),
		Low: low, High: high, MeanH: Num(g.h / n), MeanLogProb: Num(g.logprob / n)}
}

// interval holds the middle 95% of the replicates; undefined from less than two
// rows, for one row resampled is that row.
func (g *group) interval() (low, high Num) {
	if g.rows < 2 {
		return Num(math.NaN()), Num(math.NaN())
	}
	rates := make([]float64, 0, Replicates)
	for _, b := range g.boot {
		if b.n > 0 {
			rates = append(rates, float64(b.c)/float64(b.n))
		}
	}
	slices.Sort(rates)
	at := func(q float64) Num {
		x := q * float64(len(rates)-1)
		i := int(x)
		if i+1 >= len(rates) {
			return Num(rates[len(rates)-1])
		}
		return Num(rates[i] + (rates[i+1]-rates[i])*(x-float64(i)))
	}
	if len(rates) == 0 {
		return Num(math.NaN()), Num(math.NaN())
	}
	return at(0.025), at(0.975)
}

// poisson maps 16 random bits to a Poisson(1) number.
var poisson = func() (table [1 << 16]uint8) {
	term, sum, k := math.Exp(-1), math.Exp(-1), 0
	for i := range table {
		for k < 8 && float64(i) >= sum*float64(len(table)) {
			k++
			term /= float64(k)
			sum += term
		}
		table[i] = uint8(k)
	}
	return table
}()

// resample says how often row i counts in each replicate: 16 bits for each
// from splitmix64, started at the row's index times the replicates' words.
func resample(i int64, weights *[Replicates]uint8) {
	for b := 0; b < Replicates; b += 4 {
		z := (uint64(i)*(Replicates/4) + uint64(b/4) + 1) * 0x9e3779b97f4a7c15
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		z ^= z >> 31
		for k := range 4 {
			weights[b+k] = poisson[uint16(z>>(16*k))]
		}
	}
}

// rowGroups collects a row's targets before they are resampled together.
type rowGroups struct {
	touched []*group
	weights [Replicates]uint8
}

func (r *rowGroups) touch(g *group) {
	if !g.touched {
		g.touched = true
		r.touched = append(r.touched, g)
	}
}

func (r *rowGroups) add(g *group, conflict bool, h, logprob float64) {
	r.touch(g)
	g.n++
	if conflict {
		g.c++
	}
	g.h += h
	g.logprob += logprob
}

// end counts row i.
func (r *rowGroups) end(i int64) {
	resample(i, &r.weights)
	for _, g := range r.touched {
		g.rows++
		g.targets += g.n
		g.conflicts += g.c
		if g.n > 0 {
			for b, w := range r.weights {
				g.boot[b].n += int64(w) * g.n
				g.boot[b].c += int64(w) * g.c
			}
		}
		g.touched, g.n, g.c = false, 0, 0
	}
	r.touched = r.touched[:0]
}
