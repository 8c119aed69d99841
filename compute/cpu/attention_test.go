package cpu

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"eaft/compute"
)

// attentionRun holds inputs, gradients and results of one description.
type attentionRun[F real] struct {
	q, k, v, do        *matrix[F]
	o, lse, dq, dk, dv *matrix[F]
	e                  *engine[F]
	compute.Attention
}

func (r *attentionRun[F]) forward() {
	r.o, r.lse = zeros[F](r.q.rows, r.q.cols), zeros[F](r.q.rows, r.Heads)
	r.e.Attention(r.o, r.lse, r.q, r.k, r.v, r.Attention)
}

func (r *attentionRun[F]) backward() {
	r.dq, r.dk, r.dv = newMat[F](rand.New(rand.NewPCG(1, 2)), r.q.rows, r.q.cols), zeros[F](r.k.rows, r.k.cols), zeros[F](r.k.rows, r.k.cols)
	r.e.AttentionBackward(r.dq, r.dk, r.dv, r.do, r.o, r.lse, r.q, r.k, r.v, r.Attention)
}

func double(m *matrix[float32]) *matrix[float64] {
	x := zeros[float64](m.rows, m.cols)
	for i, v := range m.data {
		x.data[i] = float64(v)
	}
	return x
}

// Against the float64 engine, whose gradients finite differences check, on the
// same (in BF16: rounded) operands. An output is a sum of p v: rounding p to
// bfloat16 moves it by at most 2^-8 sum p|v|, and likewise for the gradients with
// their own sums. In float32 the scores' error, d u sum|q k| scale with d = 80,
// u = 2^-24 and |q k| <= 16, is below 2e-5; it and the sums over 230 keys, 230 u,
// move p and the sums by less than 1e-4 of the same sums of absolute values.
func TestAttentionAgainstFloat64(t *testing.T) {
	eachISA(t, func(t *testing.T, ker *kernels[float32]) {
		for _, dtype := range []compute.DType{compute.F32, compute.BF16} {
			for _, d := range []int{24, 64, 80} {
				for _, window := range []int{0, 37} {
					name := fmt.Sprintf("%v, head of %d, window %d", dtype, d, window)
					g := rand.New(rand.NewPCG(9, uint64(d)))
					const n = 230
					r := attentionRun[float32]{e: newEngine(ker, 2), Attention: compute.Attention{
						Heads: 4, KVHeads: 2, HeadDim: d, CuSeqlens: []int32{0, 61, 62, n}, Window: window, Scale: 0.2, DType: dtype}}
					r.q, r.k, r.v, r.do = newMat[float32](g, n, 4*d), newMat[float32](g, n, 2*d), newMat[float32](g, n, 2*d), newMat[float32](g, n, 4*d)
					w := attentionRun[float64]{e: f64(), Attention: r.Attention, q: double(r.q), k: double(r.k), v: double(r.v), do: double(r.do)}
					w.DType = compute.F32
					tol := 1e-4
					if dtype == compute.BF16 {
						tol += 0x1p-8
						w.q, w.k, w.v, w.do = double(rounded(r.q)), double(rounded(r.k)), double(rounded(r.v)), double(rounded(r.do))
					}
					r.forward()
					w.forward()
					size := attentionSizes(&w)
					near(t, name+": out", r.o, w.o, size.o, tol)
					r.backward()
					w.backward()
					near(t, name+": dq", r.dq, w.dq, size.dq, 2*tol) // p and dP each
					near(t, name+": dk", r.dk, w.dk, size.dk, 2*tol)
					near(t, name+": dv", r.dv, w.dv, size.dv, tol)
				}
			}
		}
	})
}

func near(t *testing.T, name string, got *matrix[float32], want, size *matrix[float64], tol float64) {
	t.Helper()
	for i, v := range got.data {
		if d := math.Abs(float64(v) - want.data[i]); !(d <= tol*size.data[i]+1e-7) {
			t.Fatalf("%s[%d,%d] = %g, want %g within %g", name, i/got.cols, i%got.cols, v, want.data[i], tol*size.data[i])
		}
	}
}

// attentionSizes are the sums of absolute values behind w's results.
func attentionSizes(w *attentionRun[float64]) attentionRun[float64] {
	s := attentionRun[float64]{o: zeros[float64](w.q.rows, w.q.cols), dq: zeros[float64](w.q.rows, w.q.cols),
		dk: zeros[float64](w.k.rows, w.k.cols), dv: zeros[float64](w.k.rows, w.k.cols)}
	d, scale := w.HeadDim, float64(w.Scale)
	for r := range len(w.CuSeqlens) - 1 {
		lo, hi := int(w.CuSeqlens[r]), int(w.CuSeqlens[r+1])
		for h := range w.Heads {
			g := h / (w.Heads / w.KVHeads)
			head := func(m *matrix[float64], i, h int) []float64 { return m.row(i)[h*d:][:d] }
			for i := lo; i < hi; i++ {
				var delta float64
				for c, x := range head(w.do, i, h) {
					delta += math.Abs(x * head(w.o, i, h)[c])
				}
				for j := lo; j <= i; j++ {
					if w.Window > 0 && i-j >= w.Window {
						continue
					}
					var x, dp float64
					for c := range d {
						x += head(w.q, i, h)[c] * head(w.k, j, g)[c]
						dp += math.Abs(head(w.do, i, h)[c] * head(w.v, j, g)[c])
					}
					p := math.Exp(scale*x - w.lse.row(i)[h])
					for c := range d {
						head(s.o, i, h)[c] += p * math.Abs(head(w.v, j, g)[c])
						head(s.dv, j, g)[c] += p * math.Abs(head(w.do, i, h)[c])
						head(s.dq, i, h)[c] += scale * p * (dp + delta) * math.Abs(head(w.k, j, g)[c])
						head(s.dk, j, g)[c] += scale * p * (dp + delta) * math.Abs(head(w.q, i, h)[c])
					}
				}
			}
		}
	}
	return s
}

// Whatever the threads, the rows beside, the queries asked, and the prefix
// shared: the same bits. A bfloat16 output is the rounded one.
func TestAttentionInvariance(t *testing.T) {
	eachISA(t, func(t *testing.T, ker *kernels[float32]) {
		for _, dtype := range []compute.DType{compute.F32, compute.BF16} {
			for _, c := range [][2]int{{24, 0}, {24, 37}, {64, 150}} {
				testAttentionInvariance(t, ker, dtype, c[0], c[1])
			}
		}
	})
}

func testAttentionInvariance(t *testing.T, ker *kernels[float32], dtype compute.DType, d, window int) {
	g := rand.New(rand.NewPCG(9, 1))
	const cut, n = 61, 271
	full := attentionRun[float32]{e: newEngine(ker, 1), Attention: compute.Attention{
		Heads: 4, KVHeads: 2, HeadDim: d, CuSeqlens: []int32{0, cut, n}, Window: window, Scale: 0.2, DType: dtype}}
	full.q, full.k, full.v, full.do = newMat[float32](g, n, 4*d), newMat[float32](g, n, 2*d), newMat[float32](g, n, 2*d), newMat[float32](g, n, 4*d)
	full.forward()
	full.backward()
	check := func(what string, got *matrix[float32], want *matrix[float32], rows []int32) {
		t.Helper()
		for i, r := range rows {
			if !same(got.row(i), want.row(int(r))) {
				t.Fatalf("%v, head of %d, window %d: %s: bits of row %d differ", dtype, d, window, what, r)
			}
		}
	}
	seq := func(lo, hi int32) (s []int32) {
		for ; lo < hi; lo++ {
			s = append(s, lo)
		}
		return s
	}
	part := func(m *matrix[float32], rows []int32) *matrix[float32] {
		x := zeros[float32](len(rows), m.cols)
		for i, r := range rows {
			copy(x.row(i), m.row(int(r)))
		}
		return x
	}
	for _, threads := range []int{2, 3, 7} {
		r := full
		r.e = newEngine(ker, threads)
		r.forward()
		r.backward()
		all := seq(0, n)
		for i, m := range [][2]*matrix[float32]{{r.o, full.o}, {r.lse, full.lse}, {r.dq, full.dq}, {r.dk, full.dk}, {r.dv, full.dv}} {
			check(fmt.Sprintf("%d threads, result %d", threads, i), m[0], m[1], all)
		}
		half := r.e.NewTensor(n, 4*d, compute.BF16)
		r.e.Attention(half, nil, r.q, r.k, r.v, r.Attention)
		wide := zeros[float32](n, 4*d)
		r.e.Read(wide.data, half)
		check("bfloat16 output", wide, rounded(full.o), all)
	}
	second := seq(cut, n)
	alone := full
	alone.CuSeqlens = []int32{0, n - cut}
	alone.q, alone.k, alone.v, alone.do = part(full.q, second), part(full.k, second), part(full.v, second), part(full.do, second)
	alone.forward()
	alone.backward()
	for i, m := range [][2]*matrix[float32]{{alone.o, full.o}, {alone.lse, full.lse}, {alone.dq, full.dq}, {alone.dk, full.dk}, {alone.dv, full.dv}} {
		check(fmt.Sprintf("alone, result %d", i), m[0], m[1], second)
	}
	few := full
	few.e = newEngine(ker, 2)
	few.Queries = nil
	for i := range int32(n) {
		if g.IntN(5) == 0 {
			few.Queries = append(few.Queries, i)
		}
	}
	few.q = part(full.q, few.Queries)
	few.forward()
	check("few queries", few.o, full.o, few.Queries)
	check("few queries, lse", few.lse, full.lse, few.Queries)
	// Gradients of few queries are those of all when the others' are zero.
	zeroed := full
	zeroed.do = zeros[float32](n, 4*d)
	for _, i := range few.Queries {
		copy(zeroed.do.row(int(i)), full.do.row(int(i)))
	}
	zeroed.backward()
	few.do = part(full.do, few.Queries)
	few.backward()
	check("few queries, dq", few.dq, zeroed.dq, few.Queries)

	// The second row's first tokens become a segment that two others continue.
	for _, shared := range []int32{1, 32, 47, 128, 180} {
		tree := full
		tree.e = newEngine(ker, 3)
		rows := append(append(append(seq(cut, cut+shared), seq(0, cut)...), second[shared:]...), second[shared:shared+20]...)
		s := int32(len(second)) - shared
		tree.CuSeqlens = []int32{0, shared, shared + cut, shared + cut + s, shared + cut + s + 20}
		tree.Parent = []int32{-1, -1, 0, 0}
		tree.q, tree.k, tree.v = part(full.q, rows), part(full.k, rows), part(full.v, rows)
		tree.forward()
		check(fmt.Sprintf("%d tokens shared", shared), tree.o, full.o, rows)
	}
}
