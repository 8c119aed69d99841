package cpu

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"
)

// vectorCase is one element-wise kernel: in is how many operands it takes, of
// which it may write the first out. run calls it; exact computes it and, for
// each result, the size of its error in units of 2^-24.
type vectorCase struct {
	name    string
	in, out int
	run     func(k *kernels[float32], x [][]float32)
	exact   func(x [][]float64, i int) (y, size []float64)
}

var testAdamW = adamwCoef[float32]{scale: 0.5, decay: 0.99, beta1: 0.9, rest1: 0.1, beta2: 0.95, rest2: 0.05, step: 0.01, invRootBias: 1.5, eps: 1e-3}

// A sum or product of few terms is off by half an ulp of each intermediate: the
// sizes below are the sums of their absolute values, times the number of
// roundings, at 1 unit = 2^-24 each. exp is within 2 ulp = 4 units.
var vectorCases = []vectorCase{
	{"axpy", 2, 1, func(k *kernels[float32], x [][]float32) { k.axpy(x[0], x[1], 1.25) },
		func(x [][]float64, i int) (y, s []float64) {
			a, b := x[0][i], 1.25*x[1][i]
			return []float64{a + b}, []float64{2 * (math.Abs(a) + math.Abs(b))}
		}},
	{"addAhead", 2, 1, func(k *kernels[float32], x [][]float32) { k.addAhead(x[0], x[1], 1<<20) },
		func(x [][]float64, i int) (y, s []float64) {
			v := x[0][i] + x[1][i]
			return []float64{v}, []float64{math.Abs(v)}
		}},
	{"stream", 2, 1, func(k *kernels[float32], x [][]float32) { k.stream(x[0], x[1]) },
		func(x [][]float64, i int) (y, s []float64) { return []float64{x[1][i]}, []float64{0} }},
	{"sumStream", 3, 1, func(k *kernels[float32], x [][]float32) { k.sumStream(x[0], x[1], x[2]) },
		func(x [][]float64, i int) (y, s []float64) {
			v := x[1][i] + x[2][i]
			return []float64{v}, []float64{math.Abs(v)}
		}},
	{"scale", 2, 1, func(k *kernels[float32], x [][]float32) { k.scale(x[0], x[1], -0.3) },
		func(x [][]float64, i int) (y, s []float64) {
			v := float64(float32(-0.3)) * x[1][i]
			return []float64{v}, []float64{math.Abs(v)}
		}},
	{"norm", 3, 1, func(k *kernels[float32], x [][]float32) { k.norm(x[0], x[1], x[2], 0.7) },
		func(x [][]float64, i int) (y, s []float64) {
			v := float64(float32(0.7)) * x[1][i] * x[2][i]
			return []float64{v}, []float64{2 * math.Abs(v)}
		}},
	{"normBack", 4, 1, func(k *kernels[float32], x [][]float32) { k.normBack(x[0], x[1], x[2], x[3], 0.75, 0.5) },
		func(x [][]float64, i int) (y, s []float64) {
			a, b := x[1][i]*x[3][i], 0.5*x[2][i]
			return []float64{x[0][i] + 0.75*(a-b)}, []float64{math.Abs(x[0][i]) + 4*(math.Abs(a)+math.Abs(b))}
		}},
	{"mulAdd", 3, 1, func(k *kernels[float32], x [][]float32) { k.mulAdd(x[0], x[1], x[2], 0.75) },
		func(x [][]float64, i int) (y, s []float64) {
			a, b := x[0][i], 0.75*x[1][i]*x[2][i]
			return []float64{a + b}, []float64{math.Abs(a) + 3*math.Abs(b)}
		}},
	{"rope", 4, 2, func(k *kernels[float32], x [][]float32) { k.rope(x[0], x[1], x[2], x[3], -1) },
		func(x [][]float64, i int) (y, s []float64) {
			u, v, c, w := x[0][i], x[1][i], x[2][i], -x[3][i]
			return []float64{u*c - v*w, v*c + u*w}, []float64{2 * (math.Abs(u*c) + math.Abs(v*w)), 2 * (math.Abs(v*c) + math.Abs(u*w))}
		}},
	{"swiglu", 3, 1, func(k *kernels[float32], x [][]float32) { k.swiglu(x[0], x[1], x[2]) },
		func(x [][]float64, i int) (y, s []float64) {
			v := x[1][i] / (1 + math.Exp(-x[1][i])) * x[2][i]
			return []float64{v}, []float64{8 * math.Abs(v)} // exp 4, sum, quotient, product
		}},
	{"swigluBack", 5, 3, func(k *kernels[float32], x [][]float32) { k.swigluBack(x[0], x[1], x[2], x[3], x[4]) },
		func(x [][]float64, i int) (y, s []float64) {
			d, g, u := x[2][i], x[3][i], x[4][i]
			sig := 1 / (1 + math.Exp(-g))
			silu := g * sig
			// 1 - sig loses what sig's 6 units are of 1, which silu multiplies.
			return []float64{d * u * (sig + silu*(1-sig)), d * silu, silu * u},
				[]float64{math.Abs(d*u) * (10*sig + 12*math.Abs(silu)), 8 * math.Abs(d*silu), 8 * math.Abs(silu*u)}
		}},
	{"adamw", 4, 4, func(k *kernels[float32], x [][]float32) {
		for i := range x[3] {
			x[3][i] = float32(math.Abs(float64(x[3][i])))
		}
		k.adamw(x[0], x[1], x[2], x[3], &testAdamW)
	},
		func(x [][]float64, i int) (y, s []float64) {
			c := &testAdamW
			f := func(v float32) float64 { return float64(v) }
			g := x[1][i] * f(c.scale)
			m := x[2][i]*f(c.beta1) + g*f(c.rest1)
			v := math.Abs(x[3][i])*f(c.beta2) + g*g*f(c.rest2)
			ms := 3 * (math.Abs(x[2][i]*f(c.beta1)) + math.Abs(g*f(c.rest1)))
			root := math.Sqrt(v)*f(c.invRootBias) + f(c.eps)
			step := f(c.step) / root
			p := x[0][i]*f(c.decay) - step*m
			return []float64{p, x[1][i], m, v}, []float64{2*math.Abs(x[0][i]) + step*(ms+8*math.Abs(m)), 0, ms, 4 * v}
		}},
	{"round", 2, 1, func(k *kernels[float32], x [][]float32) { k.round(x[0], x[1]) },
		func(x [][]float64, i int) (y, s []float64) {
			return []float64{float64(fromBF16(toBF16(float32(x[1][i]))))}, []float64{0}
		}},
}

// Every length and place, against float64, between pages that must not be touched.
func TestVectorKernels(t *testing.T) {
	eachISA(t, func(t *testing.T, ker *kernels[float32]) {
		for _, c := range vectorCases {
			var mem []*guarded
			for range c.in {
				mem = append(mem, newGuarded(t, 4*1500))
			}
			for _, n := range vectorLengths() {
				for _, end := range []bool{false, true} {
					r := rand.New(rand.NewPCG(uint64(n), 3))
					x, exact := make([][]float32, c.in), make([][]float64, c.in)
					for j := range x {
						if x[j] = first[float32](mem[j], n); end {
							x[j] = last[float32](mem[j], n)
						}
						for i := range x[j] {
							x[j][i] = float32(r.NormFloat64() * 3)
							exact[j] = append(exact[j], float64(x[j][i]))
						}
					}
					c.run(ker, x)
					for i := range n {
						want, size := c.exact(exact, i)
						for j := range c.out {
							if got := float64(x[j][i]); !(math.Abs(got-want[j]) <= size[j]*0x1p-24) {
								t.Fatalf("%s of %d: result %d[%d] = %g, want %g", c.name, n, j, i, got, want[j])
							}
						}
					}
				}
			}
		}
	})
}

func vectorLengths() (n []int) {
	for i := range 34 {
		n = append(n, i)
	}
	return append(n, 64, 100, 1000, 1023)
}

// Sums of n terms in 16 lanes: each term sees at most n/16 + 5 roundings.
func TestReductions(t *testing.T) {
	eachISA(t, func(t *testing.T, ker *kernels[float32]) {
		mem := [3]*guarded{newGuarded(t, 4*1500), newGuarded(t, 4*1500), newGuarded(t, 4*1500)}
		for _, n := range vectorLengths() {
			r := rand.New(rand.NewPCG(uint64(n), 4))
			var x [3][]float32
			for j := range x {
				x[j] = last[float32](mem[j], n)
				for i := range x[j] {
					x[j][i] = float32(r.NormFloat64())
				}
			}
			var dot, dot3, size, size3, squares float64
			top := float64(lowest[float32]())
			for i := range n {
				a, b, c := float64(x[0][i]), float64(x[1][i]), float64(x[2][i])
				dot, dot3, squares = dot+a*b, dot3+a*b*c, squares+a*a
				size, size3 = size+math.Abs(a*b), size3+math.Abs(a*b*c)
				top = max(top, a)
			}
			roundings := (float64(n)/16 + 7) * 0x1p-24
			if got := float64(ker.dot(x[0], x[1])); !(math.Abs(got-dot) <= roundings*size) {
				t.Errorf("dot of %d: %g, want %g", n, got, dot)
			}
			if got := float64(ker.dot3(x[0], x[1], x[2])); !(math.Abs(got-dot3) <= roundings*size3) {
				t.Errorf("dot3 of %d: %g, want %g", n, got, dot3)
			}
			if got := float64(ker.max(x[0])); got != top {
				t.Errorf("max of %d: %g, want %g", n, got, top)
			}
			var lane, want [lanes]float64
			ker.sumSquares(x[0], &lane)
			sumSquaresGo(x[0], &want)
			if lane != want { // squares of float32 are exact in float64: the same bits everywhere
				t.Errorf("sumSquares of %d: %v, want %v", n, lane, want)
			}
			if got := sumLanes(&lane); math.Abs(got-squares) > 1e-13*squares {
				t.Errorf("sumSquares of %d: %g, want %g", n, got, squares)
			}
		}
	})
}

// Products of heads in bfloat16 have the bits of dot, for each product is exact;
// between pages that must not be touched.
func TestDotsHalf(t *testing.T) {
	eachISA(t, func(t *testing.T, ker *kernels[float32]) {
		if ker.dotsHalf == nil {
			t.Skip("rows are widened")
		}
		const most = 5 * 256
		mem := [3]*guarded{newGuarded(t, 4*5), newGuarded(t, 2*most), newGuarded(t, 2*most)}
		for _, n := range []int{lanes, 64, 80, 256} {
			for heads := 1; heads <= 5; heads++ {
				r := rand.New(rand.NewPCG(uint64(n), uint64(heads)))
				got, a, b := last[float32](mem[0], heads), last[uint16](mem[1], heads*n), last[uint16](mem[2], heads*n)
				x, y := make([]float32, len(a)), make([]float32, len(a))
				for i := range a {
					a[i], b[i] = toBF16(float32(r.NormFloat64())), toBF16(float32(r.NormFloat64()))
					x[i], y[i] = fromBF16(a[i]), fromBF16(b[i])
				}
				want := make([]float32, heads)
				for h := range want {
					want[h] = dotGo(x[h*n:][:n], y[h*n:][:n])
				}
				if ker.dotsHalf(got, a, b, n); !same(got, want) {
					t.Errorf("%d heads of %d: %v, want %v", heads, n, got, want)
				}
			}
		}
	})
}

// The gates that round have the bits of a gate and then of rounding.
func TestGatesRounded(t *testing.T) {
	eachISA(t, func(t *testing.T, ker *kernels[float32]) {
		var mem [5]*guarded
		for i := range mem {
			mem[i] = newGuarded(t, 2*1500)
		}
		wide := newGuarded(t, 4*1500)
		for _, n := range vectorLengths() {
			for _, place := range []func(g *guarded, n int) []uint16{first[uint16], last[uint16]} {
				r := rand.New(rand.NewPCG(uint64(n), 8))
				var half [5][]uint16 // dgate, dup, act, gate, up
				for i := range half {
					half[i] = place(mem[i], n)
					ker.narrow(half[i], random[float32](r, n))
				}
				gate, up, dy := make([]float32, n), make([]float32, n), last[float32](wide, n)
				copy(dy, random[float32](r, n))
				ker.widen(gate, half[3])
				ker.widen(up, half[4])
				round := func(x []float32) []uint16 {
					h := make([]uint16, n)
					ker.narrow(h, x)
					return h
				}
				out := make([]float32, n)
				ker.swiglu(out, gate, up)
				ker.swigluHalf(half[2], slices.Clone(gate), up, 1, n, n, n)
				if !slices.Equal(half[2], round(out)) {
					t.Fatalf("swigluHalf of %d: %v, want %v", n, half[2], round(out))
				}
				if ker.swigluBackHalf == nil {
					continue
				}
				dgate, dup, act := make([]float32, n), make([]float32, n), slices.Clone(dy)
				ker.swigluBack(dgate, dup, act, gate, up)
				ker.swigluBackHalf(half[0], half[1], half[2], dy, half[3], half[4], 1<<20)
				for i, want := range [][]float32{dgate, dup, act} {
					if !slices.Equal(half[i], round(want)) {
						t.Fatalf("swigluBackHalf of %d: result %d is %v, want %v", n, i, half[i], round(want))
					}
				}
			}
		}
	})
}

// What is written past the caches has the bits of what is written through them.
func TestNarrowStream(t *testing.T) {
	eachISA(t, func(t *testing.T, ker *kernels[float32]) {
		mem := newGuarded(t, 2*1500)
		for _, n := range vectorLengths() {
			for _, dst := range [][]uint16{first[uint16](mem, n), last[uint16](mem, n)} {
				r := rand.New(rand.NewPCG(uint64(n), 6))
				src, want := random[float32](r, n), make([]uint16, n)
				ker.narrow(want, src)
				clear(dst)
				ker.narrowStream(dst, src)
				if !slices.Equal(dst, want) {
					t.Fatalf("%d numbers: %v, want %v", n, dst, want)
				}
			}
		}
	})
}

// NaN, infinities, denormals and ties, in every lane.
func TestVectorSpecials(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	values := []float32{nan, inf, -inf, 0, float32(math.Copysign(0, -1)), 1e-40, -1e-40, 0x1.018p0, 0x1.008p0, math.MaxFloat32, 120, -120, 3,
		math.Float32frombits(0x7f800001), math.Float32frombits(0xff80ffff)}
	eachISA(t, func(t *testing.T, ker *kernels[float32]) {
		mem := newGuarded(t, 2*64)
		for i, v := range values {
			for n := 1; n <= 33; n++ {
				x := make([]float32, n)
				x[n-1] = v
				half := last[uint16](mem, n)
				ker.narrow(half, x)
				want := toBF16(v)
				if (ker.isa == "avx512bf16" || ker.isa == "amx") && math.Abs(float64(v)) < 0x1p-126 {
					want &= 0x8000 // VCVTNEPS2BF16 takes denormal numbers for 0
				}
				if half[n-1] != want {
					t.Errorf("narrow of %x at %d: %04x, want %04x", math.Float32bits(v), n-1, half[n-1], want)
				}
				y := make([]float32, n)
				ker.widen(y, half)
				if got := fromBF16(want); math.Float32bits(y[n-1]) != math.Float32bits(got) {
					t.Errorf("widen of %04x: %g, want %g", want, y[n-1], got)
				}
				gate, up := make([]float32, n), make([]float32, n)
				gate[n-1], up[n-1] = v, 2
				ker.swiglu(gate, gate, up)
				exact := float64(float32(float64(v) / (1 + math.Exp(-float64(v))) * 2))
				if v == -inf { // the limit is 0, the formula -Inf/Inf
					exact = math.NaN()
				}
				if got := float64(gate[n-1]); got != exact && !(math.Abs(got-exact) <= 1e-6*math.Abs(exact)+0x1p-125) && !(got != got && exact != exact) {
					t.Errorf("value %d: swiglu(%g) = %g, want %g", i, v, got, exact)
				}
				if m := ker.max(x); v == v && m != max(v, 0) && n > 1 || v != v && m != max(0, lowest[float32]()) && n > 1 {
					t.Errorf("max with %g at %d of %d zeros: %g", v, n-1, n, m)
				}
			}
		}
	})
}

// The tiles read and write their operands and nothing else.
func TestTilesBetweenGuards(t *testing.T) {
	eachISA(t, func(t *testing.T, ker *kernels[float32]) {
		h := &ker.half
		if h.micro == nil {
			t.Skip("no bfloat16 kernels")
		}
		const pairs, ld = 32, 64
		a, b, c := newGuarded(t, 2*40*ld), newGuarded(t, 2*4*pairs*2*halfPanel), newGuarded(t, 4*40*4*halfPanel)
		for m := 1; m <= 33; m++ {
			for _, n := range []int{1, 31, 32, 33, 64, 128} {
				left, panels := leftHalf{last[uint16](a, m*ld), ld}, last[uint16](b, packedSize(2*pairs, n))
				out := last[float32](c, m*n)
				clear(left.data)
				clear(panels)
				left.data[0], panels[0] = toBF16(2), toBF16(3)
				for i := range out {
					out[i] = 1
				}
				mulHalfBlock(h, out, n, m, n, left, panels, pairs, pairs, true)
				for i, v := range out {
					if want := map[bool]float32{true: 7, false: 1}[i == 0]; v != want {
						t.Fatalf("%d rows, %d columns: [%d] = %g, want %g", m, n, i, v, want)
					}
				}
				mulHalfBlock(h, out, n, m, n, left, panels, pairs, pairs, false)
				for i, v := range out {
					if want := map[bool]float32{true: 6, false: 0}[i == 0]; v != want {
						t.Fatalf("%d rows, %d columns, nothing added: [%d] = %g, want %g", m, n, i, v, want)
					}
				}
			}
		}
		if h.row != nil {
			out := last[float32](c, 4*halfPanel)
			four := newGuarded(t, 2*4*pairs*2*halfPanel)
			panels := last[uint16](four, 4*pairs*2*halfPanel)
			h.row(halfTile{a: unsafe.Pointer(&last[uint16](a, ld)[0]), b: unsafe.Pointer(&panels[0]), c: unsafe.Pointer(&out[0]),
				pairs: pairs, bs: 2 * pairs * 2 * halfPanel, panels: 4, rows: 1})
		}
		src := last[uint16](a, 32*ld)
		for i := range src {
			src[i] = uint16(i)
		}
		dst, want := last[uint16](b, 16*2*halfPanel), make([]uint16, 16*2*halfPanel)
		h.interleave(dst, src, ld, 16)
		interleaveGo(want, src, ld, 16)
		if fmt.Sprint(dst) != fmt.Sprint(want) {
			t.Error("interleave differs")
		}
		dst = last[uint16](b, 2*16*32)
		want = make([]uint16, 2*16*32)
		h.transpose(dst, src, 32, ld, 16*32, 32, 2)
		transposeGo(want, src, 32, ld, 16*32, 32, 2)
		if fmt.Sprint(dst) != fmt.Sprint(want) {
			t.Error("transpose differs")
		}
		const block, step = halfPanel * halfPanel, 5 * halfPanel * halfPanel / 2
		panels, packed := newGuarded(t, 2*(2*step+block)), newGuarded(t, 2*3*block)
		src = last[uint16](panels, 2*step+block)
		for i := range src {
			src[i] = uint16(i)
		}
		dst, want = last[uint16](packed, 3*block), make([]uint16, 3*block)
		h.repack(dst, src, step, 3)
		repackGo(want, src, step, 3)
		if !slices.Equal(dst, want) {
			t.Error("repack differs")
		}
	})
}
