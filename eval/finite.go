package eval

import (
	"fmt"
	"math"
)

// finite refuses log-probabilities that are none: NaN in the weights makes every
// rank 0 and every sum NaN, which must not pass for a measurement.
func finite(logProbs []float32) error {
	for _, lp := range logProbs {
		if x := float64(lp); math.IsNaN(x) || math.IsInf(x, 0) {
			return fmt.Errorf("the model gives a token the log-probability %v: its weights are damaged, or --dtype does not fit them", x)
		}
	}
	return nil
}
