package report

import (
	"math"
	"slices"

	"eaft/eaft"
)

// Plane counts targets over probability (columns) and gate entropy (rows). Cell
// [i][j] holds h in (HEdges[i], HEdges[i+1]] and prob in (ProbEdges[j],
// ProbEdges[j+1]]; the first cell of each also holds its lower edge. The cuts
// are edges, so that a cell lies wholly inside or outside of them.
type Plane struct {
	ProbEdges []float64 `json:"prob_edges"`
	HEdges    []float64 `json:"h_edges"`
	Counts    [][]int64 `json:"counts"`
}

// Marks of the printed plane.
var (
	probMarks = []float64{1e-4, 1e-3, 0.01, 0.03, 0.1, 0.3, 0.6, 0.9, 0.99}
	hMarks    = []float64{0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.4, 0.7}
)

// edges are 0, marks and 1 with cut in place of the marks close to it.
func edges(cut float64, marks ...float64) []float64 {
	e := []float64{0, 1}
	inside := cut > 0 && cut < 1
	if inside {
		e = append(e, cut)
	}
	for _, m := range marks {
		if !inside || m < cut/1.4 || m > cut*1.4 {
			e = append(e, m)
		}
	}
	slices.Sort(e)
	return e
}

// grid is a finer Plane, for cuts that are moved afterwards: edges eight to
// the decade, and those of the printed plane. Sure holds the targets with
// enough mass, which alone can conflict; Counts all.
type grid struct {
	Plane
	Sure [][]int64 `json:"sure"`
}

func newGrid(cuts eaft.Cuts) grid {
	fine := func(cut float64, marks []float64, decades int) []float64 {
		e := edges(cut, marks...)
		for i := 1; i < 8*decades; i++ {
			x := math.Pow(10, -float64(i)/8)
			if !slices.ContainsFunc(e, func(m float64) bool { return math.Abs(x/m-1) < 0.01 }) {
				e = append(e, x)
			}
		}
		slices.Sort(e)
		return e
	}
	g := grid{Plane: Plane{ProbEdges: fine(cuts.Prob, probMarks, 7), HEdges: fine(cuts.H, hMarks, 5)}}
	g.Counts, g.Sure = g.cells(), g.cells()
	return g
}

func (p *Plane) cells() [][]int64 {
	c := make([][]int64, len(p.HEdges)-1)
	for i := range c {
		c[i] = make([]int64, len(p.ProbEdges)-1)
	}
	return c
}

func bin(edges []float64, x float64) int {
	lo, hi := 0, len(edges)
	for lo < hi { // the first edge not below x
		if mid := (lo + hi) / 2; edges[mid] < x {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return min(max(lo-1, 0), len(edges)-2)
}

func (g *grid) add(prob, h float32, sure bool) {
	if prob != prob || h != h { // NaN
		return
	}
	i, j := bin(g.HEdges, float64(h)), bin(g.ProbEdges, float64(prob))
	g.Counts[i][j]++
	if sure {
		g.Sure[i][j]++
	}
}

func (g *grid) merge(o *grid) {
	for i := range g.Counts {
		for j := range g.Counts[i] {
			g.Counts[i][j] += o.Counts[i][j]
			g.Sure[i][j] += o.Sure[i][j]
		}
	}
}

// plane sums the cells to the printed plane's.
func (g *grid) plane(cuts eaft.Cuts) Plane {
	p := Plane{ProbEdges: edges(cuts.Prob, probMarks...), HEdges: edges(cuts.H, hMarks...)}
	p.Counts = p.cells()
	for i, row := range g.Counts {
		for j, n := range row {
			p.Counts[bin(p.HEdges, g.HEdges[i+1])][bin(p.ProbEdges, g.ProbEdges[j+1])] += n
		}
	}
	return p
}
