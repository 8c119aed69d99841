package main

import (
	"strconv"

	"github.com/spf13/pflag"

	"eaft/train"
)

// lossFlags registers the flags of the loss and its weights.
func lossFlags(fs *pflag.FlagSet, o *train.Options) {
	fs.StringVar(&o.Loss, "loss", o.Loss, "loss: sft, eaft (weighted by the gate entropy), mask, offline-eaft, dft, focal, mile, talr or flow")
	fs.StringVar(&o.Gate, "gate", "", "weight of a gate entropy h: linear (h; the default), square, cube, power (h^alpha) or sigmoid (1/(1+exp(-alpha(h-beta))))")
	fs.Var(optional{&o.Alpha}, "alpha", "exponent of --gate power and of presets (1 there), steepness of --gate sigmoid")
	fs.Var(optional{&o.Beta}, "beta", "gate entropy at which --gate sigmoid is 1/2")
	fs.Var(optional{&o.Gamma}, "gamma", "exponent of --loss focal (2 unless given) and mile (1)")
	fs.StringVar(&o.Estimator, "estimator", "", "gate entropy h: renorm (the default), trunc or full")
	fs.StringVar(&o.Preset, "preset", "", "weights of another trainer's eaft: llamafactory or axolotl")
	fs.StringVar(&o.MaskFrom, "mask-from", "", "whose confident conflicts --loss mask leaves out: live (the default) or base, of the scores")
	fs.StringVar(&o.MaskCuts, "mask-cuts", "", "cuts of --loss mask, such as \"p<=0.05,h<=0.1\"; empty: those of the scores")
	fs.Var(optional{&o.MinMass}, "min-mass", "with --mask-cuts: the least top-k mass of a confident conflict (0.9)")
	fs.StringVar(&o.Normalize, "normalize", "", "denominator of a step's loss: tokens (the trained targets; the default) or weights (the sum of their weights)")
	fs.StringVar(&o.MatchStep, "match-step", "", "folder of a finished run: --loss sft scales each step's learning rate by that run's mean weight")
}

// optional is the value of a flag that may be left out.
type optional struct{ to **float64 }

func (v optional) String() string {
	if v.to == nil || *v.to == nil {
		return ""
	}
	return strconv.FormatFloat(**v.to, 'g', -1, 64)
}

func (v optional) Set(s string) error {
	x, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return err
	}
	*v.to = &x
	return nil
}

func (optional) Type() string { return "float" }
