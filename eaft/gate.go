// Package eaft holds the mathematics of Entropy-Adaptive Fine-Tuning
// (arXiv:2601.02151): gate entropies, gates, loss weights, thresholds of
// confident conflicts, quantiles and correlations. All logarithms are natural.
package eaft

import (
	"fmt"
	"math"
)

// Estimator names the way in which the gate entropy h is computed.
type Estimator string

const (
	// Renorm divides the entropy of the renormalised top K by ln K (LLaMA-Factory, axolotl).
	Renorm Estimator = "renorm"
	// Trunc is the paper's formula read literally: -sum over the top K of p ln p,
	// not renormalised, divided by ln K.
	Trunc Estimator = "trunc"
	// Full divides the entropy of the whole distribution by ln K and stops at 1.
	Full Estimator = "full"
)

// ParseEstimator accepts "renorm", "trunc" and "full".
func ParseEstimator(s string) (Estimator, error) {
	switch e := Estimator(s); e {
	case Renorm, Trunc, Full:
		return e, nil
	}
	return "", fmt.Errorf("unknown estimator %q: choose renorm, trunc or full", s)
}

// GateEntropy returns h in [0, 1]. topkEntropy is the entropy in nats of the K
// most likely tokens renormalised, topkMass the sum of their probabilities,
// entropy the entropy in nats of the whole distribution. With k <= 1 there is
// nothing to be uncertain between and h is 0. NaN stays NaN.
func GateEntropy(est Estimator, topkEntropy, topkMass, entropy float64, k int) float64 {
	if k <= 1 {
		return 0
	}
	var h float64
	switch est {
	case Trunc:
		if topkMass <= 0 {
			return 0
		}
		h = topkMass * (topkEntropy - math.Log(topkMass))
	case Full:
		h = entropy
	default:
		h = topkEntropy
	}
	h /= math.Log(float64(k))
	// Rounding in float32 can leave the interval by an ulp.
	return math.Min(1, math.Max(0, h))
}

// Gate maps the gate entropy h to the weight of a target.
type Gate interface {
	Weight(h float64) float64
}

// Linear is the paper's gate: the weight is h.
type Linear struct{}

// Weight returns h.
func (Linear) Weight(h float64) float64 { return h }

// LLaMAFactoryWeight is the weight of LLaMA-Factory's use_eaft_loss:
// (topkEntropy/3.0)^alpha, where 3.0 stands for ln 20. An entropy that rounding
// left below zero counts as zero.
func LLaMAFactoryWeight(topkEntropy, alpha float64) float64 {
	return math.Pow(math.Max(0, topkEntropy)/3.0, alpha)
}

// axolotlEpsilon is what axolotl adds to each probability inside the logarithm.
const axolotlEpsilon = 1e-10

// AxolotlWeight is the weight of axolotl's eaft loss: H^alpha with
// H = -sum p ln(p + 1e-10) over the renormalised top-K probabilities. It is not
// divided by ln K, so weights reach ln K. H falls below zero by at most 1e-10
// when one token has all the mass; it then counts as zero.
func AxolotlWeight(topkProbs []float64, alpha float64) float64 {
	var h float64
	for _, p := range topkProbs {
		h -= p * math.Log(p+axolotlEpsilon)
	}
	return math.Pow(math.Max(0, h), alpha)
}

// Power is a power of the gate entropy: the weight is h^Alpha.
type Power struct{ Alpha float64 }

// Weight returns h^Alpha; the small whole powers are products, which are faster.
func (g Power) Weight(h float64) float64 {
	switch g.Alpha {
	case 1:
		return h
	case 2:
		return h * h
	case 3:
		return h * h * h
	}
	return math.Pow(h, g.Alpha)
}

// Sigmoid rises from 0 to 1 around the gate entropy B, the steeper the larger A.
type Sigmoid struct{ A, B float64 }

// Weight returns 1/(1+exp(-A(h-B))).
func (g Sigmoid) Weight(h float64) float64 { return 1 / (1 + math.Exp(-g.A*(h-g.B))) }
