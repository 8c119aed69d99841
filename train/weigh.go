package train

import (
	"context"
	"fmt"
	"math"

	"eaft/compute"
	"eaft/eaft"
	"eaft/model"
)

// weigher gives the targets of a row their weights in the loss
// sum w_t (-ln p_t) / N. Weights are constants to the gradient.
type weigher interface {
	// weigh writes the weight of each target of r, in the order of r.pos, to w.
	weigh(w []float64, r *row, v live)
}

// surveyor is a weigher whose weights depend on all rows of an optimizer step:
// survey receives the mean loss of each before any of them is weighed, from a
// forward pass of its own.
type surveyor interface{ survey(means []float64) }

// annotated is a weigher that takes more of the base annotation than the values
// of the row it weighs.
type annotated interface{ annotate(in *inputs, rows []*row) }

// live is what the model in training says of a row's targets.
type live struct {
	logp, entropy, topk, mass []float32
	top                       []float32 // [targets, width] log-probabilities of the likeliest tokens
	width                     int
}

// liveOf is the part of st of the targets [i, j).
func liveOf(st *compute.HeadStats, i, j int) live {
	width := len(st.TopLogProbs) / max(1, len(st.LogProb))
	return live{st.LogProb[i:j], st.Entropy[i:j], st.TopKEntropy[i:j], st.TopKMass[i:j], st.TopLogProbs[i*width : j*width], width}
}

// newWeigher returns the weigher of checked options.
func newWeigher(o *Options) weigher {
	number := func(p *float64) float64 {
		if p == nil {
			return 0
		}
		return *p
	}
	// What settleLoss has checked is not wrong here; a gate that is not named is linear.
	gate, err := eaft.ParseGate(o.Gate, number(o.Alpha), number(o.Beta))
	if err != nil {
		gate = eaft.Linear{}
	}
	est := eaft.Estimator(o.Estimator)
	switch o.Loss {
	case LossEAFT, LossOfflineEAFT:
		var x weigher = &gated{est, gate, o.K}
		switch o.Preset {
		case PresetLLaMAFactory:
			x = llamaFactory{*o.Alpha}
		case PresetAxolotl:
			x = axolotl{*o.Alpha}
		}
		if o.Loss == LossOfflineEAFT {
			x = offline{x}
		}
		return x
	case LossMask:
		m := &mask{est: est, k: o.K} // without an estimator: renorm, whose the annotation's cuts are
		var x weigher = m
		if o.MaskFrom == MaskBase {
			x = offline{m}
		}
		if o.MaskCuts == "" {
			return annotatedMask{x, m}
		}
		t, _ := eaft.ParseThresholds(o.MaskCuts)
		m.cuts = eaft.Cuts{Prob: t.Prob, H: t.H, MinMass: number(o.MinMass)}
		return x
	case LossDFT:
		return each(func(v live, i int) float64 { return eaft.DFTWeight(float64(v.logp[i])) })
	case LossFocal:
		gamma := number(o.Gamma)
		return each(func(v live, i int) float64 { return eaft.FocalWeight(float64(v.logp[i]), gamma) })
	case LossMiLe:
		gamma := number(o.Gamma)
		return each(func(v live, i int) float64 { return eaft.MiLeWeight(float64(v.entropy[i]), gamma) })
	case LossTALR:
		return &talr{}
	case LossFLOW:
		return &flow{}
	}
	return each(func(live, int) float64 { return 1 })
}

// each weighs every target by itself.
type each func(v live, i int) float64

func (f each) weigh(w []float64, _ *row, v live) {
	for i := range w {
		w[i] = f(v, i)
	}
}

// gated is EAFT (arXiv:2601.02151): a gate of the gate entropy.
type gated struct {
	est  eaft.Estimator
	gate eaft.Gate
	k    int
}

func (g *gated) weigh(w []float64, _ *row, v live) {
	for i := range w {
		w[i] = g.gate.Weight(eaft.GateEntropy(g.est, float64(v.topk[i]), float64(v.mass[i]), float64(v.entropy[i]), g.k))
	}
}

type llamaFactory struct{ alpha float64 }

func (l llamaFactory) weigh(w []float64, _ *row, v live) {
	for i := range w {
		w[i] = eaft.LLaMAFactoryWeight(float64(v.topk[i]), l.alpha)
	}
}

type axolotl struct{ alpha float64 }

func (a axolotl) weigh(w []float64, _ *row, v live) {
	p := make([]float64, v.width)
	for i := range w {
		var sum float64
		for j, l := range v.top[i*v.width : (i+1)*v.width] {
			p[j] = math.Exp(float64(l))
			sum += p[j]
		}
		for j := range p {
			p[j] /= sum
		}
		w[i] = eaft.AxolotlWeight(p, a.alpha)
	}
}

// mask leaves confident conflicts out of the loss.
type mask struct {
	est  eaft.Estimator
	k    int
	cuts eaft.Cuts
}

func (m *mask) weigh(w []float64, _ *row, v live) {
	for i := range w {
		w[i] = 1
		if (eaft.Target{LogProb: v.logp[i], Entropy: v.entropy[i], TopKEntropy: v.topk[i], TopKMass: v.mass[i]}).Conflict(m.est, m.k, m.cuts) {
			w[i] = 0
		}
	}
}

// annotatedMask is a mask with the annotation's cuts.
type annotatedMask struct {
	weigher
	m *mask
}

func (a annotatedMask) annotate(in *inputs, _ []*row) { a.m.cuts = in.cuts }

// offline weighs by what the base annotation says instead of the model in training.
type offline struct{ weigher }

func (o offline) weigh(w []float64, r *row, _ live) {
	b := r.base
	o.weigher.weigh(w, r, live{logp: b.logp, entropy: b.entropy, topk: b.topk, mass: b.mass})
}

// talr is Token-Adaptive Loss Reweighting (arXiv:2509.20758); its temperature is
// the median of the mean losses of the step's rows.
type talr struct{ tau float64 }

func (t *talr) survey(means []float64) { t.tau = eaft.Median(means) }

func (t *talr) weigh(w []float64, _ *row, v live) {
	for i := range w {
		w[i] = eaft.TALRWeight(float64(v.logp[i]), t.tau)
	}
}

// flow is FLOW (arXiv:2502.02797): all targets of a row have the weight that its
// loss under the base model gives it; the temperature is the dataset's.
type flow struct{ tau float64 }

func (f *flow) annotate(_ *inputs, rows []*row) {
	means := make([]float64, len(rows))
	for i, r := range rows {
		means[i] = meanLoss(r.base.logp)
	}
	f.tau = eaft.Median(means)
}

func (f *flow) weigh(w []float64, r *row, _ live) {
	x := eaft.FLOWWeight(meanLoss(r.base.logp), f.tau)
	for i := range w {
		w[i] = x
	}
}

// meanLoss is the mean of -logp over a row's targets.
func meanLoss(logp []float32) float64 {
	var sum float64
	for _, l := range logp {
		sum -= float64(l)
	}
	return sum / float64(len(logp))
}

// annotate hands the base annotation to a weigher that takes it whole.
func (t *trainer) annotate(in *inputs, rows []*row) {
	if a, ok := t.weigher.(annotated); ok {
		a.annotate(in, rows)
	}
}

// survey scores all rows of a step for a weigher that has to know them first.
// The scores are bit for bit those that accumulate sees, however it packs rows.
func (t *trainer) survey(ctx context.Context, s step, n int) error {
	x, ok := t.weigher.(surveyor)
	if !ok {
		return nil
	}
	var means []float64
	for _, rows := range micro(s.rows, t.limit) {
		if err := ctx.Err(); err != nil {
			return err
		}
		b, at := t.pack(n, rows)
		st, err := t.m.Score(b, at, t.o.K)
		if err != nil {
			return fmt.Errorf("step %d: %w", n, err)
		}
		i := 0
		for _, r := range rows {
			j := i + len(r.pos)
			means = append(means, meanLoss(st.LogProb[i:j]))
			i = j
		}
	}
	x.survey(means)
	return nil
}

// pack is pack with the dropout of step n.
func (t *trainer) pack(n int, rows []*row) (model.Batch, []int32) {
	b, at := pack(rows)
	for _, r := range rows {
		b.DropKeys = append(b.DropKeys, dropKey(t.o.Seed, n, r))
	}
	return b, at
}

// pack is rows behind each other, and the flat positions of their targets.
func pack(rows []*row) (model.Batch, []int32) {
	b := model.Batch{CuSeqlens: []int32{0}}
	var at []int32
	for _, r := range rows {
		start := int32(len(b.IDs))
		for _, p := range r.pos {
			at = append(at, start+p)
		}
		b.IDs = append(b.IDs, r.ids...)
		b.CuSeqlens = append(b.CuSeqlens, int32(len(b.IDs)))
	}
	return b, at
}

// rescales reports whether a step's gradient gets a factor that is known only
// after its last micro-batch: whatever is added to the gradient gets it too.
func (o *Options) rescales() bool { return o.Loss == LossMiLe || o.Normalize == NormalizeWeights }

// rescale is the factor that the gradient and the loss of a step get after its
// last micro-batch: MiLe's 1/mean, and what makes the sum of weights the
// denominator. targets and weights are the step's.
func (o *Options) rescale(targets, weights float64) (float64, error) {
	if !o.rescales() {
		return 1, nil
	}
	if weights == 0 {
		return 0, fmt.Errorf("the weights of all %v targets are 0, so that --normalize weights has nothing to divide by", targets)
	}
	return targets / weights, nil
}
