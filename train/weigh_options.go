package train

import (
	"math"
	"slices"
	"strings"

	"eaft/eaft"
	"eaft/internal/cli"
)

// Losses that weight the cross-entropy, beside sft and eaft; docs/training.md
// has their formulas and sources.
const (
	LossMask        = "mask"         // 0 on confident conflicts
	LossOfflineEAFT = "offline-eaft" // eaft from the base annotation
	LossDFT         = "dft"          // p
	LossFocal       = "focal"        // (1-p)^gamma
	LossMiLe        = "mile"         // a (1+H)^gamma
	LossTALR        = "talr"         // max(p^(1/tau), 0.01)
	LossFLOW        = "flow"         // exp(-loss of the row/tau), from the base annotation
)

var losses = []string{LossSFT, LossEAFT, LossMask, LossOfflineEAFT, LossDFT, LossFocal, LossMiLe, LossTALR, LossFLOW}

// Presets of the gate: the weights of other trainers.
const (
	PresetLLaMAFactory = "llamafactory" // (topk_entropy/3)^alpha
	PresetAxolotl      = "axolotl"      // topk_entropy^alpha, 1e-10 in the logarithm
)

// Where the mask finds confident conflicts.
const (
	MaskLive = "live" // in the model in training
	MaskBase = "base" // in the base annotation
)

// Denominators of a step's loss.
const (
	NormalizeTokens  = "tokens"  // the trained targets
	NormalizeWeights = "weights" // the sum of their weights
)

// Weighting are the options of the weights. What is not given is empty or nil;
// settle fills in the defaults of what the loss reads and refuses the rest.
type Weighting struct {
	Gate      string   `json:"gate"` // a name that eaft.ParseGate knows
	Alpha     *float64 `json:"alpha"`
	Beta      *float64 `json:"beta"`
	Gamma     *float64 `json:"gamma"`
	Estimator string   `json:"estimator"` // of the gate entropy
	Preset    string   `json:"preset"`
	MaskFrom  string   `json:"mask_from"`
	MaskCuts  string   `json:"mask_cuts"` // "p<=0.05,h<=0.1"; empty: those of the annotation
	MinMass   *float64 `json:"min_mass"`  // with MaskCuts
	Normalize string   `json:"normalize"`

	MatchStep string `json:"-"` // folder of a finished run
}

// settleLoss refuses options that the loss, its gate or its preset does not read,
// and fills in the defaults of those it does.
func (o *Options) settleLoss() error {
	w := &o.Weighting
	for _, c := range []struct {
		flag, value string
		choices     []string
	}{
		{"loss", o.Loss, losses},
		{"gate", w.Gate, eaft.Gates},
		{"estimator", w.Estimator, []string{string(eaft.Renorm), string(eaft.Trunc), string(eaft.Full)}},
		{"preset", w.Preset, []string{PresetLLaMAFactory, PresetAxolotl}},
		{"mask-from", w.MaskFrom, []string{MaskLive, MaskBase}},
		{"normalize", w.Normalize, []string{NormalizeTokens, NormalizeWeights}},
	} {
		if !slices.Contains(c.choices, c.value) && (c.value != "" || c.flag == "loss") {
			return cli.Usagef("--%s %q is not known: use %s", c.flag, c.value, oneOf(c.choices...))
		}
	}
	gate := o.gates() && w.Preset == ""
	if gate && w.Gate == "" {
		w.Gate = "linear"
	}
	if err := o.fits(); err != nil {
		return err
	}
	if err := o.complete(); err != nil {
		return err
	}
	if w.MaskCuts != "" {
		if err := w.settleCuts(); err != nil {
			return err
		}
	}
	switch {
	case w.Preset != "":
		w.Alpha = orElse(w.Alpha, 1)
	case o.Loss == LossFocal:
		w.Gamma = orElse(w.Gamma, 2)
	case o.Loss == LossMiLe:
		w.Gamma = orElse(w.Gamma, 1)
	case o.Loss == LossMask && w.MaskFrom == "":
		w.MaskFrom = MaskLive
	}
	if w.Estimator == "" && (gate || w.MaskCuts != "") {
		w.Estimator = string(eaft.Renorm)
	}
	if w.Normalize == "" {
		w.Normalize = NormalizeTokens
	}
	return nil
}

// gates reports whether the loss weighs by the gate entropy.
func (o *Options) gates() bool { return o.Loss == LossEAFT || o.Loss == LossOfflineEAFT }

// formula reports whether the gate has parameters.
func (w *Weighting) formula() bool { return w.Gate == "power" || w.Gate == "sigmoid" }

// fits refuses what the loss, its gate or its preset does not read.
func (o *Options) fits() error {
	w := &o.Weighting
	for _, c := range []struct {
		given, fits bool
		flag, where string
	}{
		{w.Preset != "", o.gates(), "preset", "--loss eaft and offline-eaft"},
		{w.Gate != "", o.gates() && w.Preset == "", "gate", "--loss eaft and offline-eaft without --preset"},
		{w.Alpha != nil, o.gates() && (w.Preset != "" || w.formula()), "alpha", "--gate power and sigmoid, and presets"},
		{w.Beta != nil, w.Gate == "sigmoid", "beta", "--gate sigmoid"},
		{w.Gamma != nil, o.Loss == LossFocal || o.Loss == LossMiLe, "gamma", "--loss focal and mile"},
		{w.Estimator != "", o.gates() && w.Preset == "" || w.MaskCuts != "", "estimator",
			"--loss eaft and offline-eaft without --preset, and --mask-cuts (the annotation's cuts are renorm's)"},
		{w.MaskFrom != "", o.Loss == LossMask, "mask-from", "--loss mask"},
		{w.MaskCuts != "", o.Loss == LossMask, "mask-cuts", "--loss mask"},
		{w.MinMass != nil, w.MaskCuts != "", "min-mass", "--mask-cuts (the annotation's cuts have their own)"},
		{w.Normalize == NormalizeWeights, o.Loss != LossSFT && o.Loss != LossMiLe, "normalize weights",
			"losses other than sft and mile (whose mean weight is 1 already)"},
		{w.MatchStep != "", o.Loss == LossSFT, "match-step", "--loss sft, the control of the named run"},
	} {
		if c.given && !c.fits {
			return cli.Usagef("--%s does nothing with %s: it is for %s", c.flag, o.lossFlags(), c.where)
		}
	}
	return nil
}

// complete refuses what lacks something, or has a value that no formula takes.
func (o *Options) complete() error {
	w := &o.Weighting
	switch {
	case w.formula() && w.Alpha == nil:
		return cli.Usagef("--gate %s: --alpha is missing", w.Gate)
	case w.Gate == "sigmoid" && w.Beta == nil:
		return cli.Usagef("--gate sigmoid: --beta, the gate entropy of weight 1/2, is missing")
	case w.Preset == PresetLLaMAFactory && o.K != 20:
		return cli.Usagef("--k %d: --preset llamafactory divides by 3.0 for ln 20 and always has --k 20", o.K)
	case w.Preset == PresetAxolotl && o.Loss == LossOfflineEAFT:
		return cli.Usagef("--preset axolotl adds 1e-10 to each of the k probabilities, which the scores do not hold: use it with --loss eaft, or --preset llamafactory")
	case o.Scores == "" && o.needsScores() != "":
		return cli.Usagef("--scores is missing: --loss %s %s", o.Loss, o.needsScores())
	}
	for _, c := range []struct {
		flag  string
		value *float64
	}{{"alpha", w.Alpha}, {"gamma", w.Gamma}, {"min-mass", w.MinMass}} {
		if c.value != nil && (!(*c.value >= 0) || math.IsInf(*c.value, 0)) {
			return cli.Usagef("--%s %v: a number >= 0", c.flag, *c.value)
		}
	}
	if w.Beta != nil && !finite(*w.Beta) {
		return cli.Usagef("--beta %v: a number", *w.Beta)
	}
	if w.MinMass != nil && *w.MinMass > 1 {
		return cli.Usagef("--min-mass %v: a number between 0 and 1", *w.MinMass)
	}
	return nil
}

// settleCuts checks --mask-cuts and writes it as it is compared.
func (w *Weighting) settleCuts() error {
	t, err := eaft.ParseThresholds(w.MaskCuts)
	if err != nil {
		return cli.Usagef("--mask-cuts: %w", err)
	}
	if t.Quantile > 0 {
		return cli.Usagef("--mask-cuts %s: absolute cuts, such as p<=0.05,h<=0.1; quantiles are those of the scores, which hold without --mask-cuts", w.MaskCuts)
	}
	w.MaskCuts, w.MinMass = t.String(), orElse(w.MinMass, eaft.DefaultMinMass)
	return nil
}

// needsScores says what the loss takes from the base annotation; empty: nothing.
func (o *Options) needsScores() string {
	switch {
	case o.Loss == LossOfflineEAFT:
		return "takes the gate entropies of the base model from them"
	case o.Loss == LossFLOW:
		return "takes the rows' losses under the base model from them"
	case o.Loss == LossMask && o.MaskFrom == MaskBase:
		return "with --mask-from base takes the conflicts from them"
	case o.Loss == LossMask && o.MaskCuts == "":
		return "takes its cuts from them, or from --mask-cuts"
	}
	return ""
}

// lossFlags are the flags that choose among weights, as given.
func (o *Options) lossFlags() string {
	s := "--loss " + o.Loss
	if o.Preset != "" {
		s += " --preset " + o.Preset
	} else if o.Gate != "" {
		s += " --gate " + o.Gate
	}
	return s
}

func orElse(p *float64, x float64) *float64 {
	if p == nil {
		return &x
	}
	return p
}

// oneOf lists choices: "a, b or c".
func oneOf(xs ...string) string {
	last := len(xs) - 1
	return strings.Join(xs[:last], ", ") + " or " + xs[last]
}
