package train

import (
	"context"
	"fmt"
	"math"
	"time"

	"eaft/compute"
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

	SmoothLoss *float64 `json:"smooth_loss,omitempty"` // mean, unweighted; with --label-smoothing
	KL         *float64 `json:"kl,omitempty"`          // mean KL(base || tuned); with --kl
}

// trainer holds the optimizer's state.
type trainer struct {
	dev    compute.Device
	m      *model.Model
	o      *Options
	params []model.Param
	opt    optimizer
	limit  int // tokens of a micro-batch
	reg    *regular
	weigher
	// visit receives a row after its forward pass, with its live values set.
	visit func(s step, n int, r *row, weight []float32) error
}

func newTrainer(dev compute.Device, m *model.Model, o *Options) *trainer {
	t := &trainer{dev: dev, m: m, o: o, params: m.Params(), limit: MicroTokens, weigher: newWeigher(o)}
	t.opt = newOptimizer(dev, t.params, o)
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
	if err := t.survey(ctx, s, n); err != nil {
		return mt, err
	}
	var loss, sft, weights float64
	var seen [][]float32 // weights of each row
	for _, rows := range micro(s.rows, t.limit) {
		if err := ctx.Err(); err != nil {
			return mt, err
		}
		l, c, w, ws, err := t.accumulate(s, n, rows, float64(targets))
		if err != nil {
			return mt, fmt.Errorf("step %d: %w", n, err)
		}
		loss, sft, weights, seen = loss+l, sft+c, weights+w, append(seen, ws...)
	}
	N := float64(targets)
	factor, err := t.o.rescale(N, weights)
	if err != nil {
		return mt, fmt.Errorf("step %d: %w; rows of the step: %s", n, err, names(s.rows))
	}
	if t.o.Loss == LossMiLe { // whose factor is part of its weights
		weights *= factor
		for _, w := range seen {
			for i := range w {
				w[i] = float32(factor * float64(w[i]))
			}
		}
	}
	mt.Loss, mt.SFTLoss, mt.MeanWeight = factor*loss/N, sft/N, weights/N
	t.reg.close(&mt, factor)
	if t.visit != nil {
		for i, r := range s.rows {
			if err := t.visit(s, n, r, seen[i]); err != nil {
				return mt, err
			}
		}
	}
	var sum float64
	for _, p := range t.params {
		sum += t.dev.SumSquares(p.Grad)
	}
	mt.GradNorm = factor * math.Sqrt(sum)
	if !finite(mt.Loss) && n == 1 {
		return mt, fmt.Errorf("step 1: loss %v before any update: the model's weights, or one of the step's rows, make no sense to it; look at %s", mt.Loss, names(s.rows))
	}
	if !finite(mt.Loss) || !finite(mt.GradNorm) {
		return mt, fmt.Errorf("step %d: loss %v, gradient norm %v; rows of the step: %s: look at these rows, or take a smaller --lr and another --out",
			n, mt.Loss, mt.GradNorm, names(s.rows))
	}
	scale := 1.0
	if c := t.o.MaxGradNorm; c > 0 {
		scale = min(1, c/(mt.GradNorm+1e-6)) // as torch.nn.utils.clip_grad_norm_
	}
	for i := range t.params {
		t.opt.update(i, n, lr, scale*factor)
	}
	t.m.BeginStep()
	mt.Rate = float64(mt.Tokens) / max(time.Since(began).Seconds(), 1e-9)
	return mt, nil
}

// accumulate adds the gradients of rows and returns the sums over their targets
// of the loss, of -logprob, and of the weights, and the weights of each row.
// targets is the denominator of the whole optimizer step.
func (t *trainer) accumulate(s step, n int, rows []*row, targets float64) (loss, sft, weights float64, seen [][]float32, err error) {
	b, at := t.pack(n, rows)
	w := make([]float32, len(at))
	st, terms, err := t.m.AccumulateWith(b, at, t.o.K, t.reg.of(s, n, rows), func(st *compute.HeadStats) []float32 {
		exact, coef := make([]float64, len(w)), make([]float32, len(w))
		i := 0
		for _, r := range rows {
			j := i + len(r.pos)
			t.weigh(exact[i:j], r, liveOf(st, i, j))
			if t.o.RowWeights {
				for k := i; k < j; k++ {
					exact[k] *= float64(*r.weight)
				}
			}
			i = j
		}
		for i, x := range exact {
			w[i], coef[i] = float32(x), float32(x/targets)
		}
		return coef
	})
	if err != nil {
		return 0, 0, 0, nil, err
	}
	t.reg.add(terms, len(at))
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
		seen = append(seen, w[i:j:j])
		i = j
	}
	return loss, sft, weights, seen, nil
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
