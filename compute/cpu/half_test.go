package cpu

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"eaft/compute"
)

// halfDot is the sum that an instruction set's bfloat16 product makes of a row
// and a column, bit for bit, for values whose products and sums are normal
// numbers. Products of two bfloat16 are exact in float32, so that every step
// rounds once.
func halfDot(isa string, a, b []float32) float32 {
	var c float32
	switch isa {
	case "avx512bf16": // VDPBF16PS: of each pair the odd element first
		for i := 0; i < len(a); i += 2 {
			if i+1 < len(a) {
				c += a[i+1] * b[i+1]
			}
			c += a[i] * b[i]
		}
	case "amx": // TDPBF16PS: 16 pairs, even and odd apart, are summed before they join
		for i := 0; i < len(a); i += 32 {
			var even, odd float32
			for j := i; j < min(i+32, len(a)); j += 2 {
				even += a[j] * b[j]
				if j+1 < len(a) {
					odd += a[j+1] * b[j+1]
				}
			}
			c += even + odd
		}
	default:
		for i := range a {
			c += a[i] * b[i]
		}
	}
	return c
}

// rounded is x with every value rounded to bfloat16.
func rounded(x *matrix[float32]) *matrix[float32] {
	y := zeros[float32](x.rows, x.cols)
	roundRow(y.data, x.data)
	return y
}

// In BF16 a product is that of the rounded operands, in the order that the
// instruction set is documented to sum in, bit for bit; whatever the rows beside
// it, the threads, and whether x was rounded before.
func TestHalfProducts(t *testing.T) {
	sizes := [][3]int{{1, 1, 1}, {1, 300, 70}, {70, 65, 1030}, {33, 192, 576}, {17, 35, 45}, {100, 130, 1600}, {2, 130, 5000}}
	for i := 1; i <= 33; i++ {
		sizes = append(sizes, [3]int{i, 34 - i, i*7%33 + 1}, [3]int{34 - i, i, 3 * i})
	}
	eachISA(t, func(t *testing.T, ker *kernels[float32]) {
		for _, s := range sizes {
			r := rand.New(rand.NewPCG(11, uint64(s[0])))
			x, w, dy := newMat[float32](r, s[0], s[2]), newMat[float32](r, s[1], s[2]), newMat[float32](r, s[0], s[1])
			start := newMat[float32](r, s[1], s[2])
			xr, wr, gr := rounded(x), rounded(w), rounded(dy)
			xt, wt, gt := transposed(xr), transposed(wr), transposed(gr)
			var first []*matrix[float32]
			for _, threads := range []int{1, 2, 3, 7} {
				e := newEngine(ker, threads)
				op := e.WeightOf(w, compute.BF16)
				xh, gh := e.NewTensor(s[0], s[2], compute.BF16), e.NewTensor(s[0], s[1], compute.BF16)
				e.Write(xh, x.data)
				e.Write(gh, dy.data)
				for i, in := range [][2]compute.Tensor{{x, dy}, {xh, gh}} {
					y, dx, dw := zeros[float32](s[0], s[1]), zeros[float32](s[0], s[2]), zeros[float32](s[1], s[2])
					copy(dw.data, start.data)
					e.Linear(y, in[0], op, nil, nil)
					e.LinearBackward(dx, in[0], false, compute.Projection{W: op, DY: in[1], DW: dw})
					if first == nil {
						first = []*matrix[float32]{y, dx, dw}
						checkHalf(t, fmt.Sprintf("%v: forward", s), ker.isa, y, xr, wr, nil)
						checkHalf(t, fmt.Sprintf("%v: input gradient", s), ker.isa, dx, gr, wt, nil)
						checkHalf(t, fmt.Sprintf("%v: weight gradient", s), ker.isa, dw, gt, xt, start)
					}
					for j, m := range []*matrix[float32]{y, dx, dw} {
						if !same(m.data, first[j].data) {
							t.Fatalf("%v: bits of result %d differ with %d threads, bf16 tensors %v", s, j, threads, i == 1)
						}
					}
				}
				one := zeros[float32](1, s[1])
				e.Linear(one, x.Slice(s[0]-1, s[0]), op, nil, nil)
				if !same(one.data, first[0].row(s[0]-1)) {
					t.Fatalf("%v: the last row alone has other bits", s)
				}
			}
		}
	})
}

func transposed(m *matrix[float32]) *matrix[float32] {
	x := zeros[float32](m.cols, m.rows)
	for i := range m.rows {
		for j, v := range m.row(i) {
			x.data[j*x.cols+i] = v
		}
	}
	return x
}

// checkHalf compares the bits of a b^T where the sum starts from zero. A sum that
// starts from another value takes it first, which halfDot does not: there
// k u sum|ab| bounds the difference of two orders (u = 2^-24).
func checkHalf(t *testing.T, name, isa string, got, a, b, start *matrix[float32]) {
	t.Helper()
	for i := range got.rows {
		for j := range got.cols {
			want, have := halfDot(isa, a.row(i), b.row(j)), got.row(i)[j]
			if start == nil {
				if have != want {
					t.Fatalf("%s: [%d,%d] = %g, want %g", name, i, j, have, want)
				}
				continue
			}
			want += start.row(i)[j]
			size := math.Abs(float64(start.row(i)[j]))
			for k, v := range a.row(i) {
				size += math.Abs(float64(v * b.row(j)[k]))
			}
			if d := math.Abs(float64(have - want)); !(d <= 2*float64(a.cols+1)*0x1p-24*size) {
				t.Fatalf("%s: [%d,%d] = %g, want %g", name, i, j, have, want)
			}
		}
	}
}

// The gradient of the head in BF16 against float64 on the same rounded operands:
// rounding dL/dlogits to bfloat16 moves a sum of g w by at most 2^-8 sum|g w|;
// the logits' error, d u sum|x w| < 1e-5, moves g by as much of itself.
func TestHeadBackwardHalf(t *testing.T) {
	const n, d, v = 37, 45, 2100
	r := rand.New(rand.NewPCG(12, 1))
	x, w := newMat[float32](r, n, d), newMat[float32](r, v, d)
	start := newMat[float32](r, v, d)
	targets, coef, coef64 := make([]int32, n), random[float32](r, n), make([]float64, n)
	for i := range targets {
		targets[i], coef64[i] = int32(r.IntN(v)), float64(coef[i])
	}
	xr, wr := double(rounded(x)), double(rounded(w))
	e64 := f64()
	op64 := e64.WeightOf(wr, compute.F32)
	lse64 := e64.headStats(xr, op64, targets, 1).lse
	wantX, wantW := zeros[float64](n, d), zeros[float64](v, d)
	e64.HeadBackward(wantX, wantW, xr, false, op64, targets, lse64, coef64, nil)
	// Sums of absolute values: g <= 0 only at the target.
	sizeX, sizeW := zeros[float64](n, d), zeros[float64](v, d)
	for i := range n {
		for j := range v {
			var s float64
			for c := range d {
				s += xr.row(i)[c] * wr.row(j)[c]
			}
			g := math.Exp(s - lse64[i])
			if int(targets[i]) == j {
				g = 1 - g
			}
			g *= math.Abs(coef64[i])
			for c := range d {
				sizeX.row(i)[c] += g * math.Abs(wr.row(j)[c])
				sizeW.row(j)[c] += g * math.Abs(xr.row(i)[c])
			}
		}
	}
	eachISA(t, func(t *testing.T, ker *kernels[float32]) {
		var first [2]*matrix[float32]
		for _, threads := range []int{1, 2, 3, 7} {
			e := newEngine(ker, threads)
			op := e.WeightOf(w, compute.BF16)
			dx, dw := zeros[float32](n, d), zeros[float32](v, d)
			lse := e.HeadStats(x, op, targets, 1).LogSumExp
			e.HeadBackward(dx, dw, x, false, op, targets, lse, coef, nil)
			if threads == 1 {
				near(t, "dx", dx, wantX, sizeX, 0x1p-8+1e-4)
				near(t, "dw", dw, wantW, sizeW, 0x1p-8+1e-4)
				first = [2]*matrix[float32]{dx, dw}
			}
			if !same(dx.data, first[0].data) || !same(dw.data, first[1].data) {
				t.Fatalf("bits depend on threads: %d", threads)
			}
			more := zeros[float32](v, d)
			copy(more.data, start.data)
			e.HeadBackward(dx, more, x, false, op, targets, lse, coef, nil)
			for i, g := range more.data {
				if want := start.data[i] + dw.data[i]; math.Abs(float64(g-want)) > float64(n)*0x1p-23*(math.Abs(float64(start.data[i]))+sizeW.data[i]) {
					t.Fatalf("dw[%d] = %g, want %g added", i, g, want)
				}
			}
		}
	})
}

// What rotates or joins a tile and rounds it does what its steps do, bit for bit,
// and writes nothing else.
func TestTileKernels(t *testing.T) {
	const guard = 7
	eachISA(t, func(t *testing.T, ker *kernels[float32]) {
		r := rand.New(rand.NewPCG(2, 9))
		for _, n := range []int{1, 4, 16, 17, 32, 48, 64, 79, 80, 128} {
			for rows := 1; rows <= 3; rows++ {
				fill := func(n int) []uint16 { return slices.Repeat([]uint16{guard}, n) }
				x, cos, sin := random[float32](r, rows*2*n), random[float32](r, n), random[float32](r, n)
				got, want := fill(len(x)+1), fill(len(x)+1)
				turned := slices.Clone(x)
				for h := range rows {
					ker.rope(turned[2*h*n:][:n], turned[(2*h+1)*n:][:n], cos, sin, 1)
				}
				ker.narrow(want, turned)
				if ker.ropeHalf(got, x, cos, sin); !slices.Equal(got, want) {
					t.Fatalf("ropeHalf of %d heads of 2 x %d: %v, want %v", rows, n, got, want)
				}

				ldd, ld := n+3, n+5
				gate, up := random[float32](r, rows*ld), random[float32](r, rows*ld)
				got, want = fill(rows*ldd), fill(rows*ldd)
				row := make([]float32, n)
				for i := range rows {
					ker.swiglu(row, gate[i*ld:][:n], up[i*ld:][:n])
					ker.narrow(want[i*ldd:], row)
				}
				if ker.swigluHalf(got, gate, up, rows, n, ldd, ld); !slices.Equal(got, want) {
					t.Fatalf("swigluHalf of %d rows of %d: %v, want %v", rows, n, got, want)
				}
			}
		}
	})
}
