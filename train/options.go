// Package train fine-tunes a decoder on tokens/1 with the plain or the
// entropy-adaptive loss, and writes what it saw of every target as audit/1.
package train

import (
	"io"
	"math"

	"eaft/internal/cli"
)

// Losses.
const (
	LossSFT  = "sft"  // weight 1
	LossEAFT = "eaft" // weight a gate of the gate entropy (arXiv:2601.02151)
)

// MicroTokens is the most tokens that go through the model at once, unless a
// single row is longer.
const MicroTokens = 1024

// Options are what the result of a run depends on (and, not in run.json, where
// it goes and how it reports).
type Options struct {
	Loss        string  `json:"loss"`
	Epochs      int     `json:"epochs"`
	Steps       int     `json:"steps"` // 0: as many as Epochs need; else epochs repeat
	MaxRows     int64   `json:"max_rows"`
	BatchTokens int     `json:"batch_tokens"`
	LR          float64 `json:"lr"`
	Warmup      float64 `json:"warmup"` // share of the steps
	Seed        uint64  `json:"seed"`
	DType       string  `json:"dtype"`
	K           int     `json:"k"`
	MaxGradNorm float64 `json:"max_grad_norm"` // 0: no clipping
	WeightDecay float64 `json:"weight_decay"`
	AdamEps     float64 `json:"adam_eps"`
	FromScratch bool    `json:"from_scratch"`

	LabelSmoothing float64 `json:"label_smoothing"` // share of the uniform distribution in the target's
	KL             float64 `json:"kl"`              // factor of KL(base || tuned)
	NEFTune        float64 `json:"neftune"`         // alpha of the noise on embeddings

	Weighting
	HeldOutOptions
	SaveEvery int     `json:"-"` // steps from one checkpoint to the next; 0: as many as take saveInterval
	Keep      int     `json:"-"` // checkpoints that stay, the newest
	Resume    string  `json:"-"` // auto, none or the folder of a checkpoint
	Schedule  string  `json:"schedule"`
	Decay     float64 `json:"decay"`  // share of the steps, of ScheduleWSD only
	MinLR     float64 `json:"min_lr"` // share of LR

	Mix        string `json:"mix"`         // source=weight, joined by commas: how often an epoch visits their rows
	RowWeights bool   `json:"row_weights"` // the column weight multiplies the weights of a row's targets

	Optimizer string  `json:"optimizer"`
	AdamBeta1 float64 `json:"adam_beta1"` // of both AdamWs
	AdamBeta2 float64 `json:"adam_beta2"`

	LoRA        int     `json:"lora"`         // rank of the adapters; 0: all weights are trained
	LoRAAlpha   float64 `json:"lora_alpha"`   // they are scaled by alpha/rank
	LoRADropout float64 `json:"lora_dropout"` // of their input
	LoRATargets string  `json:"lora_targets"` // projections, joined by commas, or AllLinear
	Merge       bool    `json:"merge"`        // write the model with its adapters merged too
	MergeType   string  `json:"export_type"`  // of its matrices: f32, bf16 or f16; "" without Merge

	Memory int64     `json:"-"` // bytes that training may take; 0: as many as it likes
	Model  string    `json:"-"` // as given, for messages
	Tokens string    `json:"-"` // folder of tokens/1
	Scores string    `json:"-"` // folder of scores/1, "" without
	Out    string    `json:"-"` // folder, or a URL of one in a bucket
	dir    string    // folder of this machine that it is written in: Out, or a scratch
	remote *remote   // nil: Out is a folder
	Stdout io.Writer `json:"-"` // closing table
	Stderr io.Writer `json:"-"` // progress and warnings
}

// DefaultOptions are the defaults of the command's flags.
func DefaultOptions() Options {
	return Options{Loss: LossEAFT, Epochs: 1, BatchTokens: 4096, LR: 1e-5, Warmup: 0.03,
		DType: "bf16", K: 20, MaxGradNorm: 1, AdamEps: 1e-8,
		Keep: 2, Resume: ResumeAuto,
		Schedule: ScheduleCosine, Optimizer: OptimizerAdamW, AdamBeta1: 0.9, AdamBeta2: 0.999}
}

// Check reports a value that no run can have, and fills in the defaults of the loss.
func (o *Options) Check() error {
	finite := func(x float64) bool { return x >= 0 && !math.IsInf(x, 0) }
	switch {
	case o.Tokens == "":
		return cli.Usagef("--tokens is missing: the folder that tokenize wrote")
	case o.Out == "":
		return cli.Usagef("--out is missing: the folder to write")
	case o.Epochs < 1 && o.Steps == 0:
		return cli.Usagef("--epochs %d: at least 1", o.Epochs)
	case o.Steps < 0:
		return cli.Usagef("--steps %d: at least 1", o.Steps)
	case o.MaxRows < 0:
		return cli.Usagef("--max-rows %d: at least 1, or 0 for all", o.MaxRows)
	case o.BatchTokens < 1:
		return cli.Usagef("--batch-tokens %d: at least 1", o.BatchTokens)
	case !(o.LR > 0 && o.LR <= 1):
		return cli.Usagef("--lr %v: a number above 0, at most 1", o.LR)
	case !(o.Warmup >= 0 && o.Warmup <= 1):
		return cli.Usagef("--warmup %v: a share between 0 and 1", o.Warmup)
	case o.K < 2:
		return cli.Usagef("--k %d: at least 2", o.K)
	case !finite(o.MaxGradNorm):
		return cli.Usagef("--max-grad-norm %v: a number >= 0", o.MaxGradNorm)
	case !finite(o.WeightDecay):
		return cli.Usagef("--weight-decay %v: a number >= 0", o.WeightDecay)
	case o.LR*o.WeightDecay >= 1:
		return cli.Usagef("--weight-decay %v with --lr %v: a step would take all of a weight away; their product must be below 1", o.WeightDecay, o.LR)
	}
	if _, err := parseMix(o.Mix); err != nil {
		return err
	}
	if err := o.checkSchedule(); err != nil {
		return err
	}
	if err := o.checkLoRA(); err != nil {
		return err
	}
	if err := o.checkOptimizer(); err != nil {
		return err
	}
	if err := o.checkRegularisers(); err != nil {
		return err
	}
	if err := o.settleLoss(); err != nil {
		return err
	}
	return o.HeldOutOptions.check()
}
