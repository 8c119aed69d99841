package cpu

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"eaft/compute"
)

// regularCase is a head, a base model of another width, and the regularisers.
type regularCase struct {
	n, d, v, baseD int
	smooth, kl     float64
	x, w, bx, bw   *matrix[float64]
	targets        []int32
	coef           []float64
}

func newRegularCase(n, d, v, baseD int, smooth, kl float64) *regularCase {
	r := rand.New(rand.NewPCG(13, uint64(v)))
	c := &regularCase{n: n, d: d, v: v, baseD: baseD, smooth: smooth, kl: kl,
		x: newMat[float64](r, n, d), w: newMat[float64](r, v, d), bx: newMat[float64](r, n, baseD), bw: newMat[float64](r, v, baseD),
		targets: make([]int32, n), coef: random[float64](r, n)}
	for i := range c.targets {
		c.targets[i] = int32(r.IntN(v))
	}
	c.targets[n-1] = int32(v - 1)
	return c
}

// logProbs is the log-softmax of row i of x w^T.
func logProbs(x, w *matrix[float64], i int) []float64 {
	z := make([]float64, w.rows)
	var sum float64
	for v := range z {
		for c, u := range x.row(i) {
			z[v] += u * w.row(v)[c]
		}
		sum += math.Exp(z[v])
	}
	for v := range z {
		z[v] -= math.Log(sum)
	}
	return z
}

// terms are the definitions, one vocabulary entry after another.
func (c *regularCase) terms() (smooth, kl []float64) {
	for i := range c.n {
		p, q := logProbs(c.x, c.w, i), logProbs(c.bx, c.bw, i)
		s, k := -(1-c.smooth)*p[c.targets[i]], 0.0
		for v := range p {
			s -= c.smooth / float64(c.v) * p[v]
			k += math.Exp(q[v]) * (q[v] - p[v])
		}
		smooth, kl = append(smooth, s), append(kl, k)
	}
	return smooth, kl
}

func (c *regularCase) loss() float64 {
	smooth, kl := c.terms()
	var sum float64
	for i := range c.n {
		sum += c.coef[i]*smooth[i] + c.kl*kl[i]
	}
	return sum
}

// reg is the case's regularisers on an engine of any precision.
func regOf[F real](e *engine[F], c *regularCase, dtype compute.DType) (*headReg[F], compute.Weight) {
	conv := func(m *matrix[float64]) *matrix[F] {
		y := zeros[F](m.rows, m.cols)
		for i, v := range m.data {
			y.data[i] = F(v)
		}
		return y
	}
	r := &headReg[F]{smooth: F(c.smooth), kl: F(c.kl)}
	w := e.WeightOf(conv(c.w), dtype)
	if c.kl > 0 {
		r.x, r.w = conv(c.bx), weightOf[F](e.WeightOf(conv(c.bw), dtype))
		for _, l := range e.headStats(r.x, r.w, c.targets, 1).lse {
			r.lse = append(r.lse, F(l))
		}
	}
	return r, w
}

var regularSettings = [][2]float64{{0.1, 0}, {0, 0.7}, {0.3, 0.2}, {0, 0}}

func TestHeadRegularisersGradient(t *testing.T) {
	e := f64()
	for _, v := range []int{1, 7, 1100} {
		for _, set := range regularSettings {
			c := newRegularCase(3, 4, v, 5, set[0], set[1])
			r, op := regOf(e, c, compute.F32)
			dx, dw := zeros[float64](c.n, c.d), zeros[float64](v, c.d)
			e.headBackward(dx, dw, c.x, false, op, c.targets, e.headStats(c.x, op, c.targets, 1).lse, c.coef, r)
			name := fmt.Sprintf("vocabulary %d, smoothing %g, kl %g: ", v, c.smooth, c.kl)
			checkGrad(t, name+"x", c.x.data, dx.data, c.loss)
			for _, part := range []int{0, len(dw.data) - min(len(dw.data), 60)} {
				hi := min(part+60, len(dw.data))
				checkGrad(t, name+"w", c.w.data[part:hi], dw.data[part:hi], c.loss)
			}
			smooth, kl := c.terms()
			for i := range c.n {
				if c.smooth > 0 && math.Abs(r.smoothLoss(i)-smooth[i]) > 1e-12*(1+math.Abs(smooth[i])) {
					t.Errorf("%starget %d has smoothed loss %g, want %g", name, i, r.smoothLoss(i), smooth[i])
				}
				if c.kl > 0 && math.Abs(r.kls[i]-kl[i]) > 1e-12*(1+kl[i]) {
					t.Errorf("%starget %d has KL %g, want %g", name, i, r.kls[i], kl[i])
				}
			}
		}
	}
}

// The instruction sets against float64 on the same rounded operands. A logit of d
// products errs by 4 sqrt(2d) u s in all likelihood (Higham and Mary 2019), with
// s = sum|x w| below 40 here: less than 1e-4, and so much of itself every p and q;
// exp and the other steps are a few u. Rounding to bfloat16 adds 2^-8. A term of
// the loss moves by no more than the logits do.
func TestHeadRegularisers(t *testing.T) {
	const n, d, v, baseD = 37, 45, 2100, 33
	for _, dtype := range []compute.DType{compute.F32, compute.BF16} {
		for _, set := range regularSettings {
			c := newRegularCase(n, d, v, baseD, set[0], set[1])
			rel := 1e-4
			if dtype == compute.BF16 {
				rel += 0x1p-8
				for _, m := range []*matrix[float64]{c.x, c.w, c.bx, c.bw} {
					roundRow(m.data, m.data)
				}
			}
			e64 := f64()
			r64, op64 := regOf(e64, c, compute.F32)
			wantX, wantW := zeros[float64](n, d), zeros[float64](v, d)
			e64.headBackward(wantX, wantW, c.x, false, op64, c.targets, e64.headStats(c.x, op64, c.targets, 1).lse, c.coef, r64)
			sizeX, sizeW := c.sizes()
			coef := to32(c.coef)
			eachISA(t, func(t *testing.T, ker *kernels[float32]) {
				var first []*matrix[float32]
				var terms compute.HeadTerms
				for _, threads := range []int{1, 2, 3, 7} {
					e := newEngine(ker, threads)
					r, op := regOf(e, c, dtype)
					in := &compute.HeadRegularisers{Smoothing: c.smooth, KL: c.kl}
					if c.kl > 0 {
						in.BaseX, in.BaseW, in.BaseLogSumExp = r.x, r.w, r.lse
					}
					x, dx, dw := zeros[float32](n, d), zeros[float32](n, d), zeros[float32](v, d)
					copy(x.data, to32(c.x.data))
					lse := e.HeadStats(x, op, c.targets, 1).LogSumExp
					got := e.HeadBackward(dx, dw, x, false, op, c.targets, lse, coef, in)
					if first == nil {
						first, terms = []*matrix[float32]{dx, dw}, got
						near(t, "dx", dx, wantX, sizeX, rel)
						near(t, "dw", dw, wantW, sizeW, rel)
						c.checkTerms(t, got, r64)
					}
					if !same(dx.data, first[0].data) || !same(dw.data, first[1].data) || !same(got.SmoothLoss, terms.SmoothLoss) || !same(got.KL, terms.KL) {
						t.Fatalf("%v, %v: bits depend on threads: %d", dtype, set, threads)
					}
					// The last rows alone.
					const from = 5
					if c.kl > 0 {
						in.BaseX, in.BaseLogSumExp = r.x.Slice(from, n), r.lse[from:]
					}
					few := zeros[float32](n-from, d)
					got = e.HeadBackward(few, zeros[float32](v, d), x.Slice(from, n), false, op, c.targets[from:], lse[from:], coef[from:], in)
					if !same(few.data, dx.data[from*d:]) || c.smooth > 0 && !same(got.SmoothLoss, terms.SmoothLoss[from:]) || c.kl > 0 && !same(got.KL, terms.KL[from:]) {
						t.Fatalf("%v, %v: bits depend on the rows beside", dtype, set)
					}
				}
			})
		}
	}
}

// sizes are the sums of absolute values of the parts of dx and dw.
func (c *regularCase) sizes() (x, w *matrix[float64]) {
	x, w = zeros[float64](c.n, c.d), zeros[float64](c.v, c.d)
	for i := range c.n {
		p, q := logProbs(c.x, c.w, i), logProbs(c.bx, c.bw, i)
		for v := range c.v {
			g := math.Abs(c.coef[i])*(math.Exp(p[v])+c.smooth/float64(c.v)) + c.kl*(math.Exp(p[v])+math.Exp(q[v]))
			if int(c.targets[i]) == v {
				g += math.Abs(c.coef[i])
			}
			for k := range c.d {
				x.row(i)[k] += g * math.Abs(c.w.row(v)[k])
				w.row(v)[k] += g * math.Abs(c.x.row(i)[k])
			}
		}
	}
	return x, w
}

func (c *regularCase) checkTerms(t *testing.T, got compute.HeadTerms, want *headReg[float64]) {
	t.Helper()
	if (got.SmoothLoss == nil) != (c.smooth == 0) || (got.KL == nil) != (c.kl == 0) {
		t.Errorf("smoothing %g, kl %g: %d smoothed losses, %d KLs", c.smooth, c.kl, len(got.SmoothLoss), len(got.KL))
	}
	for i, s := range got.SmoothLoss {
		if w := want.smoothLoss(i); !(math.Abs(float64(s)-w) <= 1e-4*(1+w)) {
			t.Errorf("target %d: smoothed loss %g, want %g", i, s, w)
		}
	}
	for i, k := range got.KL {
		if w := want.kls[i]; !(math.Abs(float64(k)-w) <= 1e-4*(1+w)) {
			t.Errorf("target %d: KL %g, want %g", i, k, w)
		}
	}
}

// Against itself a model has KL 0 and the gradient that it has without.
func TestKLToItself(t *testing.T) {
	const n, d, v = 9, 40, 1500
	r := rand.New(rand.NewPCG(14, 1))
	x, m := newMat[float32](r, n, d), newMat[float32](r, v, d)
	targets, coef := make([]int32, n), random[float32](r, n)
	eachISA(t, func(t *testing.T, ker *kernels[float32]) {
		for _, dtype := range []compute.DType{compute.F32, compute.BF16} {
			e := newEngine(ker, 2)
			w := e.WeightOf(m, dtype)
			lse := e.HeadStats(x, w, targets, 1).LogSumExp
			var dx, dw [2]*matrix[float32]
			for i, reg := range []*compute.HeadRegularisers{nil, {KL: 0.5, BaseX: x, BaseW: w, BaseLogSumExp: lse}} {
				dx[i], dw[i] = zeros[float32](n, d), zeros[float32](v, d)
				for j, k := range e.HeadBackward(dx[i], dw[i], x, false, w, targets, lse, coef, reg).KL {
					if k != 0 {
						t.Errorf("%v: target %d has KL %g", dtype, j, k)
					}
				}
			}
			if !same(dx[0].data, dx[1].data) || !same(dw[0].data, dw[1].data) {
				t.Errorf("%v: the gradient differs", dtype)
			}
		}
	})
}
