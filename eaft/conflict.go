package eaft

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Defaults of the thresholds: the paper's pilot takes the lowest 15% of each
// quantity; a small top-K mass never counts as confidence.
const (
	DefaultQuantile = 0.15
	DefaultMinMass  = 0.9
)

// Cuts are absolute thresholds of a confident conflict.
type Cuts struct {
	Prob    float64 `json:"prob"`     // largest probability of the target
	H       float64 `json:"h"`        // largest gate entropy
	MinMass float64 `json:"min_mass"` // smallest top-K mass that counts as confidence
}

// Conflict reports whether a target with this probability, gate entropy and
// top-K mass is a confident conflict. Any NaN is none. Probability and gate
// entropy count as float32, in which quantiles are taken, so that the target a
// cut falls on is under it wherever the question is asked.
func (c Cuts) Conflict(prob, h, mass float64) bool {
	return float64(float32(prob)) <= c.Prob && float64(float32(h)) <= c.H && mass >= c.MinMass
}

// Target is what an annotation, or the model in training, says of a target.
type Target struct{ LogProb, Entropy, TopKEntropy, TopKMass float32 }

// Point is where a target stands: its probability and its gate entropy by an
// estimator over k tokens, in the float32 in which quantiles are taken.
func (t Target) Point(est Estimator, k int) (prob, h float32) {
	return float32(math.Exp(float64(t.LogProb))),
		float32(GateEntropy(est, float64(t.TopKEntropy), float64(t.TopKMass), float64(t.Entropy), k))
}

// Conflict reports whether a target is a confident conflict under cuts.
func (t Target) Conflict(est Estimator, k int, c Cuts) bool {
	prob, h := t.Point(est, k)
	return c.Conflict(float64(prob), float64(h), float64(t.TopKMass))
}

// Thresholds say how to find the Cuts: absolute values, or a quantile of each
// quantity over the trained targets.
type Thresholds struct {
	Quantile float64 // in (0, 1) when the cuts are quantiles, else 0
	Prob, H  float64 // absolute values when Quantile is 0
	MinMass  float64
}

// DefaultThresholds are the lowest 15% of each quantity.
func DefaultThresholds() Thresholds {
	return Thresholds{Quantile: DefaultQuantile, MinMass: DefaultMinMass}
}

// ParseThresholds reads "p<=0.05,h<=0.1" (both, in either order) or "q=0.15".
// An empty string means DefaultThresholds. MinMass is DefaultMinMass.
func ParseThresholds(s string) (Thresholds, error) {
	if strings.TrimSpace(s) == "" {
		return DefaultThresholds(), nil
	}
	t := Thresholds{MinMass: DefaultMinMass}
	seen := map[string]bool{}
	for part := range strings.SplitSeq(s, ",") {
		part = strings.TrimSpace(part)
		name, value, ok := strings.Cut(part, "<=")
		if !ok {
			name, value, ok = strings.Cut(part, "=")
			if ok && strings.TrimSpace(name) != "q" {
				ok = false
			}
		} else if strings.TrimSpace(name) == "q" {
			ok = false
		}
		if !ok {
			return Thresholds{}, fmt.Errorf("threshold %q in %q: write p<=0.05,h<=0.1 or q=0.15", part, s)
		}
		name = strings.TrimSpace(name)
		if seen[name] {
			return Thresholds{}, fmt.Errorf("threshold %s stands twice in %q", name, s)
		}
		seen[name] = true
		v, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if err != nil {
			return Thresholds{}, fmt.Errorf("threshold %q in %q: %q is not a number", part, s, strings.TrimSpace(value))
		}
		if !(v >= 0 && v <= 1) {
			return Thresholds{}, fmt.Errorf("threshold %q in %q: %v is not between 0 and 1", part, s, v)
		}
		switch name {
		case "p":
			t.Prob = v
		case "h":
			t.H = v
		case "q":
			if v == 0 || v == 1 {
				return Thresholds{}, fmt.Errorf("threshold %q in %q: a quantile lies between 0 and 1", part, s)
			}
			t.Quantile = v
		default:
			return Thresholds{}, fmt.Errorf("unknown threshold %q in %q: write p<=0.05,h<=0.1 or q=0.15", name, s)
		}
	}
	if seen["q"] == (seen["p"] || seen["h"]) || seen["p"] != seen["h"] {
		return Thresholds{}, fmt.Errorf("thresholds %q: give both p and h, or q alone", s)
	}
	return t, nil
}

// String is the form that ParseThresholds reads (without MinMass).
func (t Thresholds) String() string {
	f := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	if t.Quantile > 0 {
		return "q=" + f(t.Quantile)
	}
	return "p<=" + f(t.Prob) + ",h<=" + f(t.H)
}

// Cuts returns the absolute cuts. Quantiles are taken over probs and hs, one
// entry per trained target, and both slices are sorted in place. Without any
// target the quantiles are undefined and nothing is a conflict.
func (t Thresholds) Cuts(probs, hs []float32) Cuts {
	if t.Quantile == 0 {
		return Cuts{Prob: t.Prob, H: t.H, MinMass: t.MinMass}
	}
	if len(probs) == 0 || len(hs) == 0 {
		return Cuts{Prob: -1, H: -1, MinMass: t.MinMass}
	}
	return Cuts{Prob: Quantile(probs, t.Quantile), H: Quantile(hs, t.Quantile), MinMass: t.MinMass}
}
