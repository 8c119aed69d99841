package train

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"eaft/internal/cli"
)

// A number that no run can have is refused with its flag, itself and what may stand
// there.
func TestOptionValues(t *testing.T) {
	good := DefaultOptions()
	good.Tokens, good.Out = "tokens", "out"
	o := good
	must(t, o.Check())
	for _, c := range []struct {
		set           func(o *Options, x float64)
		flag, allowed string
		bad           []float64
	}{
		{func(o *Options, x float64) { o.LR = x }, "--lr", "above 0, at most 1", []float64{0, -1e-5, 1.5, math.NaN(), math.Inf(1)}},
		{func(o *Options, x float64) { o.WeightDecay = x }, "--weight-decay", "a number >= 0", []float64{-0.1, math.NaN(), math.Inf(1)}},
		{func(o *Options, x float64) { o.WeightDecay = x }, "--weight-decay", "must be below 1", []float64{1e5, 1e300}},
		{func(o *Options, x float64) { o.MaxGradNorm = x }, "--max-grad-norm", ">= 0", []float64{-1, math.NaN(), math.Inf(1)}},
		{func(o *Options, x float64) { o.Warmup = x }, "--warmup", "between 0 and 1", []float64{-0.1, 1.1, math.NaN()}},
		{func(o *Options, x float64) { o.MinLR = x }, "--min-lr", "between 0 and 1", []float64{-0.1, 1.1, math.NaN()}},
		{func(o *Options, x float64) { o.AdamEps = x }, "--adam-eps", "above 0, at most 1", []float64{0, -1, 2, math.NaN(), math.Inf(1)}},
		{func(o *Options, x float64) { o.AdamBeta1 = x }, "--adam-beta1", "from 0 to below 1", []float64{-0.1, 1, math.NaN()}},
		{func(o *Options, x float64) { o.AdamBeta2 = x }, "--adam-beta2", "from 0 to below 1", []float64{-0.1, 1, math.NaN()}},
		{func(o *Options, x float64) { o.LabelSmoothing = x }, "--label-smoothing", "from 0 to below 1", []float64{-0.1, 1, math.NaN()}},
		{func(o *Options, x float64) { o.KL = x }, "--kl", ">= 0", []float64{-1, math.NaN(), math.Inf(1)}},
		{func(o *Options, x float64) { o.NEFTune = x }, "--neftune", ">= 0", []float64{-1, math.NaN(), math.Inf(1)}},
		{func(o *Options, x float64) { o.Gate, o.Alpha = "power", &x }, "--alpha", ">= 0", []float64{-1, math.NaN(), math.Inf(1)}},
		{func(o *Options, x float64) { o.Loss, o.Gamma = LossFocal, &x }, "--gamma", ">= 0", []float64{-1, math.NaN(), math.Inf(1)}},
		{func(o *Options, x float64) { o.Epochs = int(x) }, "--epochs", "at least 1", []float64{0, -1}},
		{func(o *Options, x float64) { o.Steps = int(x) }, "--steps", "at least 1", []float64{-1}},
		{func(o *Options, x float64) { o.BatchTokens = int(x) }, "--batch-tokens", "at least 1", []float64{0, -1}},
		{func(o *Options, x float64) { o.MaxRows = int64(x) }, "--max-rows", "at least 1", []float64{-1}},
		{func(o *Options, x float64) { o.K = int(x) }, "--k", "at least 2", []float64{1, 0, -1}},
	} {
		for _, x := range c.bad {
			o := good
			c.set(&o, x)
			err := o.Check()
			if cli.Code(err) != cli.ExitUsage || !strings.Contains(err.Error(), fmt.Sprintf("%s %v", c.flag, x)) || !strings.Contains(err.Error(), c.allowed) {
				t.Errorf("%s %v: %v", c.flag, x, err)
			}
		}
	}
}
