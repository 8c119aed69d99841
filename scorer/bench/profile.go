package bench

import (
	"time"

	"eaft/compute"
)

// Profile is a device that measures another one's operations. It passes them on
// as they are. Like a model it is for one goroutine.
type Profile struct {
	compute.Device
	name    func(w compute.Weight, add bool) string // of a projection
	phase   string
	parts   map[key]*Part
	order   []*Part
	names   map[compute.Weight]string
	weights []use // of products, in the order of first use
}

// key tells parts apart.
type key struct{ phase, name string }

// use is a weight and what multiplies by it.
type use struct {
	w    compute.Weight
	head bool
}

// NewProfile measures dev. name gives projections their names.
func NewProfile(dev compute.Device, name func(w compute.Weight, add bool) string) *Profile {
	return &Profile{Device: dev, name: name, parts: map[key]*Part{}, names: map[compute.Weight]string{}}
}

// Phase names what follows.
func (p *Profile) Phase(name string) { p.phase = name }

// Take returns the parts since the last call in the order of their first use.
func (p *Profile) Take() []Part {
	parts := make([]Part, len(p.order))
	for i, part := range p.order {
		parts[i] = *part
	}
	p.parts, p.order = map[key]*Part{}, nil
	return parts
}

// timed runs op and books it.
func (p *Profile) timed(name string, c cost, op func()) {
	began := time.Now()
	op()
	spent := time.Since(began)
	k := key{p.phase, name}
	part := p.parts[k]
	if part == nil {
		part = &Part{Phase: p.phase, Name: name}
		p.parts[k] = part
		p.order = append(p.order, part)
	}
	part.Calls++
	part.Seconds += spent.Seconds()
	part.Flops += c.flops
	part.Bytes += c.bytes
}

// product remembers the weight and its name.
func (p *Profile) product(w compute.Weight, head bool, name string) {
	if _, ok := p.names[w]; !ok {
		p.names[w] = name
		p.weights = append(p.weights, use{w, head})
	}
}

func (p *Profile) Zero(dst compute.Tensor) {
	p.timed("clear", moved(dst), func() { p.Device.Zero(dst) })
}

func (p *Profile) GatherRows(dst, src compute.Tensor, rows []int32) {
	p.timed("gather and scatter", moved(dst, dst), func() { p.Device.GatherRows(dst, src, rows) })
}

func (p *Profile) ScatterAddRows(dst, src compute.Tensor, rows []int32) {
	p.timed("gather and scatter", moved(src, src, src), func() { p.Device.ScatterAddRows(dst, src, rows) })
}

func (p *Profile) Refresh(w compute.Weight) {
	elems := float64(w.N()) * float64(w.K())
	c := cost{}
	if w.DType() == compute.BF16 { // a float32 operand is the master itself
		c.bytes = elems * 6
	}
	p.timed("operands from masters", c, func() { p.Device.Refresh(w) })
}

func (p *Profile) Embed(dst compute.Tensor, table compute.Weight, ids []int32) {
	c := moved(dst)
	c.bytes += float64(len(ids)) * float64(table.K()) * size(table.DType())
	p.timed("embed", c, func() { p.Device.Embed(dst, table, ids) })
}

func (p *Profile) EmbedBackward(dTable, dy compute.Tensor, ids []int32) {
	p.timed("embed", moved(dy, dy, dy), func() { p.Device.EmbedBackward(dTable, dy, ids) })
}

func (p *Profile) Linear(dst, x compute.Tensor, w compute.Weight, bias, residual compute.Tensor) {
	name, ok := p.names[w]
	if !ok {
		name = p.name(w, residual != nil)
		p.product(w, false, name)
	}
	p.timed(name, linearCost(x.Rows(), w), func() { p.Device.Linear(dst, x, w, bias, residual) })
}

func (p *Profile) GatedLinear(act, g, u, x compute.Tensor, gate, up compute.Weight, gateBias, upBias compute.Tensor) {
	for _, w := range [2]compute.Weight{gate, up} {
		if _, ok := p.names[w]; !ok {
			p.product(w, false, p.name(w, false))
		}
	}
	c := linearCost(x.Rows(), gate)
	c.flops *= 2
	p.timed("gate, up, SwiGLU", c, func() { p.Device.GatedLinear(act, g, u, x, gate, up, gateBias, upBias) })
}

func (p *Profile) GatedBackward(dg, du, g, u compute.Tensor, down compute.Projection) {
	c := linearCost(g.Rows(), down.W)
	c.flops *= 2
	p.timed(join(p.names[down.W], "SwiGLU"), c, func() { p.Device.GatedBackward(dg, du, g, u, down) })
}

func (p *Profile) LinearBackward(dx, x compute.Tensor, add bool, ps ...compute.Projection) {
	var c cost
	name := ""
	for _, q := range ps {
		n := p.names[q.W]
		if n == "" {
			n = p.name(q.W, false)
		}
		name = join(name, n)
		c.flops += 2 * linearCost(x.Rows(), q.W).flops
	}
	p.timed(name, c, func() { p.Device.LinearBackward(dx, x, add, ps...) })
}

func (p *Profile) RMSNorm(dst, rstd, x, w compute.Tensor, eps float32) {
	p.timed("RMSNorm", moved(dst, x), func() { p.Device.RMSNorm(dst, rstd, x, w, eps) })
}

func (p *Profile) RMSNormBackward(dx, dw, dy, x, rstd, w compute.Tensor, add bool) {
	c := moved(dx, dy, x)
	if add {
		c = moved(dx, dx, dy, x)
	}
	p.timed("RMSNorm's gradient", c, func() { p.Device.RMSNormBackward(dx, dw, dy, x, rstd, w, add) })
}

func (p *Profile) RoPE(dst, x, cos, sin compute.Tensor, pos []int32, inverse bool) {
	p.timed("RoPE", moved(dst, x), func() { p.Device.RoPE(dst, x, cos, sin, pos, inverse) })
}

func (p *Profile) LinearRoPE(dst, x compute.Tensor, w compute.Weight, bias, cos, sin compute.Tensor, pos []int32) {
	name, ok := p.names[w]
	if !ok {
		name = p.name(w, false)
		p.product(w, false, name)
	}
	p.timed(name, linearCost(x.Rows(), w), func() { p.Device.LinearRoPE(dst, x, w, bias, cos, sin, pos) })
}

func (p *Profile) Attention(dst, lse, q, k, v compute.Tensor, a compute.Attention) {
	p.timed("attention", attentionCost(a, 2), func() { p.Device.Attention(dst, lse, q, k, v, a) })
}

func (p *Profile) AttentionBackward(dq, dk, dv, do, out, lse, q, k, v compute.Tensor, a compute.Attention) {
	p.timed("attention's gradient", attentionCost(a, 5), func() { p.Device.AttentionBackward(dq, dk, dv, do, out, lse, q, k, v, a) })
}

func (p *Profile) HeadStats(x compute.Tensor, w compute.Weight, targets []int32, k int) (s *compute.HeadStats) {
	p.product(w, true, headName)
	p.timed(headName, linearCost(x.Rows(), w), func() { s = p.Device.HeadStats(x, w, targets, k) })
	return s
}

func (p *Profile) HeadBackward(dx, dw, x compute.Tensor, set bool, w compute.Weight, targets []int32, lse, coef []float32, r *compute.HeadRegularisers) (t compute.HeadTerms) {
	c := linearCost(x.Rows(), w)
	c.flops *= 3 // the logits again, dx and dw
	if r != nil && r.KL > 0 {
		c.flops += linearCost(x.Rows(), r.BaseW).flops
	}
	p.timed("head's gradient", c, func() { t = p.Device.HeadBackward(dx, dw, x, set, w, targets, lse, coef, r) })
	return t
}

func (p *Profile) SumSquares(x compute.Tensor) (s float64) {
	p.timed("gradient norm", moved(x), func() { s = p.Device.SumSquares(x) })
	return s
}

func (p *Profile) AdamW(w, g, m, v compute.Tensor, step compute.AdamW) {
	c := moved(w, m, v, w, g, m, v)
	if step.Operand != nil && step.Operand.DType() == compute.BF16 { // a float32 operand is the master itself
		c.bytes += float64(w.Rows()) * float64(w.Cols()) * 2
	}
	p.timed("AdamW", c, func() { p.Device.AdamW(w, g, m, v, step) })
}
