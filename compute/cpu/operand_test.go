package cpu

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"eaft/compute"
)

// halfOf is m in bfloat16.
func halfOf(e *engine[float32], m *matrix[float32]) *matrix[float32] {
	h := e.NewTensor(m.rows, m.cols, compute.BF16).(*matrix[float32])
	e.Write(h, m.data)
	return h
}

// inF32 is m in float32.
func inF32(e *engine[float32], m *matrix[float32]) *matrix[float32] {
	if m.half == nil {
		return m
	}
	w := zeros[float32](m.rows, m.cols)
	e.Read(w.data, m)
	return w
}

// sameBits fails where two results, of either dtype, differ.
func sameBits(t *testing.T, e *engine[float32], name string, got, want *matrix[float32]) {
	t.Helper()
	if !same(inF32(e, got).data, inF32(e, want).data) {
		t.Fatalf("%s: other bits", name)
	}
}

// A result in bfloat16 is the one in float32, rounded once; an operand in bfloat16
// gives what its float32 copy gives. So every operation is held to the same
// operation in float32, which other tests hold to an oracle.
func TestHalfTensors(t *testing.T) {
	sizes := [][3]int{{1, 1, 1}, {3, 33, 31}, {15, 70, 64}, {33, 129, 96}, {70, 300, 45}}
	eachISA(t, func(t *testing.T, ker *kernels[float32]) {
		for _, s := range sizes {
			for _, threads := range []int{1, 2, 3, 7} {
				T, n, k := s[0], s[1], s[2]
				r := rand.New(rand.NewPCG(21, uint64(n)))
				e := newEngine(ker, threads)
				x, w, bias, res := newMat[float32](r, T, k), e.WeightOf(newMat[float32](r, n, k), compute.BF16), newMat[float32](r, 1, n), newMat[float32](r, T, n)
				name := fmt.Sprintf("%v, %d threads", s, threads)
				for _, b := range []compute.Tensor{nil, bias} {
					y, yh := zeros[float32](T, n), halfOf(e, zeros[float32](T, n))
					e.Linear(y, x, w, b, nil)
					e.Linear(yh, halfOf(e, x), w, b, nil)
					sameBits(t, e, name+": Linear", yh, halfOf(e, y))
					over := zeros[float32](T, n)
					copy(over.data, res.data)
					e.Linear(over, x, w, b, over)
					e.Linear(y, x, w, b, res)
					sameBits(t, e, name+": Linear with a residual", y, over)
				}
				dy, dw := newMat[float32](r, T, n), zeros[float32](n, k)
				dx, dxh := zeros[float32](T, k), halfOf(e, zeros[float32](T, k))
				e.LinearBackward(dx, x, false, compute.Projection{W: w, DY: dy, DW: dw})
				e.LinearBackward(dxh, x, false, compute.Projection{W: w, DY: halfOf(e, dy), DW: dw})
				sameBits(t, e, name+": LinearBackward", dxh, halfOf(e, dx))
			}
		}
		r := rand.New(rand.NewPCG(22, 1))
		e := newEngine(ker, 2)
		x, cos, sin, pos := newMat[float32](r, 9, 3*26), newMat[float32](r, 7, 13), newMat[float32](r, 7, 13), []int32{0, 6, 2, 2, 1, 5, 0, 3, 4}
		y, yh := zeros[float32](9, 78), halfOf(e, zeros[float32](9, 78))
		e.RoPE(y, x, cos, sin, pos, true)
		e.RoPE(yh, x, cos, sin, pos, true)
		sameBits(t, e, "RoPE", yh, halfOf(e, y))
		e.RoPE(x, x, cos, sin, pos, true)
		sameBits(t, e, "RoPE in place", x, y)
		for _, head := range []int{2, 26, 64, 96} { // whole heads of 32 columns, or not
			in, w, bias := newMat[float32](r, 9, 40), e.WeightOf(newMat[float32](r, 5*head, 40), compute.BF16), newMat[float32](r, 1, 5*head)
			cos, sin := newMat[float32](r, 7, head/2), newMat[float32](r, 7, head/2)
			y, z, zh := zeros[float32](9, 5*head), zeros[float32](9, 5*head), halfOf(e, zeros[float32](9, 5*head))
			e.Linear(y, in, w, bias, nil)
			e.RoPE(y, y, cos, sin, pos, false)
			e.LinearRoPE(z, in, w, bias, cos, sin, pos)
			e.LinearRoPE(zh, in, w, bias, cos, sin, pos)
			sameBits(t, e, fmt.Sprintf("LinearRoPE with heads of %d", head), z, y)
			sameBits(t, e, fmt.Sprintf("LinearRoPE with heads of %d to bf16", head), zh, halfOf(e, y))
		}
	})
}

// GatedLinear and GatedBackward against the operations that they join.
func TestGatedHalf(t *testing.T) {
	sizes := [][3]int{{1, 1, 1}, {3, 31, 33}, {14, 64, 32}, {33, 129, 40}, {300, 260, 70}} // tokens, factors, hidden
	eachISA(t, func(t *testing.T, ker *kernels[float32]) {
		for _, s := range sizes {
			for _, threads := range []int{1, 2, 3, 7} {
				T, f, d := s[0], s[1], s[2]
				name := fmt.Sprintf("%v, %d threads", s, threads)
				r := rand.New(rand.NewPCG(23, uint64(f)))
				e := newEngine(ker, threads)
				op := func(n, k int) compute.Weight { return e.WeightOf(newMat[float32](r, n, k), compute.BF16) }
				half := func(rows, cols int) *matrix[float32] { return halfOf(e, zeros[float32](rows, cols)) }
				gate, up, down, ub := op(f, d), op(f, d), op(d, f), newMat[float32](r, 1, f)
				x, dy := newMat[float32](r, T, d), newMat[float32](r, T, d)
				g, u, act := zeros[float32](T, f), zeros[float32](T, f), zeros[float32](T, f)
				e.Linear(g, x, gate, nil, nil)
				e.Linear(u, x, up, ub, nil)
				for i := range T {
					ker.swiglu(act.row(i), g.row(i), u.row(i))
				}
				gh, uh, ah := half(T, f), half(T, f), half(T, f)
				e.GatedLinear(ah, gh, uh, halfOf(e, x), gate, up, nil, ub)
				sameBits(t, e, name+": act", ah, halfOf(e, act))
				sameBits(t, e, name+": gate", gh, halfOf(e, g))
				sameBits(t, e, name+": up", uh, halfOf(e, u))
				alone := zeros[float32](T, f)
				e.GatedLinear(alone, nil, nil, x, gate, up, nil, ub)
				sameBits(t, e, name+": act alone", alone, act)

				dact, want := zeros[float32](T, f), zeros[float32](d, f)
				e.LinearBackward(dact, act, false, compute.Projection{W: down, DY: dy, DW: want})
				dg, du := zeros[float32](T, f), zeros[float32](T, f)
				gw, uw := inF32(e, gh), inF32(e, uh)
				for i := range T {
					ker.swigluBack(dg.row(i), du.row(i), dact.row(i), gw.row(i), uw.row(i)) // leaves the product
				}
				clear(want.data)
				wantBias, bias := zeros[float32](1, d), zeros[float32](1, d)
				e.LinearBackward(zeros[float32](T, f), halfOf(e, dact), false, compute.Projection{W: down, DY: dy, DW: want, DBias: wantBias})
				dw := zeros[float32](d, f)
				e.GatedBackward(gh, uh, gh, uh, compute.Projection{W: down, DY: dy, DW: dw, DBias: bias})
				sameBits(t, e, name+": gradient of gate", gh, halfOf(e, dg))
				sameBits(t, e, name+": gradient of up", uh, halfOf(e, du))
				sameBits(t, e, name+": gradient of down", dw, want)
				sameBits(t, e, name+": gradient of down's bias", bias, wantBias)
			}
		}
	})
}

func TestAttentionHalfTensors(t *testing.T) {
	eachISA(t, func(t *testing.T, ker *kernels[float32]) {
		for _, d := range []int{24, 64} {
			r := rand.New(rand.NewPCG(24, uint64(d)))
			const n = 150
			var first []*matrix[float32]
			e := newEngine(ker, 2)
			q, k, v, do := newMat[float32](r, n, 4*d), newMat[float32](r, n, 2*d), newMat[float32](r, n, 2*d), rounded(newMat[float32](r, n, 4*d))
			for _, in := range [][4]*matrix[float32]{{q, k, v, do}, {halfOf(e, q), halfOf(e, k), halfOf(e, v), halfOf(e, do)}} {
				a := compute.Attention{Heads: 4, KVHeads: 2, HeadDim: d, CuSeqlens: []int32{0, 20, n}, Scale: 0.2, DType: compute.BF16}
				out, lse := zeros[float32](n, 4*d), zeros[float32](n, 4)
				e.Attention(out, lse, in[0], in[1], in[2], a)
				dq, dk, dv := zeros[float32](n, 4*d), zeros[float32](n, 2*d), zeros[float32](n, 2*d)
				e.AttentionBackward(dq, dk, dv, in[3], out, lse, in[0], in[1], in[2], a)
				all := []*matrix[float32]{out, lse, dq, dk, dv}
				if first == nil {
					first = all
				}
				for i, m := range all {
					sameBits(t, e, fmt.Sprintf("heads of %d, result %d", d, i), m, first[i])
				}
			}
		}
	})
}

// A gradient that is set is the one that is added to zeros, whatever was there.
func TestGradientsSet(t *testing.T) {
	eachISA(t, func(t *testing.T, ker *kernels[float32]) {
		for _, s := range [][3]int{{1, 1, 1}, {15, 70, 64}, {33, 129, 40}, {70, 2100, 45}} { // tokens, rows and columns of the weight
			for _, dtype := range []compute.DType{compute.F32, compute.BF16} {
				for _, threads := range []int{1, 3} {
					T, n, k := s[0], s[1], s[2]
					r := rand.New(rand.NewPCG(25, uint64(n)))
					e := newEngine(ker, threads)
					x, dy, w := newMat[float32](r, T, k), newMat[float32](r, T, n), e.WeightOf(newMat[float32](r, n, k), dtype)
					g, u, turned := newMat[float32](r, T, n), newMat[float32](r, T, n), e.WeightOf(newMat[float32](r, k, n), dtype)
					targets, lse, coef := make([]int32, T), make([]float32, T), newMat[float32](r, 1, T).data
					for i := range targets {
						targets[i], lse[i] = int32(i%n), 3
					}
					for name, into := range map[string]func(set bool) []float32{
						"LinearBackward": func(set bool) []float32 {
							dw := worn(n, k, set)
							e.LinearBackward(zeros[float32](T, k), x, false, compute.Projection{W: w, DY: dy, DW: dw, Set: set})
							return dw.data
						},
						"GatedBackward": func(set bool) []float32 {
							dw := worn(k, n, set)
							e.GatedBackward(zeros[float32](T, n), zeros[float32](T, n), g, u, compute.Projection{W: turned, DY: x, DW: dw, Set: set})
							return dw.data
						},
						"HeadBackward": func(set bool) []float32 {
							dw := worn(n, k, set)
							e.HeadBackward(zeros[float32](T, k), dw, x, set, w, targets, lse, coef, nil)
							return dw.data
						},
					} {
						if !slices.Equal(into(true), into(false)) {
							t.Fatalf("%s, %v, %v, %d threads: other values", name, s, dtype, threads)
						}
					}
				}
			}
		}
	})
}

// worn is zeros, or what must not be read.
func worn(rows, cols int, used bool) *matrix[float32] {
	m := zeros[float32](rows, cols)
	for i := range m.data {
		if used {
			m.data[i] = float32(math.NaN())
		}
	}
	return m
}
