// Train fine-tunes a model on tokens/1 datasets, and measures it on held-out ones.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/pflag"

	"eaft/compute/cpu"
	"eaft/internal/cli"
	"eaft/internal/hub"
	"eaft/internal/store"
	"eaft/model"
	"eaft/model/weights"
	"eaft/train"
)

const usage = `Usage: train --model M --tokens DIR --out DIR [flags]
       train eval --model M ...             measures: held-out rows, multiple choice, generation, perplexity
       train audit RUN                      what a run did to every target
       train export --model M --out F.gguf  a GGUF for llama.cpp, or a folder; --adapter DIR merges

Fine-tunes a model on a tokens/1 dataset. With --loss eaft the loss of each
target is weighted by the model's own uncertainty; with --scores the run says
what became of the confident conflicts. docs/training.md has all losses.

  train --model M.gguf --tokens tok --scores sco --out run --lr 1e-5
  train --model M.gguf --tokens tok --out run --lora 16 --lr 2e-4

A run that was stopped goes on when the same command is given again.`

func main() { os.Exit(cli.Main("train", run)) }

func run(ctx context.Context, args []string, std cli.IO) error {
	if len(args) > 0 && args[0] == "eval" {
		return cli.StartsOver(evaluate(ctx, args[1:], std))
	}
	if len(args) > 0 && args[0] == "audit" {
		return cli.StartsOver(runAudit(ctx, args[1:], std))
	}
	if len(args) > 0 && args[0] == "export" {
		return cli.StartsOver(runExport(ctx, args[1:], std))
	}
	o := train.DefaultOptions()
	o.Stdout, o.Stderr = std.Out, std.Err
	fs := pflag.NewFlagSet("train", pflag.ContinueOnError)
	fs.StringVar(&o.Model, "model", "", "model to start from: "+cli.Models)
	fs.StringVar(&o.Tokens, "tokens", "", "folder of tokens to train on")
	fs.StringVar(&o.Scores, "scores", "", "folder of scores of these tokens by this model")
	fs.StringVar(&o.Out, "out", "", "folder for the model, the metrics and the audit, or a URL such as s3://BUCKET/RUN")
	lossFlags(fs, &o)
	fs.IntVar(&o.Epochs, "epochs", o.Epochs, "passes over the rows")
	fs.IntVar(&o.Steps, "steps", 0, "optimizer steps, instead of --epochs; epochs repeat")
	fs.Int64Var(&o.MaxRows, "max-rows", 0, "train on the first N rows only; 0: all")
	fs.Float64Var(&o.MaxReject, "max-reject", o.MaxReject, "share of rows that may be unusable, such as too long for the model, before the run is refused (exit code 3)")
	fs.IntVar(&o.BatchTokens, "batch-tokens", o.BatchTokens, "an optimizer step takes rows until it has this many tokens")
	fs.Float64Var(&o.LR, "lr", o.LR, "peak learning rate")
	fs.Float64Var(&o.Warmup, "warmup", o.Warmup, "share of the steps in which the learning rate rises; then --schedule")
	fs.Uint64Var(&o.Seed, "seed", 0, "seed of the order of rows and of --from-scratch")
	fs.StringVar(&o.DType, "dtype", o.DType, "operands of products: bf16 or f32")
	memory := fs.String("memory", "", "memory that training may take, such as 4GiB: what of the activations does not fit is computed again; empty: any")
	threads := fs.Int("threads", 0, "threads; 0: all cores")
	fs.IntVar(&o.K, "k", o.K, "number of tokens in the top-k entropy")
	fs.Float64Var(&o.MaxGradNorm, "max-grad-norm", o.MaxGradNorm, "gradients are scaled down to this norm; 0: never")
	fs.Float64Var(&o.WeightDecay, "weight-decay", 0, "decoupled weight decay of matrices")
	fs.Float64Var(&o.AdamEps, "adam-eps", o.AdamEps, "epsilon of AdamW")
	fs.BoolVar(&o.FromScratch, "from-scratch", false, "start from random weights; the model is a folder with config.json and no weights")
	fs.Float64Var(&o.LabelSmoothing, "label-smoothing", 0, "share of the uniform distribution in each target's, as in torch's CrossEntropyLoss")
	fs.Float64Var(&o.KL, "kl", 0, "factor of KL(base || tuned) in the loss; the base model is held in memory too")
	fs.Float64Var(&o.NEFTune, "neftune", 0, "alpha of NEFTune's noise on the embeddings; usual values are 5 to 15")
	evals := fs.StringArray("eval", nil, "held-out tokens to evaluate on, DIR or NAME=DIR, repeatable")
	fs.IntVar(&o.EvalEvery, "eval-every", 0, "evaluate every N steps, and at the end; 0: at the end only")
	fs.StringVar(&o.Best, "best", "", "keep the best model in OUT/best by an --eval: NAME, NAME:loss or NAME:accuracy")
	fs.IntVar(&o.Patience, "patience", 0, "end when N evaluations brought no better model; 0: never")
	fs.IntVar(&o.SaveEvery, "save-every", 0, "steps from one checkpoint to the next; 0: one every 15 minutes, and none is left of a finished run")
	fs.IntVar(&o.Keep, "keep", o.Keep, "how many checkpoints stay")
	fs.StringVar(&o.Resume, "resume", o.Resume, "auto (go on from the newest whole checkpoint in --out), none (start anew), or the folder of a checkpoint in --out")
	fs.StringVar(&o.Schedule, "schedule", o.Schedule, "learning rate after the warm-up: constant, linear, cosine or wsd")
	decay := fs.Float64("decay", 0.1, "share of the steps at the end in which --schedule wsd falls")
	fs.Float64Var(&o.MinLR, "min-lr", 0, "share of --lr that linear, cosine and wsd end at")
	fs.StringVar(&o.Mix, "mix", "", "how often an epoch visits the rows of a source: source=weight,... (2: twice; 0.5: another half each time; others: 1)")
	fs.BoolVar(&o.RowWeights, "row-weights", false, "multiply the weights of a row's targets by the column weight of the tokens")
	fs.StringVar(&o.Optimizer, "optimizer", o.Optimizer, "adamw, adamw8bit (a quarter of its state) or adafactor (next to none)")
	fs.Float64Var(&o.AdamBeta1, "adam-beta1", o.AdamBeta1, "AdamW's factor of the first moment")
	fs.Float64Var(&o.AdamBeta2, "adam-beta2", o.AdamBeta2, "AdamW's factor of the second moment")
	fs.IntVar(&o.LoRA, "lora", 0, "train adapters of this rank instead of the weights")
	fs.Float64Var(&o.LoRAAlpha, "lora-alpha", 0, "adapters are scaled by alpha/rank (default twice the rank)")
	fs.Float64Var(&o.LoRADropout, "lora-dropout", 0, "probability that an element of an adapter's input is dropped")
	fs.StringVar(&o.LoRATargets, "lora-targets", "", "projections that get one: q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj, or all-linear (the default)")
	fs.BoolVar(&o.Merge, "merge", false, "write the model with the adapters merged in --export-type, beside the adapter")
	exportAs := fs.String("export", "", "write the trained model in another format, too: gguf, to OUT/model.gguf; of --lora with the adapters merged")
	exportType := fs.String("export-type", "f32", "matrices of what --export and --merge write: f32, bf16 or f16")
	if err := cli.Parse(fs, args, std, usage); err != nil {
		return err
	}
	switch {
	case fs.NArg() > 0:
		return cli.Usagef("%q is not one of eval, audit and export, and a training takes flags only; see train --help", fs.Arg(0))
	case fs.Changed("steps") && fs.Changed("epochs"):
		return cli.Usagef("--steps and --epochs exclude each other")
	case fs.Changed("steps") && o.Steps < 1:
		return cli.Usagef("--steps %d: at least 1", o.Steps)
	}
	switch {
	case *exportAs != "" && *exportAs != "gguf":
		return cli.Usagef("--export %q is not known: use gguf", *exportAs)
	case *exportAs == "" && !o.Merge && fs.Changed("export-type"):
		return cli.Usagef("--export-type is of what --export gguf and --merge write: give one of them")
	}
	if err := train.CheckExportType(*exportType); err != nil {
		return err
	}
	if err := cli.CheckThreads(*threads); err != nil {
		return err
	}
	if o.Merge {
		o.MergeType = *exportType
	}
	var err error
	if o.Eval, err = train.ParseHeldOut(*evals); err != nil {
		return err
	}
	if *memory != "" {
		bytes, err := cli.ParseSize(*memory)
		if err != nil {
			return cli.Usagef("--memory: %w", err)
		}
		o.Memory = bytes
	}
	if fs.Changed("steps") {
		o.Epochs = 0
	}
	if o.Optimizer == train.OptimizerAdafactor {
		for name, v := range map[string]*float64{"adam-beta1": &o.AdamBeta1, "adam-beta2": &o.AdamBeta2, "adam-eps": &o.AdamEps} {
			if !fs.Changed(name) {
				*v = 0
			}
		}
	}
	if fs.Changed("lora") {
		if o.LoRA < 1 {
			return cli.Usagef("--lora %d: at least 1", o.LoRA)
		}
		if !fs.Changed("lora-alpha") {
			o.LoRAAlpha = 2 * float64(o.LoRA)
		}
		if o.LoRATargets == "" {
			o.LoRATargets = train.AllLinear
		}
	}
	if o.Schedule == train.ScheduleWSD || fs.Changed("decay") {
		o.Decay = *decay
	}
	c, err := open(ctx, o.Model, std)
	if err != nil {
		return err
	}
	defer c.Close()
	dev, err := cpu.New(*threads)
	if err != nil {
		return &cli.Error{Code: cli.ExitUsage, Err: err}
	}
	if *exportAs == "" {
		return train.Run(ctx, dev, c, o)
	}
	gguf := store.Join(o.Out, "model.gguf")
	if store.Same(o.Model, gguf) {
		return cli.Usagef("--export gguf: %s is the --model itself: choose another --out", gguf)
	}
	// A model that cannot be exported is refused before it is trained.
	if err := model.CheckGGUF(c); err != nil {
		return &cli.Error{Code: cli.ExitUsage, Err: fmt.Errorf("--export gguf: %w", err)}
	}
	if err := train.Run(ctx, dev, c, o); err != nil {
		return err
	}
	from, adapter := store.Join(o.Out, train.ModelName), ""
	if o.LoRA > 0 {
		from, adapter = o.Model, store.Join(o.Out, train.AdapterName)
	}
	return export(ctx, from, adapter, gguf, *exportType, std)
}

// open opens a model, which may have to be fetched.
func open(ctx context.Context, ref string, std cli.IO) (*weights.Checkpoint, error) {
	if ref == "" {
		return nil, cli.Usagef("--model is missing: %s", cli.Models)
	}
	if err := hub.Get(ctx, ref, true, std.Err); err != nil {
		return nil, err
	}
	c, err := weights.Open(ref)
	if err != nil {
		return nil, &cli.Error{Code: cli.ExitUsage, Err: err}
	}
	return c, nil
}
