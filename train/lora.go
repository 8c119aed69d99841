package train

import (
	"context"
	"fmt"
	"hash/fnv"
	"math"
	"path/filepath"
	"strings"

	"eaft/internal/cli"
	"eaft/internal/store"
	"eaft/model"
	"eaft/model/weights"
)

// AdapterName is the folder of the adapter in that of the run.
const AdapterName = "adapter"

// AllLinear is --lora-targets for every projection of the blocks.
const AllLinear = "all-linear"

// lora is what the model is asked for; nil without --lora. Alpha is twice the rank
// unless set.
func (o *Options) lora() *model.LoRA {
	if o.LoRA == 0 {
		return nil
	}
	l := &model.LoRA{Rank: o.LoRA, Alpha: o.LoRAAlpha, Dropout: o.LoRADropout, Seed: o.Seed, Targets: model.AllLinear}
	if o.LoRATargets != AllLinear {
		l.Targets = strings.Split(o.LoRATargets, ",")
	}
	return l
}

// checkLoRA reports what is wrong about the adapters' options.
func (o *Options) checkLoRA() error {
	if o.LoRA == 0 {
		switch {
		case o.LoRAAlpha != 0 || o.LoRADropout != 0 || o.LoRATargets != "":
			return cli.Usagef("--lora-alpha, --lora-dropout and --lora-targets say how adapters are trained: give --lora RANK too")
		case o.Merge:
			return cli.Usagef("--merge joins adapters with the model, and without --lora RANK there are none")
		}
		return nil
	}
	switch {
	case o.LoRA < 1 || o.LoRA > model.MaxRank:
		return cli.Usagef("--lora %d: a rank from 1 to %d", o.LoRA, model.MaxRank)
	case !(o.LoRAAlpha > 0) || math.IsInf(o.LoRAAlpha, 0):
		return cli.Usagef("--lora-alpha %v: a number above 0", o.LoRAAlpha)
	case !(o.LoRADropout >= 0 && o.LoRADropout < 1):
		return cli.Usagef("--lora-dropout %v: a share from 0 to below 1", o.LoRADropout)
	}
	if err := o.lora().Check(); err != nil {
		return cli.Usagef("--lora-targets: %w", err)
	}
	if o.Merge {
		if err := CheckExportType(o.MergeType); err != nil {
			return err
		}
	}
	if o.FromScratch {
		return cli.Usagef("--lora and --from-scratch exclude each other: an adapter beside random weights learns nothing")
	}
	return nil
}

// CheckExportType refuses what matrices of a merged or exported model cannot be of.
func CheckExportType(dtype string) error {
	switch dtype {
	case "f32", "bf16", "f16":
		return nil
	}
	return cli.Usagef("--export-type %q is not known: use f32, bf16 or f16", dtype)
}

// dropKey is what the dropout of a row's visit is made of, beside the positions in
// it: nothing that packing, threads or resuming could change.
func dropKey(seed uint64, step int, r *row) uint64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d/%d/%d", seed, step, r.order)
	return h.Sum64()
}

// saveBest writes the best model so far: of adapters those, with --merge in a folder
// below it, which mergeBest writes the model into once the run is finished.
func (o *Options) saveBest(m *model.Model, dir string, from *weights.Checkpoint) error {
	switch {
	case o.LoRA == 0:
		return m.Save(dir, from)
	case o.Merge:
		dir = filepath.Join(dir, AdapterName)
	}
	return m.SaveAdapter(dir, o.Model)
}

// save writes what the run has made: the model in OUT/model, of adapters the
// folder OUT/adapter, and with --merge the model too.
func (o *Options) save(ctx context.Context, m *model.Model, from *weights.Checkpoint) error {
	if o.LoRA == 0 {
		return m.Save(filepath.Join(o.dir, ModelName), from)
	}
	if err := m.SaveAdapter(filepath.Join(o.dir, AdapterName), o.Model); err != nil || !o.Merge {
		return err
	}
	lost, err := o.merge(ctx, ModelName, AdapterName, from)
	if err == nil {
		fmt.Fprintln(o.Stderr, MergeCost(store.Join(o.Out, ModelName), o.MergeType, lost, store.Join(o.Out, AdapterName)))
	}
	return err
}

// mergeBest completes the folder of the best model, if there is to be a merged one.
func (o *Options) mergeBest(ctx context.Context, from *weights.Checkpoint) error {
	if !o.Merge || o.Best == "" {
		return nil
	}
	_, err := o.merge(ctx, BestName, filepath.Join(BestName, AdapterName), from)
	return err
}

// merge writes the model with an adapter of the run's folder into another one of it.
// lost is how much of the adapter's change the rounding costs.
func (o *Options) merge(ctx context.Context, into, adapter string, from *weights.Checkpoint) (lost float64, err error) {
	a, err := weights.OpenAdapter(filepath.Join(o.dir, adapter))
	if err != nil {
		return 0, err
	}
	defer a.Close()
	return model.ExportFolder(ctx, filepath.Join(o.dir, into), from, a, strings.ToUpper(o.MergeType))
}

// MergeCost says of a merged model, the folder or file name, what rounding to dtype
// costs of what an adapter changes, and where nothing is lost or what would lose it
// again.
func MergeCost(name, dtype string, lost float64, adapter string) string {
	s := fmt.Sprintf("%s: merged in %s: rounding makes an error of %.2g%% of what the adapter changes (root mean square)", name, dtype, 100*lost)
	if dtype == "f32" {
		return s + "; loaded in bf16 it is rounded again"
	}
	return s + fmt.Sprintf("; %s is exact, and train export --adapter writes f32 of it", adapter)
}
