// Package bench measures the parts of the passes of a model on a device, and
// holds them against the limits of the machine.
package bench

import (
	"cmp"
	"context"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"

	"eaft/compute"
	"eaft/internal/cli"
	"eaft/internal/machine"
	"eaft/model"
	"eaft/model/weights"
)

// Options of a run.
type Options struct {
	Model       string // as given, for the report
	DType       compute.DType
	Tokens      int  // of a batch
	RowLength   int  // tokens of a row; the last row is what remains
	Passes      int  // of each kind, after one to warm up
	ForwardOnly bool // no training step, and no memory for one
}

// DefaultOptions are the defaults of the command's flags.
func DefaultOptions() Options {
	return Options{Model: "demo", DType: compute.BF16, Tokens: 1024, RowLength: 222, Passes: 5}
}

// maxTokens is far more than shows a machine's speed; memory grows with a batch.
const maxTokens = 1 << 20

// Check reports a value that no run can have.
func (o *Options) Check() error {
	switch {
	case o.Tokens < 2 || o.Tokens > maxTokens:
		return cli.Usagef("--tokens %d: use 2 to %d", o.Tokens, maxTokens)
	case o.RowLength < 2 || o.RowLength > maxTokens:
		return cli.Usagef("--row-length %d: use 2 to %d; the first token of a row has nothing before it", o.RowLength, maxTokens)
	case o.Passes < 1:
		return cli.Usagef("--passes %d: use 1 or more", o.Passes)
	}
	return nil
}

const topK = 20

// Run measures the model of a checkpoint on dev. Its weights matter to nothing
// but their shapes; what the model reads is random.
func Run(ctx context.Context, dev compute.Device, c *weights.Checkpoint, o Options) (*Result, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	spec, err := model.SpecOf(c)
	if err != nil {
		return nil, &cli.Error{Code: cli.ExitUsage, Err: err}
	}
	if spec.MaxPositions > 0 && o.RowLength > spec.MaxPositions {
		return nil, cli.Usagef("--row-length %d: the model takes %d", o.RowLength, spec.MaxPositions)
	}
	p := NewProfile(dev, projectionNames(spec))
	m, err := model.Load(p, c, model.Options{DType: o.DType, Train: !o.ForwardOnly})
	if err != nil {
		return nil, &cli.Error{Code: cli.ExitUsage, Err: err}
	}
	r := &Result{CPU: machine.CPU(), ISA: dev.ISA(), Model: o.Model, DType: o.DType.String(),
		Tokens: o.Tokens, RowLength: o.RowLength, Passes: o.Passes}
	limits(r, dev, o.DType)
	b, targets := batch(o, spec.Vocab)
	r.Rows = len(b.CuSeqlens) - 1
	k := min(topK, spec.Vocab)

	score, err := p.median(ctx, o, func() error {
		_, err := m.Score(b, targets, k)
		return err
	})
	if err != nil {
		return nil, err
	}
	r.Score = score.pass(o.Tokens)
	decode, err := p.decode(ctx, o, k)
	if err != nil {
		return nil, err
	}
	r.Decode = decode.pass(1)
	if !o.ForwardOnly {
		t := newTraining(p, m, b, targets, k)
		train, err := p.median(ctx, o, t.step)
		if err != nil {
			return nil, err
		}
		r.Train = train.pass(o.Tokens)
	}
	limits(r, dev, o.DType)
	r.compare()
	return r, nil
}

// limits keeps the better of the limits measured before and after the passes.
func limits(r *Result, dev compute.Device, dtype compute.DType) {
	l, ok := dev.(compute.Limits)
	if !ok {
		return
	}
	r.Threads = l.Threads()
	instruction, flops := l.Peak(dtype)
	r.Instruction, r.Peak = instruction, max(r.Peak, flops/1e9)
	rate, buffer := l.Bandwidth()
	r.Bandwidth, r.Buffer = max(r.Bandwidth, rate/1e9), buffer
	runtime.GC() // the buffer's memory
}

// batch is rows of random tokens, all but the first of each a target.
func batch(o Options, vocab int) (model.Batch, []int32) {
	rng := rand.New(rand.NewPCG(1, 2))
	b := model.Batch{CuSeqlens: []int32{0}}
	var targets []int32
	for t := range o.Tokens {
		b.IDs = append(b.IDs, int32(rng.IntN(vocab)))
		if t%o.RowLength != 0 {
			targets = append(targets, int32(t))
		}
		if (t+1)%o.RowLength == 0 || t+1 == o.Tokens {
			b.CuSeqlens = append(b.CuSeqlens, int32(t+1))
		}
	}
	return b, targets
}

// sample is one measured pass.
type sample struct {
	seconds float64
	parts   []Part
}

// median runs a pass once to warm up and then o.Passes times, and returns the one
// whose time is the median (of an even number the lower one).
func (p *Profile) median(ctx context.Context, o Options, run func() error) (sample, error) {
	var all []sample
	for i := range o.Passes + 1 {
		if err := ctx.Err(); err != nil {
			return sample{}, err
		}
		p.Take()
		began := time.Now()
		if err := run(); err != nil {
			return sample{}, err
		}
		if s := (sample{time.Since(began).Seconds(), p.Take()}); i > 0 {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b sample) int { return cmp.Compare(a.seconds, b.seconds) })
	return all[(len(all)-1)/2], nil
}

// decode is the products of one token: every weight that the forward pass
// multiplies by, in its order, and nothing between them.
func (p *Profile) decode(ctx context.Context, o Options, k int) (sample, error) {
	type product struct {
		use
		x, dst compute.Tensor
	}
	var ps []product
	var bytes float64
	for _, u := range p.weights {
		q := product{use: u, x: p.NewTensor(1, u.w.K(), compute.F32)}
		x := make([]float32, u.w.K())
		for i := range x {
			x[i] = float32(math.Sin(float64(i)))
		}
		p.Device.Write(q.x, x)
		if !u.head {
			q.dst = p.NewTensor(1, u.w.N(), compute.F32)
		}
		ps = append(ps, q)
		bytes += float64(u.w.N()) * float64(u.w.K()) * size(u.w.DType())
	}
	s, err := p.median(ctx, o, func() error {
		for _, q := range ps {
			if q.head {
				p.HeadStats(q.x, q.w, []int32{0}, k)
			} else {
				p.Linear(q.dst, q.x, q.w, nil, nil)
			}
		}
		return nil
	})
	// Here a product is as fast as its weight can be read.
	flops := 0.0
	for _, part := range s.parts {
		flops += part.Flops
	}
	for i := range s.parts {
		s.parts[i].Bytes, s.parts[i].Flops = bytes*s.parts[i].Flops/flops, 0
	}
	return s, err
}

// training is the state of an optimizer over a model.
type training struct {
	p       *Profile
	m       *model.Model
	b       model.Batch
	targets []int32
	k       int
	params  []model.Param
	m1, m2  []compute.Tensor
	steps   int
}

func newTraining(p *Profile, m *model.Model, b model.Batch, targets []int32, k int) *training {
	t := &training{p: p, m: m, b: b, targets: targets, k: k, params: m.Params()}
	for _, q := range t.params {
		t.m1 = append(t.m1, p.NewTensor(q.Value.Rows(), q.Value.Cols(), compute.F32))
		t.m2 = append(t.m2, p.NewTensor(q.Value.Rows(), q.Value.Cols(), compute.F32))
	}
	return t
}

// Phases of a training step.
const (
	forward  = "forward"
	backward = "backward"
	update   = "update"
)

// step is an optimizer step of one batch.
func (t *training) step() error {
	t.p.Phase(forward)
	defer t.p.Phase("")
	t.steps++
	_, err := t.m.Accumulate(t.b, t.targets, t.k, func(st *compute.HeadStats) []float32 {
		t.p.Phase(backward)
		coef := make([]float32, len(t.targets))
		for i := range coef {
			coef[i] = 1 / float32(len(coef))
		}
		return coef
	})
	if err != nil {
		return err
	}
	t.p.Phase(update)
	var sum float64
	for _, q := range t.params {
		sum += t.p.SumSquares(q.Grad)
	}
	scale := min(1, 1/(math.Sqrt(sum)+1e-6))
	for i, q := range t.params {
		t.p.AdamW(q.Value, q.Grad, t.m1[i], t.m2[i], compute.AdamW{LR: 1e-6, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, GradScale: scale, Step: t.steps, Operand: q.Operand})
	}
	t.m.BeginStep()
	return nil
}
