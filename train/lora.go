package train

import (
	"fmt"
	"hash/fnv"
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
	if err := o.lora().Check(); err != nil {
		return cli.Usagef("--lora: %w", err)
	}
	if o.FromScratch {
		return cli.Usagef("--lora and --from-scratch exclude each other: an adapter beside random weights learns nothing")
	}
	return nil
}

// dropKey is what the dropout of a row's visit is made of, beside the positions in
// it: nothing that packing, threads or resuming could change.
func dropKey(seed uint64, step int, r *row) uint64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d/%d/%d", seed, step, r.order)
	return h.Sum64()
}

// saveBest writes the best model so far: the adapter, unless --merge asks for the
// model.
func (o *Options) saveBest(m *model.Model, dir string, from *weights.Checkpoint) error {
	if o.LoRA > 0 && !o.Merge {
		return m.SaveAdapter(dir, o.Model)
	}
	return m.Save(dir, from)
}

// save writes what the run has made: the model in OUT/model, of adapters the
// folder OUT/adapter, and with --merge the model too.
func (o *Options) save(m *model.Model, from *weights.Checkpoint) error {
	if o.LoRA > 0 {
		if err := m.SaveAdapter(filepath.Join(o.dir, AdapterName), o.Model); err != nil {
			return err
		}
		if !o.Merge {
			return nil
		}
	}
	dir := filepath.Join(o.dir, ModelName)
	if o.LoRA == 0 {
		return m.Save(dir, from)
	}
	lost, err := m.SaveMerged(dir, from)
	if err == nil && lost > 0 {
		fmt.Fprintf(o.Stderr, "merged in %s: rounding makes an error of %.2g%% of what the adapter changes (root mean square); %s is exact\n",
			o.DType, 100*lost, store.Join(o.Out, AdapterName))
	}
	return err
}
