package cpu

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"eaft/compute"
)

// eachISA runs f on every instruction set of this machine.
func eachISA(t *testing.T, f func(t *testing.T, k *kernels[float32])) {
	for _, k := range available() {
		t.Run(k.isa, func(t *testing.T) { f(t, k) })
	}
}

// A sum of k products in float32 is off by at most k u sum|a b| (u = 2^-24,
// one rounding more for each unfused product: 2k covers both).
func TestLinearAgainstFloat64(t *testing.T) {
	eachISA(t, func(t *testing.T, ker *kernels[float32]) {
		sizes := [][3]int{{70, 65, 1030}, {57, 192, 576}}
		for i := 1; i <= 33; i++ {
			sizes = append(sizes, [3]int{i, 34 - i, i*7%33 + 1})
		}
		for _, s := range sizes {
			r := rand.New(rand.NewPCG(1, uint64(s[0])))
			x, w := newMat[float32](r, s[0], s[2]), newMat[float32](r, s[1], s[2])
			var first []float32
			for threads := 1; threads <= 3; threads++ {
				e := newEngine(ker, threads)
				y := zeros[float32](s[0], s[1])
				e.Linear(y, x, e.WeightOf(w, compute.F32), nil, nil)
				for i := range s[0] {
					for j := range s[1] {
						var want, size float64
						for k := range s[2] {
							v := float64(x.row(i)[k]) * float64(w.row(j)[k])
							want, size = want+v, size+math.Abs(v)
						}
						if got := float64(y.row(i)[j]); math.Abs(got-want) > 2*float64(s[2])*0x1p-24*size {
							t.Fatalf("%v: [%d,%d] = %g, want %g", s, i, j, got, want)
						}
					}
				}
				if first == nil {
					first = y.data
				}
				one := zeros[float32](1, s[1])
				e.Linear(one, x.Slice(s[0]-1, s[0]), e.WeightOf(w, compute.F32), nil, nil)
				if !same(first, y.data) || !same(one.data, y.row(s[0]-1)) {
					t.Fatalf("%v: bits depend on threads or on the rows beside", s)
				}
			}
		}
	})
}

func same(a, b []float32) bool {
	for i := range a {
		if math.Float32bits(a[i]) != math.Float32bits(b[i]) {
			return false
		}
	}
	return len(a) == len(b)
}

// 2 ulp: half from the last rounding, one from the polynomial's last steps. Up to
// expLow, where e^x is about 2^-125.5, it is 0: no result is denormal.
func TestExp(t *testing.T) {
	eachISA(t, func(t *testing.T, ker *kernels[float32]) {
		var x []float32
		for v := float32(-103); v < 88.7; v += 0.00137 {
			x = append(x, v)
		}
		y := append([]float32(nil), x...)
		ker.expSum(y, 0)
		for i, v := range x {
			want := math.Exp(float64(v))
			if v <= expLow {
				want = 0
			}
			ulp := math.Ldexp(1, max(math.Ilogb(want), -126)-23)
			if d := math.Abs(float64(y[i]) - want); !(d <= 2*ulp) {
				t.Fatalf("exp(%g) = %g, want %g (%.1f ulp)", v, y[i], want, d/ulp)
			}
		}
		edge := []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), 0, expLow, math.Nextafter32(expLow, 0)}
		ker.expSum(edge, 0)
		if edge[0] == edge[0] || !math.IsInf(float64(edge[1]), 1) || edge[2] != 0 || edge[3] != 1 || edge[4] != 0 || edge[5] < 0x1p-126 {
			t.Fatalf("exp of NaN, +Inf, -Inf, 0, %d and the number above: %v", expLow, edge)
		}
	})
}

// One token against a weight of 57 MB: what a product is bound by when decoding.
func BenchmarkDecode(b *testing.B) {
	for _, ker := range available() {
		b.Run(ker.isa, func(b *testing.B) {
			const n, k = 49152, 576
			r := rand.New(rand.NewPCG(1, 1))
			e := newEngine(ker, 2)
			op := e.WeightOf(newMat[float32](r, n, k), compute.BF16)
			x, y := e.NewTensor(1, k, compute.BF16), zeros[float32](1, n)
			for b.Loop() {
				e.Linear(y, x, op, nil, nil)
			}
			b.ReportMetric(2*n*k*float64(b.N)/b.Elapsed().Seconds()/1e9, "GB/s")
		})
	}
}

func BenchmarkLinear(b *testing.B) {
	for _, ker := range available() {
		for _, s := range [][3]int{{256, 576, 576}, {1024, 1536, 576}, {1024, 576, 1536}, {2048, 192, 576}} {
			for _, dir := range []string{"forward", "backward"} {
				b.Run(fmt.Sprintf("%s/%s/%dx%dx%d", ker.isa, dir, s[0], s[1], s[2]), func(b *testing.B) {
					r := rand.New(rand.NewPCG(1, 1))
					e := newEngine(ker, 2)
					x, w, y := newMat[float32](r, s[0], s[2]), newMat[float32](r, s[1], s[2]), newMat[float32](r, s[0], s[1])
					op := e.WeightOf(w, compute.F32)
					for b.Loop() {
						switch dir {
						case "forward":
							e.Linear(y, x, op, nil, nil)
						default:
							e.LinearBackward(x, x, false, compute.Projection{W: op, DY: y, DW: w})
						}
					}
					flop := 2 * float64(s[0]) * float64(s[1]) * float64(s[2]) * float64(b.N)
					b.ReportMetric(flop/b.Elapsed().Seconds()/1e9, "GFLOP/s")
				})
			}
		}
	}
}
