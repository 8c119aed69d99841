package cpu

import (
	"math"
	"math/rand/v2"
	"testing"

	"eaft/compute"
)

// f64 is the same code in float64, on two threads.
func f64() *engine[float64] { return newEngine(portable[float64](), 2) }

func random[F real](r *rand.Rand, n int) []F {
	x := make([]F, n)
	for i := range x {
		x[i] = F(float32(r.NormFloat64()))
	}
	return x
}

func newMat[F real](r *rand.Rand, rows, cols int) *matrix[F] {
	return dense(rows, cols, random[F](r, rows*cols))
}

func zeros[F real](rows, cols int) *matrix[F] { return dense(rows, cols, make([]F, rows*cols)) }

// checkGrad compares grad with central differences of loss in x. With a step of
// 1e-5 the truncation is about 1e-10 of the third derivative and the rounding
// 1e-16/1e-5 of the loss, so 1e-6 of the scale is far above both.
func checkGrad(t *testing.T, name string, x, grad []float64, loss func() float64) {
	t.Helper()
	const h = 1e-5
	for i := range x {
		old := x[i]
		x[i] = old + h
		up := loss()
		x[i] = old - h
		down := loss()
		x[i] = old
		want := (up - down) / (2 * h)
		if d := math.Abs(grad[i] - want); !(d <= 1e-6*(1+math.Abs(want))) {
			t.Fatalf("%s[%d]: gradient %g, differences give %g", name, i, grad[i], want)
		}
	}
}

// weighted is a loss with gradient dy in y.
func weighted(y, dy []float64) float64 {
	var s float64
	for i, v := range y {
		s += v * dy[i]
	}
	return s
}

func TestLinearGradient(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	e := f64()
	for _, s := range [][3]int{{1, 1, 1}, {3, 5, 7}, {5, 9, 4}, {4, 1, 33}} {
		x, w, b := newMat[float64](r, s[0], s[2]), newMat[float64](r, s[1], s[2]), newMat[float64](r, 1, s[1])
		y, dy := zeros[float64](s[0], s[1]), newMat[float64](r, s[0], s[1])
		op := e.WeightOf(w, compute.F32)
		loss := func() float64 { e.Linear(y, x, op, b, nil); return weighted(y.data, dy.data) }
		dx, dw, db := zeros[float64](s[0], s[2]), zeros[float64](s[1], s[2]), zeros[float64](1, s[1])
		e.LinearBackward(dx, x, false, compute.Projection{W: op, DY: dy, DW: dw, DBias: db})
		checkGrad(t, "x", x.data, dx.data, loss)
		checkGrad(t, "w", w.data, dw.data, loss)
		checkGrad(t, "bias", b.data, db.data, loss)
	}
}

func TestRMSNormGradient(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 1))
	e := f64()
	for _, s := range [][3]int{{1, 1, 1}, {3, 1, 7}, {4, 3, 5}} { // rows, groups, columns of a group
		x, w := newMat[float64](r, s[0], s[1]*s[2]), newMat[float64](r, 1, s[2])
		y, dy, rstd := zeros[float64](x.rows, x.cols), newMat[float64](r, x.rows, x.cols), zeros[float64](s[0], s[1])
		loss := func() float64 { e.RMSNorm(y, rstd, x, w, 1e-3); return weighted(y.data, dy.data) }
		loss()
		start := newMat[float64](r, x.rows, x.cols)
		dx, dw := zeros[float64](x.rows, x.cols), zeros[float64](1, s[2])
		copy(dx.data, start.data)
		e.RMSNormBackward(dx, dw, dy, x, rstd, w, true)
		for i := range dx.data {
			dx.data[i] -= start.data[i]
		}
		checkGrad(t, "x", x.data, dx.data, loss)
		checkGrad(t, "w", w.data, dw.data, loss)
		loss()
		over := zeros[float64](x.rows, x.cols) // dx in dy's place
		copy(over.data, dy.data)
		e.RMSNormBackward(over, zeros[float64](1, s[2]), over, x, rstd, w, false)
		for i, v := range over.data {
			if math.Abs(v-dx.data[i]) > 1e-12 {
				t.Fatalf("dx over dy: [%d] %g, want %g", i, v, dx.data[i])
			}
		}
	}
}

func TestRoPEGradient(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 1))
	e := f64()
	x, dy := newMat[float64](r, 4, 2*6), newMat[float64](r, 4, 2*6)
	cos, sin := newMat[float64](r, 9, 3), newMat[float64](r, 9, 3)
	pos := []int32{3, 0, 8, 3}
	loss := func() float64 {
		y := dense(4, 12, append([]float64(nil), x.data...))
		e.RoPE(y, y, cos, sin, pos, false)
		return weighted(y.data, dy.data)
	}
	dx := dense(4, 12, append([]float64(nil), dy.data...))
	e.RoPE(dx, dx, cos, sin, pos, true)
	checkGrad(t, "x", x.data, dx.data, loss)
}

func TestGatedGradient(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 1))
	e := f64()
	for _, s := range [][3]int{{1, 1, 1}, {3, 11, 5}, {5, 4, 9}} { // tokens, factors, hidden
		T, f, d := s[0], s[1], s[2]
		x, gate, up, down := newMat[float64](r, T, d), newMat[float64](r, f, d), newMat[float64](r, f, d), newMat[float64](r, d, f)
		gb, ub, db := newMat[float64](r, 1, f), newMat[float64](r, 1, f), newMat[float64](r, 1, d)
		ops := [3]compute.Weight{e.WeightOf(gate, compute.F32), e.WeightOf(up, compute.F32), e.WeightOf(down, compute.F32)}
		g, u, act, y, dy := zeros[float64](T, f), zeros[float64](T, f), zeros[float64](T, f), zeros[float64](T, d), newMat[float64](r, T, d)
		loss := func() float64 {
			e.GatedLinear(act, g, u, x, ops[0], ops[1], gb, ub)
			e.Linear(y, act, ops[2], db, nil)
			return weighted(y.data, dy.data)
		}
		loss()
		dg, du, dx := zeros[float64](T, f), zeros[float64](T, f), zeros[float64](T, d)
		dGate, dUp, dDown := zeros[float64](f, d), zeros[float64](f, d), zeros[float64](d, f)
		dgb, dub, ddb := zeros[float64](1, f), zeros[float64](1, f), zeros[float64](1, d)
		e.GatedBackward(dg, du, g, u, compute.Projection{W: ops[2], DY: dy, DW: dDown, DBias: ddb})
		e.LinearBackward(dx, x, false, compute.Projection{W: ops[0], DY: dg, DW: dGate, DBias: dgb}, compute.Projection{W: ops[1], DY: du, DW: dUp, DBias: dub})
		for _, c := range []struct {
			name string
			x, d *matrix[float64]
		}{{"x", x, dx}, {"gate", gate, dGate}, {"up", up, dUp}, {"down", down, dDown}, {"gate's bias", gb, dgb}, {"up's bias", ub, dub}, {"down's bias", db, ddb}} {
			checkGrad(t, c.name, c.x.data, c.d.data, loss)
		}
		e.GatedBackward(g, u, g, u, compute.Projection{W: ops[2], DY: dy, DW: dDown})
		for i := range dg.data {
			if g.data[i] != dg.data[i] || u.data[i] != du.data[i] {
				t.Fatalf("gradients in the factors' place differ at %d", i)
			}
		}
	}
}

var attentionCases = []compute.Attention{
	{Heads: 1, KVHeads: 1, HeadDim: 2, CuSeqlens: []int32{0, 1}},
	{Heads: 4, KVHeads: 2, HeadDim: 6, CuSeqlens: []int32{0, 3, 3, 14}},
	{Heads: 3, KVHeads: 1, HeadDim: 4, CuSeqlens: []int32{0, 9, 20}, Window: 4},
	{Heads: 2, KVHeads: 2, HeadDim: 3, CuSeqlens: []int32{0, 5, 75}, Window: 66},
	{Heads: 2, KVHeads: 1, HeadDim: 5, CuSeqlens: []int32{0, 70}, Window: 3},
}

func TestAttentionGradient(t *testing.T) {
	e := f64()
	for _, a := range attentionCases {
		r := rand.New(rand.NewPCG(5, 1))
		a.Scale = 0.7
		n := int(a.CuSeqlens[len(a.CuSeqlens)-1])
		q, k, v := newMat[float64](r, n, a.Heads*a.HeadDim), newMat[float64](r, n, a.KVHeads*a.HeadDim), newMat[float64](r, n, a.KVHeads*a.HeadDim)
		o, do, lse := zeros[float64](n, q.cols), newMat[float64](r, n, q.cols), zeros[float64](n, a.Heads)
		loss := func() float64 { e.Attention(o, lse, q, k, v, a); return weighted(o.data, do.data) }
		loss()
		want := naiveAttention(q, k, v, a)
		for i, x := range o.data {
			if math.Abs(x-want[i]) > 1e-12 {
				t.Fatalf("%+v: out[%d] = %g, want %g", a, i, x, want[i])
			}
		}
		dq, dk, dv := newMat[float64](r, n, q.cols), newMat[float64](r, n, k.cols), newMat[float64](r, n, k.cols)
		e.AttentionBackward(dq, dk, dv, do, o, lse, q, k, v, a)
		checkGrad(t, "q", q.data, dq.data, loss)
		checkGrad(t, "k", k.data, dk.data, loss)
		checkGrad(t, "v", v.data, dv.data, loss)
	}
}

// naiveAttention is the definition, key by key.
func naiveAttention[F real](q, k, v *matrix[F], a compute.Attention) []float64 {
	out := make([]float64, len(q.data))
	d := a.HeadDim
	for r := range len(a.CuSeqlens) - 1 {
		lo, hi := int(a.CuSeqlens[r]), int(a.CuSeqlens[r+1])
		for i := lo; i < hi; i++ {
			for h := range a.Heads {
				g := h / (a.Heads / a.KVHeads)
				var sum float64
				acc := make([]float64, d)
				for j := lo; j <= i; j++ {
					if a.Window > 0 && i-j >= a.Window {
						continue
					}
					var s float64
					for c := range d {
						s += float64(q.row(i)[h*d+c]) * float64(k.row(j)[g*d+c])
					}
					p := math.Exp(s * float64(a.Scale))
					sum += p
					for c := range d {
						acc[c] += p * float64(v.row(j)[g*d+c])
					}
				}
				for c := range d {
					out[i*q.cols+h*d+c] = acc[c] / sum
				}
			}
		}
	}
	return out
}

func TestHeadGradient(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 1))
	e := f64()
	for _, v := range []int{1, 7, 700} {
		n, d := 3, 4
		x, w := newMat[float64](r, n, d), newMat[float64](r, v, d)
		targets, coef := make([]int32, n), random[float64](r, n)
		for i := range targets {
			targets[i] = int32(r.IntN(v))
		}
		op := e.WeightOf(w, compute.F32)
		loss := func() float64 { return -weighted(e.headStats(x, op, targets, 5).logProb, coef) }
		dx, dw := newMat[float64](r, n, d), zeros[float64](v, d)
		e.HeadBackward(dx, dw, x, false, op, targets, e.headStats(x, op, targets, 5).lse, coef, nil)
		checkGrad(t, "x", x.data, dx.data, loss)
		checkGrad(t, "w", w.data[:min(len(w.data), 200)], dw.data, loss)
	}
}

func TestEmbedGradient(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 1))
	e := f64()
	table, ids := newMat[float64](r, 5, 3), []int32{4, 0, 4, 2}
	y, dy, dt := zeros[float64](4, 3), newMat[float64](r, 4, 3), zeros[float64](5, 3)
	e.EmbedBackward(dt, dy, ids)
	checkGrad(t, "table", table.data, dt.data, func() float64 {
		e.Embed(y, e.WeightOf(table, compute.F32), ids)
		return weighted(y.data, dy.data)
	})
}
