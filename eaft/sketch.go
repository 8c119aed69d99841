package eaft

import "math"

// SketchError is the largest relative error of Sketch.Quantile against the order
// statistic it stands for, where that is a normal float32: values that share a
// bin agree in exponent and 7 bits of the mantissa, and the bin's middle is
// returned.
const SketchError = 1. / 256

// sketchBins are the upper 16 bits of a float32 that is not negative.
const sketchBins = 1 << 15

// Sketch counts float32 values by their upper 16 bits: 256 KiB whatever the
// number of values, mergeable without loss. The bits of floats that are not
// negative ascend with the floats, so the bins are in order. Negative values
// count as 0. The zero value is empty.
type Sketch struct {
	counts []int64
	n, nan int64
}

func key(x float32) uint32 {
	if !(x > 0) {
		return 0
	}
	return math.Float32bits(x)
}

// Add counts x.
func (s *Sketch) Add(x float32) {
	if s.counts == nil {
		s.counts = make([]int64, sketchBins)
	}
	if x != x {
		s.nan++
		return
	}
	s.n++
	s.counts[key(x)>>16]++
}

// Merge adds the values of o.
func (s *Sketch) Merge(o *Sketch) {
	s.n += o.n
	s.nan += o.nan
	if o.counts == nil {
		return
	}
	if s.counts == nil {
		s.counts = make([]int64, sketchBins)
	}
	for i, c := range o.counts {
		s.counts[i] += c
	}
}

// N is the number of values that are numbers.
func (s *Sketch) N() int64 { return s.n }

// find returns the bin of the value with this rank (from 0), and the value's
// rank among those of its bin.
func (s *Sketch) find(rank int64) (bin int, within int64) {
	for i, c := range s.counts {
		if rank < c {
			return i, rank
		}
		rank -= c
	}
	return len(s.counts) - 1, 0
}

// Quantile is the value of rank floor(q (N-1)) within SketchError of it, or NaN
// without values or with a NaN among them.
func (s *Sketch) Quantile(q float64) float64 {
	if s.n == 0 || s.nan > 0 {
		return math.NaN()
	}
	bin, _ := s.find(int64(math.Min(1, math.Max(0, q)) * float64(s.n-1)))
	if bin == 0 {
		return 0
	}
	lo, hi := float64(math.Float32frombits(uint32(bin)<<16)), float64(math.Float32frombits(uint32(bin)<<16|0xffff))
	return (lo + hi) / 2
}

// Exact finds the quantile of a Sketch's values exactly, by looking at all of
// them once more: Quantile would give the same number, and holds every value.
type Exact struct {
	at     float64    // place in the order, as Quantile interpolates
	bins   [2]int     // of the values of rank floor(at) and the next
	within [2]int64   // their ranks in their bins
	low    [2][]int64 // counts of the lower 16 bits in these bins
	nan    bool
	empty  bool
}

// Exact prepares for the second look.
func (s *Sketch) Exact(q float64) *Exact {
	e := &Exact{empty: s.n == 0, nan: s.nan > 0}
	if e.empty || e.nan {
		return e
	}
	e.at = float64(math.Min(1, math.Max(0, q)) * float64(s.n-1))
	i := int64(e.at)
	e.bins[0], e.within[0] = s.find(i)
	e.bins[1], e.within[1] = s.find(min(i+1, s.n-1))
	for i := range e.low {
		e.low[i] = make([]int64, 1<<16)
	}
	return e
}

// Fresh is e without what it has counted, for a part of the values.
func (e *Exact) Fresh() *Exact {
	f := *e
	for i := range f.low {
		f.low[i] = make([]int64, len(e.low[i]))
	}
	return &f
}

// Add looks at x again.
func (e *Exact) Add(x float32) {
	k := key(x)
	bin := int(k >> 16)
	if e.empty || e.nan {
		return
	}
	for i, b := range e.bins {
		if b == bin {
			e.low[i][k&0xffff]++
		}
	}
}

// Merge adds what o has counted.
func (e *Exact) Merge(o *Exact) {
	for i := range e.low {
		for j, c := range o.low[i] {
			e.low[i][j] += c
		}
	}
}

// Value is the quantile, as Quantile of all values, negative ones counted as 0.
func (e *Exact) Value() float64 {
	if e.empty || e.nan {
		return math.NaN()
	}
	var v [2]float64
	for i, within := range e.within {
		for j, c := range e.low[i] {
			if within < c {
				v[i] = float64(math.Float32frombits(uint32(e.bins[i])<<16 | uint32(j)))
				break
			}
			within -= c
		}
	}
	if frac := e.at - math.Floor(e.at); v[0] != v[1] && frac != 0 {
		return v[0] + float64((v[1]-v[0])*frac)
	}
	return v[0]
}
