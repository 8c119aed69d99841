package eaft

import (
	"fmt"
	"math"
	"slices"
)

// Gates are the names that ParseGate knows.
var Gates = []string{"linear", "square", "cube", "power", "sigmoid"}

// ParseGate returns the gate of this name: linear h, square h^2, cube h^3, power
// h^alpha, or sigmoid 1/(1+exp(-alpha(h-beta))). alpha is read by power and
// sigmoid, beta by sigmoid.
func ParseGate(name string, alpha, beta float64) (Gate, error) {
	switch name {
	case "linear":
		return Linear{}, nil
	case "square":
		return Power{2}, nil
	case "cube":
		return Power{3}, nil
	case "power":
		return Power{alpha}, nil
	case "sigmoid":
		return Sigmoid{alpha, beta}, nil
	}
	return nil, fmt.Errorf("unknown gate %q: choose linear, square, cube, power or sigmoid", name)
}

// DFTWeight is the weight of Dynamic Fine-Tuning (arXiv:2508.05629):
// the probability p of the target.
func DFTWeight(logprob float64) float64 { return math.Exp(logprob) }

// FocalWeight is the factor of the focal loss (arXiv:1708.02002, equation 4):
// (1-p)^gamma. There the gradient also passes through the factor; as a weight it
// does not.
func FocalWeight(logprob, gamma float64) float64 {
	return math.Pow(math.Max(0, -math.Expm1(logprob)), gamma)
}

// MiLeWeight is the weight of MiLe loss (arXiv:2310.19531) before its factor
// 1/mean: (1+H)^gamma, with the entropy H in nats of the whole distribution.
func MiLeWeight(entropy, gamma float64) float64 { return math.Pow(1+entropy, gamma) }

// talrFloor is the smallest weight of TALR.
const talrFloor = 0.01

// TALRWeight is the weight of Token-Adaptive Loss Reweighting (arXiv:2509.20758):
// max(p^(1/tau), 0.01), where tau is the median of the mean losses of the rows of
// a step. With tau 0 the weight is its limit: 1 for a certain target, else 0.01.
func TALRWeight(logprob, tau float64) float64 {
	return math.Max(talrFloor, decay(-logprob, tau))
}

// FLOWWeight is a row's weight in FLOW (arXiv:2502.02797): exp(-loss/tau), with
// the mean loss of the row under the model that training starts from, and tau the
// median of these over the dataset. With tau 0 it is its limit, 1 or 0.
func FLOWWeight(loss, tau float64) float64 { return decay(loss, tau) }

// decay is exp(-x/tau) for x >= 0, and its limit for tau = 0.
func decay(x, tau float64) float64 {
	if tau == 0 && x == 0 {
		return 1
	}
	return math.Exp(-x / tau)
}

// Median returns the median of x, the mean of the middle two of an even number
// (numpy's, not torch's, which is the smaller one). It sorts x in place. Without
// values, or with a NaN among them, it is NaN.
func Median(x []float64) float64 {
	if len(x) == 0 {
		return math.NaN()
	}
	slices.Sort(x) // NaNs first
	n := len(x)
	if math.IsNaN(x[0]) {
		return math.NaN()
	}
	return (x[(n-1)/2] + x[n/2]) / 2
}
