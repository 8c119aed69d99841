package report

import "slices"

// Plane counts targets over probability (columns) and gate entropy (rows). Cell
// [i][j] holds h in (HEdges[i], HEdges[i+1]] and prob in (ProbEdges[j],
// ProbEdges[j+1]]; the first cell of each also holds its lower edge. The cuts
// are edges, so that a cell lies wholly inside or outside of them.
type Plane struct {
	ProbEdges []float64 `json:"prob_edges"`
	HEdges    []float64 `json:"h_edges"`
	Counts    [][]int64 `json:"counts"`
}

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

func newPlane(prob, h float64) Plane {
	p := Plane{
		ProbEdges: edges(prob, 1e-4, 1e-3, 0.01, 0.03, 0.1, 0.3, 0.6, 0.9, 0.99),
		HEdges:    edges(h, 0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.4, 0.7),
	}
	p.Counts = make([][]int64, len(p.HEdges)-1)
	for i := range p.Counts {
		p.Counts[i] = make([]int64, len(p.ProbEdges)-1)
	}
	return p
}

func bin(edges []float64, x float64) int {
	i, _ := slices.BinarySearch(edges, x)
	return min(max(i-1, 0), len(edges)-2)
}

func (p *Plane) add(prob, h float64) {
	if prob == prob && h == h { // no NaN
		p.Counts[bin(p.HEdges, h)][bin(p.ProbEdges, prob)]++
	}
}
