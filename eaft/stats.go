package eaft

import (
	"math"
	"slices"
)

// Quantile sorts x in place and returns its q-quantile with linear
// interpolation (numpy's default method, DuckDB's quantile_cont). q is clamped
// to [0, 1]; an empty slice or a NaN in x or q gives NaN.
func Quantile(x []float32, q float64) float64 {
	if len(x) == 0 || math.IsNaN(q) {
		return math.NaN()
	}
	slices.Sort(x) // NaNs first
	if x[0] != x[0] {
		return math.NaN()
	}
	at := float64(math.Min(1, math.Max(0, q)) * float64(len(x)-1)) // rounded: other CPUs join a product to a sum
	i := int(math.Floor(at))
	lo := float64(x[i])
	if i+1 == len(x) {
		return lo
	}
	hi, frac := float64(x[i+1]), at-float64(i)
	if lo == hi || frac == 0 {
		return lo // also keeps infinities from becoming NaN
	}
	return lo + float64((hi-lo)*frac)
}

// Correlation accumulates Pearson's correlation of pairs in one pass (Welford;
// Chan, Golub and LeVeque 1979 for Merge). The zero value is empty.
type Correlation struct {
	n            int64
	mx, my       float64
	sxx, syy, xy float64
}

// Add takes one pair.
func (c *Correlation) Add(x, y float64) {
	c.n++
	n := float64(c.n)
	dx, dy := x-c.mx, y-c.my
	c.mx += dx / n
	c.my += dy / n
	c.sxx += dx * (x - c.mx)
	c.syy += dy * (y - c.my)
	c.xy += dx * (y - c.my)
}

// Merge adds the pairs of o.
func (c *Correlation) Merge(o *Correlation) {
	if o.n == 0 {
		return
	}
	if c.n == 0 {
		*c = *o
		return
	}
	a, b := float64(c.n), float64(o.n)
	dx, dy, w := o.mx-c.mx, o.my-c.my, a*b/(a+b)
	c.sxx += o.sxx + dx*dx*w
	c.syy += o.syy + dy*dy*w
	c.xy += o.xy + dx*dy*w
	c.mx += dx * b / (a + b)
	c.my += dy * b / (a + b)
	c.n += o.n
}

// Value is the correlation in [-1, 1], or NaN where it is undefined: fewer than
// two pairs, or a constant coordinate.
func (c *Correlation) Value() float64 {
	if c.n < 2 || c.sxx == 0 || c.syy == 0 {
		return math.NaN()
	}
	return math.Min(1, math.Max(-1, c.xy/math.Sqrt(c.sxx)/math.Sqrt(c.syy)))
}
