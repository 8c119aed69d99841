package model

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"eaft/compute"
)

// LoRA describes low-rank adapters (Hu et al. 2021): a projection's
// y = x W^T gains Alpha/Rank (drop(x) A^T) B^T with A [Rank, K] and B [N, Rank],
// and W stays as it is. Names, initial values and scale are PEFT's.
type LoRA struct {
	Rank    int
	Alpha   float64
	Dropout float64  // probability that an element of x is 0 for an adapter, in training
	Targets []string // names of projections, such as q_proj
	Seed    uint64   // of A's initial values; B begins at 0
}

// AllLinear are the projections that PEFT's "all-linear" means.
var AllLinear = []string{"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}

// MaxRank bounds LoRA.Rank.
const MaxRank = 1 << 12

// Check reports values that no adapter can have.
func (l *LoRA) Check() error {
	switch {
	case l.Rank < 1 || l.Rank > MaxRank:
		return fmt.Errorf("the rank is %d; it must lie between 1 and %d", l.Rank, MaxRank)
	case !(l.Alpha > 0) || math.IsInf(l.Alpha, 0):
		return fmt.Errorf("alpha is %v; it must be a number above 0", l.Alpha)
	case !(l.Dropout >= 0 && l.Dropout < 1):
		return fmt.Errorf("the dropout is %v; it must be a share from 0 to below 1", l.Dropout)
	case len(l.Targets) == 0:
		return errors.New("no projection is named")
	}
	for _, t := range l.Targets {
		if !slices.Contains(AllLinear, t) {
			return fmt.Errorf("%q is not a projection that can have an adapter: use some of %s", t, strings.Join(AllLinear, ", "))
		}
	}
	return nil
}

// scale multiplies what an adapter adds.
func (l *LoRA) scale() float32 { return float32(l.Alpha / float64(l.Rank)) }

// adapter is what a projection has beside its weight.
type adapter struct {
	a, b    *weight // [Rank, K] and [N, Rank], trained
	salt    uint64  // tells the dropout of one projection from another's
	scale   float32
	dropout float64
}

// adapterPrefix begins the names of PEFT's adapter weights.
const adapterPrefix = "base_model.model."

// targets says whether a weight is of a projection that has an adapter.
func (l *LoRA) targets(t tensorSpec) bool {
	path, ok := strings.CutSuffix(t.name, ".weight")
	return ok && slices.Contains(l.Targets, path[strings.LastIndexByte(path, '.')+1:])
}

// tensors are A and B of a weight, by their names in PEFT.
func (l *LoRA) tensors(name string, rows, cols int) (a, b tensorSpec) {
	path := adapterPrefix + strings.TrimSuffix(name, "weight")
	return tensorSpec{path + "lora_A.weight", matrix, l.Rank, cols}, tensorSpec{path + "lora_B.weight", matrix, rows, l.Rank}
}

// AddLoRA gives a model that was loaded for scoring new adapters, which alone are
// trained: no other weight has a gradient or changes.
func (m *Model) AddLoRA(l LoRA) error {
	if err := l.Check(); err != nil {
		return fmt.Errorf("LoRA: %w", err)
	}
	return m.addAdapters(l, true, func(t tensorSpec, row int, dst []float32) error {
		if strings.HasSuffix(t.name, ".lora_A.weight") {
			kaimingRow(l.Seed, t, row, dst)
		}
		return nil
	})
}

// kaimingRow draws a row of A from a stream of its own: uniform in ±1/sqrt(K), as
// torch.nn.init.kaiming_uniform_ with a = sqrt(5).
func kaimingRow(seed uint64, t tensorSpec, row int, dst []float32) {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s/%d", t.name, row)
	rng := rand.New(rand.NewPCG(seed, h.Sum64()))
	bound := 1 / math.Sqrt(float64(t.cols))
	for i := range dst {
		dst[i] = float32(bound * (2*rng.Float64() - 1))
	}
}

func (m *Model) addAdapters(l LoRA, train bool, fill fillRow) error {
	switch {
	case m.embed.grad != nil:
		return errors.New("LoRA: the model was loaded with gradients for all of its weights")
	case m.lora != nil:
		return errors.New("LoRA: the model has adapters already")
	}
	m.lora = &l
	for i := range m.layers {
		for _, p := range m.layers[i].projections() {
			if !slices.Contains(l.Targets, p.name) {
				continue
			}
			w := p.linear.weight
			a, b := l.tensors(w.name, w.rows, w.cols)
			h := fnv.New64a()
			h.Write([]byte(strings.TrimSuffix(a.name, "lora_A.weight")))
			ad := &adapter{salt: h.Sum64(), scale: l.scale(), dropout: l.Dropout}
			for _, t := range []struct {
				to *(*weight)
				tensorSpec
			}{{&ad.a, a}, {&ad.b, b}} {
				x, err := newWeight(m.dev, t.tensorSpec, Options{DType: m.dtype, Train: true}, fill)
				if err != nil {
					return err
				}
				if !train {
					x.grad = nil
				}
				*t.to = x
				m.adapters = append(m.adapters, x)
			}
			p.linear.adapter = ad
		}
	}
	return nil
}

// projection is a linear with its name.
type projection struct {
	name   string
	linear *linear
}

func (l *layer) projections() []projection {
	return []projection{
		{"q_proj", &l.qProj}, {"k_proj", &l.kProj}, {"v_proj", &l.vProj}, {"o_proj", &l.oProj},
		{"gate_proj", &l.gateProj}, {"up_proj", &l.upProj}, {"down_proj", &l.downProj},
	}
}

// trains says whether Accumulate has gradients to add to.
func (m *Model) trains() bool {
	return m.embed.grad != nil || len(m.adapters) > 0 && m.adapters[0].grad != nil
}

// trainable are the weights that may have a gradient.
func (m *Model) trainable() []*weight {
	if m.lora != nil {
		return m.adapters
	}
	return m.order
}

// dropKeys are the dropout keys of a batch's tokens, from its rows' and the
// tokens' positions; nil without dropout.
func (m *Model) dropKeys(b Batch, pos []int32) []uint64 {
	if m.lora == nil || m.lora.Dropout == 0 || b.DropKeys == nil {
		return nil
	}
	keys := make([]uint64, len(b.IDs))
	for s, key := range b.DropKeys {
		for t := b.CuSeqlens[s]; t < b.CuSeqlens[s+1]; t++ {
			keys[t] = key + uint64(pos[t])*0x9e3779b97f4a7c15
		}
	}
	return keys
}

// dropped is x as the adapter sees it.
func (ad *adapter) dropped(m *Model, x compute.Tensor, keys []uint64) compute.Tensor {
	if keys == nil {
		return x
	}
	d := m.ws.get(fmt.Sprintf("lora.x.%d", x.Cols()), x.Rows(), x.Cols(), m.dtype)
	m.dev.Dropout(d, x, keys, ad.salt, ad.dropout, false)
	return d
}

// inner is scale x A^T [T, Rank] of a dropped x.
func (ad *adapter) inner(m *Model, x compute.Tensor) compute.Tensor {
	u := m.ws.get("lora.u", x.Rows(), ad.a.rows, compute.F32)
	m.dev.Linear(u, x, ad.a.op, nil, nil)
	m.dev.Scale(u, u, ad.scale)
	return u
}

// adapted is linear.forward with the adapter's part.
func (l *linear) adapted(m *Model, dst, x, residual compute.Tensor, keys []uint64) {
	ad := l.adapter
	u := ad.inner(m, ad.dropped(m, x, keys))
	wide := dst
	if dst.DType() != compute.F32 {
		wide = m.ws.get(fmt.Sprintf("lora.y.%d", dst.Cols()), dst.Rows(), dst.Cols(), compute.F32)
	}
	m.dev.Linear(wide, x, l.weight.op, l.bias.tensor(), residual)
	m.dev.Linear(wide, u, ad.b.op, nil, wide)
	if wide != dst {
		m.dev.Scale(dst, wide, 1)
	}
}

// adapterBackward adds to dx [T, K] the gradient by way of the adapter, if there
// is one, and to those of A and B, from dy [T, N] and the projection's x.
func (l *linear) adapterBackward(m *Model, dx, x, dy compute.Tensor, keys []uint64) {
	ad := l.adapter
	if ad == nil {
		return
	}
	x = ad.dropped(m, x, keys)
	u := ad.inner(m, x)
	du := m.ws.get("lora.du", u.Rows(), u.Cols(), compute.F32)
	m.dev.LinearBackward(du, u, false, compute.Projection{W: ad.b.op, DY: dy, DW: ad.b.grad})
	m.dev.Scale(du, du, ad.scale)
	down := compute.Projection{W: ad.a.op, DY: du, DW: ad.a.grad}
	if keys == nil {
		m.dev.LinearBackward(dx, x, true, down)
		return
	}
	d := m.ws.get(fmt.Sprintf("lora.dx.%d", dx.Cols()), dx.Rows(), dx.Cols(), compute.F32)
	m.dev.LinearBackward(d, x, false, down)
	m.dev.Dropout(dx, d, keys, ad.salt, ad.dropout, true)
}

// gatedAdapted is GatedLinear where a factor has an adapter.
func (l *layer) gatedAdapted(m *Model, a *activations, act, hidden compute.Tensor, keys []uint64) {
	factor := func(kept compute.Tensor, name string) compute.Tensor {
		if kept != nil && kept.DType() == compute.F32 {
			return kept
		}
		return m.ws.get("lora."+name, act.Rows(), act.Cols(), compute.F32)
	}
	g, u := factor(a.gate, "gate"), factor(a.up, "up")
	l.gateProj.forward(m, g, hidden, nil, keys)
	l.upProj.forward(m, u, hidden, nil, keys)
	m.dev.Gated(act, g, u)
	for _, f := range []struct{ kept, wide compute.Tensor }{{a.gate, g}, {a.up, u}} {
		if f.kept != nil && f.kept != f.wide {
			m.dev.Scale(f.kept, f.wide, 1)
		}
	}
}

// downBackward is GatedBackward where down has an adapter: the product of the
// factors is what it is applied to.
func (l *layer) downBackward(m *Model, dgate, dup, gate, up, d compute.Tensor, keys []uint64) {
	n, f := gate.Rows(), gate.Cols()
	act := m.ws.get("act", n, f, m.dtype)
	m.dev.Gated(act, gate, up)
	dact := m.ws.get("lora.dact", n, f, compute.F32)
	m.dev.LinearBackward(dact, act, false, l.downProj.gradient(d))
	l.downProj.adapterBackward(m, dact, act, d, keys)
	m.dev.GatedGradient(dgate, dup, dact, gate, up)
}

// outBackward is the backward pass of an o_proj with an adapter.
func (l *layer) outBackward(m *Model, dattn, attn, d compute.Tensor, keys []uint64) {
	wide := dattn
	if dattn.DType() != compute.F32 {
		wide = m.ws.get("lora.dattn", dattn.Rows(), dattn.Cols(), compute.F32)
	}
	m.dev.LinearBackward(wide, attn, false, l.oProj.gradient(d))
	l.oProj.adapterBackward(m, wide, attn, d, keys)
	if wide != dattn {
		m.dev.Scale(dattn, wide, 1)
	}
}
