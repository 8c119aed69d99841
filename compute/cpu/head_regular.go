package cpu

import (
	"fmt"

	"eaft/compute"
)

// headReg is what compute.HeadRegularisers adds to the gradient of n targets, and
// the sums over the vocabulary that its terms are made of.
type headReg[F real] struct {
	smooth, kl F          // E, and the factor of KL(q || p)
	x          *matrix[F] // base model: nil without
	w          *weight[F]
	lse        []F // of the base model

	ones   []F // a tile's width
	share  F   // E/V
	logit  []F // of each target's token, once its tile has passed
	logits []float64
	kls    []float64
	own    []F // log-sum-exp of the model
}

func newHeadReg[F real](r *compute.HeadRegularisers) *headReg[F] {
	g := &headReg[F]{smooth: F(r.Smoothing), kl: F(r.KL)}
	if r.KL > 0 {
		g.x, g.w = mat[F](r.BaseX), weightOf[F](r.BaseW)
		for _, v := range r.BaseLogSumExp {
			g.lse = append(g.lse, F(v))
		}
	}
	return g
}

func (r *headReg[F]) hasBase() bool { return r != nil && r.w != nil }

// begin checks the shapes against the pass that r is part of.
func (r *headReg[F]) begin(h *headGrad[F]) {
	n := len(h.targets)
	if r.smooth > 0 {
		r.share = r.smooth / F(h.w.n)
		r.ones = make([]F, headGradTile)
		for i := range r.ones {
			r.ones[i] = 1
		}
		r.logit, r.logits = make([]F, n), make([]float64, n)
		r.own = h.lse
	}
	if !r.hasBase() {
		return
	}
	r.x.shapeAny("HeadBackward", "the base model's x", n, r.w.k)
	checkOperand("HeadBackward", r.x, r.w)
	if r.w.n != h.w.n || r.w.dtype != h.w.dtype || len(r.lse) != n {
		panic(fmt.Sprintf("cpu: HeadBackward: the base model has %d tokens in %v and %d log-sum-exps, want %d in %v and %d",
			r.w.n, r.w.dtype, len(r.lse), h.w.n, h.w.dtype, n))
	}
	r.kls = make([]float64, n)
}

// gradient is headGrad.gradient: row becomes
//
//	c (p - E/V) + k (p - q), at the target less c (1-E)
//
// with the target's coefficient c and KL's factor k. Which thread does it does not
// matter: a row's tiles come one after another.
func (r *headReg[F]) gradient(h *headGrad[F], row, base []F, i, lo int) {
	k, c := h.e.k, h.coef[i]
	y := int(h.targets[i]) - lo
	here := y >= 0 && y < len(row)
	if r.smooth > 0 {
		r.logits[i] += float64(k.dot(row, r.ones[:len(row)]))
		if here {
			r.logit[i] = row[y]
		}
	}
	lift := F(c * r.share)
	if base == nil {
		k.expSum(row, h.lse[i])
		for j, p := range row {
			row[j] = F(c*p) - lift
		}
	} else {
		ratio := h.e.buf.get(len(row)) // ln(q/p)
		a, b := h.lse[i], r.lse[i]
		for j, z := range row {
			ratio[j] = (base[j] - b) - (z - a)
		}
		// q ln(q/p) - q + p, whose sum is the same, is never below 0, and moves with
		// the square of an error of the log-sum-exps only.
		p, q := k.expSum(row, a), k.expSum(base, b)
		r.kls[i] += float64(k.dot(base, ratio)) + (float64(p) - float64(q))
		h.e.buf.put(ratio)
		for j, p := range row {
			row[j] = F(c*p) - lift + F(r.kl*(p-base[j]))
		}
	}
	if here {
		row[y] -= F(c * (1 - r.smooth))
	}
}

// smoothLoss of target i, after the pass.
func (r *headReg[F]) smoothLoss(i int) float64 {
	e := float64(r.smooth)
	return float64(r.own[i]) - (1-e)*float64(r.logit[i]) - float64(r.share)*r.logits[i]
}

func (r *headReg[F]) terms() (t compute.HeadTerms) {
	for i := range r.logit {
		t.SmoothLoss = append(t.SmoothLoss, float32(r.smoothLoss(i)))
	}
	if r.kls != nil {
		t.KL = to32(r.kls)
	}
	return t
}
