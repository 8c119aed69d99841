package train

import (
	"fmt"
	"math"

	"eaft/compute"
	"eaft/internal/cli"
	"eaft/model"
	"eaft/model/weights"
)

// regular is what a run adds to its loss and its inputs beside the weights of the
// targets; nil: nothing.
type regular struct {
	smoothing, beta, alpha float64 // --label-smoothing, --kl, --neftune
	seed                   uint64
	width                  int          // of an embedding
	base                   *model.Model // nil without --kl

	targets           float64 // of the step so far, all three
	smooth, kl, added float64
}

// checkRegularisers reports values that no run can have.
func (o *Options) checkRegularisers() error {
	switch {
	case !(o.LabelSmoothing >= 0 && o.LabelSmoothing < 1):
		return cli.Usagef("--label-smoothing %v: a share from 0 to below 1", o.LabelSmoothing)
	case !(o.KL >= 0) || math.IsInf(o.KL, 0):
		return cli.Usagef("--kl %v: a number >= 0", o.KL)
	case !(o.NEFTune >= 0) || math.IsInf(o.NEFTune, 0):
		return cli.Usagef("--neftune %v: a number >= 0", o.NEFTune)
	case o.KL > 0 && o.FromScratch:
		return cli.Usagef("--kl and --from-scratch exclude each other: random weights are no base to stay near")
	case o.KL > 0 && o.Loss == LossMiLe:
		return cli.Usagef("--kl and --loss mile exclude each other: the step's gradient is scaled after its last micro-batch, and the KL's with it")
	case o.KL > 0 && o.rescales():
		return cli.Usagef("--kl and --normalize weights exclude each other: the step's gradient is scaled after its last micro-batch, and the KL's with it")
	case o.NEFTune > 0 && o.Loss == LossTALR:
		return cli.Usagef("--neftune and --loss talr exclude each other: talr's temperature comes of a pass that has no noise")
	}
	return nil
}

// newRegular reads what the options ask for; of a run without regularisers it is nil.
func newRegular(dev compute.Device, c *weights.Checkpoint, m *model.Model, dtype compute.DType, o *Options) (*regular, error) {
	if o.LabelSmoothing == 0 && o.KL == 0 && o.NEFTune == 0 {
		return nil, nil
	}
	r := &regular{smoothing: o.LabelSmoothing, beta: o.KL, alpha: o.NEFTune, seed: o.Seed, width: m.Spec().Hidden}
	if o.KL == 0 {
		return r, nil
	}
	var err error
	if r.base, err = loadBase(dev, c, dtype); err != nil {
		return nil, err
	}
	return r, nil
}

// of is what the model is asked for in a micro-batch of rows of step n.
func (r *regular) of(s step, n int, rows []*row) *model.Regularisers {
	if r == nil {
		return nil
	}
	x := &model.Regularisers{Smoothing: r.smoothing}
	if r.base != nil {
		targets := 0
		for _, row := range s.rows {
			targets += len(row.pos)
		}
		x.Base, x.KL = r.base, r.beta/float64(targets)
	}
	if r.alpha > 0 {
		x.Noise = neftune(r.alpha, r.width, r.seed, n, rows)
	}
	return x
}

// add takes in the terms of a micro-batch of n targets.
func (r *regular) add(t model.Terms, n int) {
	if r == nil {
		return
	}
	r.targets += float64(n)
	r.added += t.Added
	for _, v := range t.SmoothLoss {
		r.smooth += float64(v)
	}
	for _, v := range t.KL {
		r.kl += float64(v)
	}
}

// close ends a step: its loss gains what the terms added to it, times the factor
// that the step's gradient gets.
func (r *regular) close(mt *Metrics, factor float64) {
	if r == nil {
		return
	}
	mt.Loss += factor * r.added
	if r.smoothing > 0 {
		mean := r.smooth / r.targets
		mt.SmoothLoss = &mean
	}
	if r.base != nil {
		mean := r.kl / r.targets
		mt.KL = &mean
	}
	r.targets, r.smooth, r.kl, r.added = 0, 0, 0, 0
}

// bytes is what the regularisers take on micro-batches of so many tokens.
func (r *regular) bytes(tokens int) (n int64) {
	if r == nil {
		return 0
	}
	if r.base != nil {
		n += r.base.ScoringBytes(tokens)
	}
	if r.alpha > 0 {
		n += 2 * 4 * int64(tokens) * int64(r.width) // made, and on the device
	}
	return n
}

// fitMemory is model.FitMemory with what regularisers and held-out sets take set aside.
func (o *Options) fitMemory(m *model.Model, r *regular, h *heldOut, tokens int) error {
	own := r.bytes(tokens) + h.bytes()
	err := m.FitMemory(max(0, o.Memory-own), tokens)
	if err != nil && own > 0 {
		err = fmt.Errorf("%d MiB are for --kl, --neftune and --eval; of the rest: %w", (own+1<<20-1)>>20, err)
	}
	return err
}
