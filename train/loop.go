package train

import (
	"context"
	"fmt"
	"math"
	"time"

	"eaft/compute"
	"eaft/eaft"
	"eaft/model"
)

// Metrics is a line of metrics.jsonl.
type Metrics struct {
	Step       int     `json:"step"` // from 1
	Loss       float64 `json:"loss"`
	SFTLoss    float64 `json:"sft_loss"`
	MeanWeight float64 `json:"mean_weight"`
	GradNorm   float64 `json:"grad_norm"` // before clipping
	LR         float64 `json:"lr"`
	Tokens     int64   `json:"tokens"`
	Rate       float64 `json:"tokens_per_s"`
}

// trainer holds the optimizer's state.
type trainer struct {
	dev    compute.Device
	m      *model.Model
	o      *Options
	params []model.Param
	m1, m2 []compute.Tensor // first and second moments
	limit  int              // tokens of a micro-batch
	// visit receives a row after its forward pass, with its live values set.
	visit func(s step, n int, r *row, weight []float32) error
}

func newTrainer(dev compute.Device, m *model.Model, o *Options) *trainer {
	t := &trainer{dev: dev, m: m, o: o, params: m.Params(), limit: MicroTokens}
	for _, p := range t.params {
		t.m1 = append(t.m1, dev.NewTensor(p.Value.Rows(), p.Value.Cols(), compute.F32))
		t.m2 = append(t.m2, dev.NewTensor(p.Value.Rows(), p.Value.Cols(), compute.F32))
	}
	return t
}

// step makes optimizer step n (from 1) with the learning rate lr. Between
// micro-batches it gives up when ctx is cancelled.
func (t *trainer) step(ctx context.Context, s step, n int, lr float64) (Metrics, error) {
	began := time.Now()
	mt := Metrics{Step: n, LR: lr}
	targets := 0
	for _, r := range s.rows {
		targets += len(r.pos)
		mt.Tokens += int64(len(r.ids))
	}
	var loss, sft, weights float64
	for _, rows := range micro(s.rows, t.limit) {
		if err := ctx.Err(); err != nil {
			return mt, err
		}
		l, c, w, err := t.accumulate(s, n, rows, float64(targets))
		if err != nil {
			return mt, fmt.Errorf("step %d: %w", n, err)
		}
		loss, sft, weights = loss+l, sft+c, weights+w
	}
	N := float64(targets)
	mt.Loss, mt.SFTLoss, mt.MeanWeight = loss/N, sft/N, weights/N
	var sum float64
	for _, p := range t.params {
		sum += t.dev.SumSquares(p.Grad)
	}
	mt.GradNorm = math.Sqrt(sum)
	if !finite(mt.Loss) || !finite(mt.GradNorm) {
		return mt, fmt.Errorf("step %d: loss %v, gradient norm %v; rows of the step: %s: look at these rows, or take a smaller --lr and another --out",
			n, mt.Loss, mt.GradNorm, names(s.rows))
	}
	scale := 1.0
	if c := t.o.MaxGradNorm; c > 0 {
		scale = min(1, c/(mt.GradNorm+1e-6)) // as torch.nn.utils.clip_grad_norm_
	}
	for i, p := range t.params {
		a := compute.AdamW{LR: lr, Beta1: 0.9, Beta2: 0.999, Eps: t.o.AdamEps, GradScale: scale, Step: n}
		if p.Decay {
			a.WeightDecay = t.o.WeightDecay
		}
		t.dev.AdamW(p.Value, p.Grad, t.m1[i], t.m2[i], a)
	}
	t.m.Refresh()
	t.m.ZeroGrad()
	mt.Rate = float64(mt.Tokens) / max(time.Since(began).Seconds(), 1e-9)
	return mt, nil
}

// accumulate adds the gradients of rows and returns the sums over their targets
// of the loss, of -logprob, and of the weights. targets is the denominator of
// the whole optimizer step.
func (t *trainer) accumulate(s step, n int, rows []*row, targets float64) (loss, sft, weights float64, err error) {
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
	w := make([]float32, len(at))
	st, err := t.m.Accumulate(b, at, t.o.K, func(st *compute.HeadStats) []float32 {
		coef := make([]float32, len(w))
		for i := range w {
			h := 1.0
			if t.o.Loss == LossEAFT {
				h = eaft.GateEntropy(eaft.Renorm, float64(st.TopKEntropy[i]), float64(st.TopKMass[i]), float64(st.Entropy[i]), t.o.K)
			}
			w[i] = float32(h)
			coef[i] = float32(h / targets)
		}
		return coef
	})
	if err != nil {
		return 0, 0, 0, err
	}
	i := 0
	for _, r := range rows {
		j := i + len(r.pos)
		r.logp, r.topk, r.mass = st.LogProb[i:j:j], st.TopKEntropy[i:j:j], st.TopKMass[i:j:j]
		for k := i; k < j; k++ {
			c := -float64(st.LogProb[k])
			loss += float64(w[k]) * c
			sft += c
			weights += float64(w[k])
		}
		if t.visit != nil {
			if err := t.visit(s, n, r, w[i:j]); err != nil {
				return 0, 0, 0, err
			}
		}
		i = j
	}
	return loss, sft, weights, nil
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// names lists the ids of rows, the first few of many.
func names(rows []*row) string {
	const most = 16
	s := ""
	for i, r := range rows {
		if i == most {
			return s + fmt.Sprintf(" and %d more", len(rows)-most)
		}
		if i > 0 {
			s += ", "
		}
		s += r.id
	}
	return s
}
