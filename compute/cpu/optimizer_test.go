package cpu

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"eaft/compute"
)

type optimizerGolden struct {
	Blocks []struct {
		Signed           bool
		Table, X, Scales []float32
		Codes            []int
	}
	Adafactor []struct {
		Rows, Cols  int
		WeightDecay float64 `json:"weight_decay"`
		LR          float64
		Start       []float32
		Grads       [][]float32
		After       [][]float64
	}
}

func readOptimizers(t *testing.T) (g optimizerGolden) {
	t.Helper()
	data, err := os.ReadFile("testdata/optimizers.json")
	if err == nil {
		err = json.Unmarshal(data, &g)
	}
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// Tables, scales and codes are bitsandbytes', but that nothing above 0 is stored
// as an unsigned 0. Its table is computed in float32, ours rounded once.
func TestBlocksGolden(t *testing.T) {
	e := newEngine(portable[float32](), 2)
	for _, c := range readOptimizers(t).Blocks {
		b := e.NewBlocks(len(c.X), c.Signed).(*blocks[float32])
		for i, v := range c.Table {
			if d := math.Abs(float64(b.t.value[i] - v)); d > 2e-7*math.Abs(float64(v)) {
				t.Errorf("signed %v: code %d is %v, bitsandbytes has %v", c.Signed, i, b.t.value[i], v)
			}
		}
		for i := range b.scales.data {
			b.store(c.X[i*compute.BlockSize:min(len(c.X), (i+1)*compute.BlockSize)], i)
		}
		if !slices.Equal(b.scales.data, c.Scales) {
			t.Errorf("signed %v: scales %v, bitsandbytes has %v", c.Signed, b.scales.data, c.Scales)
		}
		for i, x := range c.X {
			want := c.Codes[i]
			if !c.Signed && x > 0 && want == 0 {
				want = 1
			}
			if int(b.codes[i]) != want {
				t.Errorf("signed %v: %v of a block up to %v has code %d, bitsandbytes %d", c.Signed, x, b.scales.data[i/compute.BlockSize], b.codes[i], want)
			}
		}
	}
}

// The search from the leading bits finds what a search of the whole table does.
func TestCodes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, table := range []*codeTable{signedCodes, unsignedCodes} {
		try := func(x float32) {
			best := 0
			for c := range 255 {
				if x > table.between(c) {
					best = c + 1
				}
			}
			if got := table.code(x); int(got) != best {
				t.Fatalf("signed %v: %v has code %d, want %d", table.signed, x, got, best)
			}
		}
		for c := range 255 {
			m := table.between(c)
			for _, x := range []float32{m, math.Nextafter32(m, -2), math.Nextafter32(m, 2)} {
				if x >= 0 || table.signed {
					try(x)
				}
			}
		}
		for range 20000 {
			x := float32(math.Pow(10, -10*r.Float64()))
			if table.signed && r.IntN(2) == 0 {
				x = -x
			}
			try(x)
		}
		for _, x := range []float32{0, 1, math.SmallestNonzeroFloat32} {
			try(x)
		}
	}
}

// A step with 8-bit moments is AdamW's from the stored ones, and stores what comes
// of it; so it is on any number of threads.
func TestAdamW8(t *testing.T) {
	const rows, cols = 130, 259
	eachISA(t, func(t *testing.T, ker *kernels[float32]) {
		var first []float32
		for _, threads := range []int{1, 3} {
			e := newEngine(ker, threads)
			r := rand.New(rand.NewPCG(4, 4))
			fill := func() *matrix[float32] {
				m := dense(rows, cols, make([]float32, rows*cols))
				for i := range m.data {
					m.data[i] = float32(r.NormFloat64())
				}
				return m
			}
			p := fill()
			same := dense(rows, cols, slices.Clone(p.data))
			m8, v8 := e.NewBlocks(rows*cols, true), e.NewBlocks(rows*cols, false)
			m, v := dense(rows, cols, make([]float32, rows*cols)), dense(rows, cols, make([]float32, rows*cols))
			for n := 1; n <= 4; n++ {
				g := fill()
				s := compute.AdamW{LR: 1e-2, Beta1: 0.9, Beta2: 0.99, Eps: 1e-8, WeightDecay: 0.1, GradScale: 0.5, Step: n}
				e.AdamW8(p, g, m8, v8, s)
				e.AdamW(same, g, m, v, s)
				if !slices.Equal(p.data, same.data) {
					t.Fatalf("step %d is not AdamW's from the stored moments", n)
				}
				for i := range (rows*cols + compute.BlockSize - 1) / compute.BlockSize {
					lo, hi := i*compute.BlockSize, min(rows*cols, (i+1)*compute.BlockSize)
					for _, x := range []struct {
						b *blocks[float32]
						f []float32
					}{{m8.(*blocks[float32]), m.data[lo:hi]}, {v8.(*blocks[float32]), v.data[lo:hi]}} {
						got, want := make([]float32, hi-lo), slices.Clone(x.f)
						x.b.load(got, i)
						for j, w := range want { // half a cell of the coarsest decade
							if d := math.Abs(float64(got[j] - w)); d > 0.9/128*(1+1e-4)*float64(x.b.scales.data[i]) {
								t.Fatalf("step %d: %v is stored as %v, of a block up to %v", n, w, got[j], x.b.scales.data[i])
							}
						}
						copy(x.f, got)
					}
				}
			}
			if first == nil {
				first = p.data
			} else if !slices.Equal(first, p.data) {
				t.Error("the parameters depend on the threads")
			}
		}
	})
}

// Every step errs by some roundings of the parameter, of the averages behind the
// update (float32, so half an ulp for each step, under a root) and of the update.
func TestAdafactorGolden(t *testing.T) {
	const u = 1.0 / (1 << 24)
	for _, c := range readOptimizers(t).Adafactor {
		var first []float32
		for _, threads := range []int{1, 2} {
			e := newEngine(portable[float32](), threads)
			rows := max(1, c.Rows)
			p := dense(rows, c.Cols, slices.Clone(c.Start))
			col := dense(1, c.Cols, make([]float32, c.Cols))
			var row compute.Tensor
			if rows > 1 {
				row = dense(1, rows, make([]float32, rows))
			}
			for s, grad := range c.Grads {
				e.Adafactor(p, dense(rows, c.Cols, grad), row, col, compute.Adafactor{LR: c.LR, Decay: 0.8, Eps: 1e-30, Clip: 1,
					WeightDecay: c.WeightDecay, GradScale: 1, Step: s + 1})
				for i, want := range c.After[s] {
					moved := math.Abs(want-float64(c.Start[i])) + c.LR*math.Sqrt(float64(rows*c.Cols))
					if d := math.Abs(float64(p.data[i]) - want); d > float64(s+1)*u*(math.Abs(want)+4*moved) {
						t.Fatalf("%d x %d, step %d: p[%d] is %v, transformers has %v", c.Rows, c.Cols, s+1, i, p.data[i], want)
					}
				}
			}
			if first == nil {
				first = p.data
			} else if !slices.Equal(first, p.data) {
				t.Error("the parameters depend on the threads")
			}
		}
	}
}

func BenchmarkAdamW8(b *testing.B) {
	dev, err := New(1)
	if err != nil {
		b.Fatal(err)
	}
	const n = 1 << 20
	r := rand.New(rand.NewPCG(4, 4))
	p, g := dense(1024, n/1024, make([]float32, n)), dense(1024, n/1024, make([]float32, n))
	for i := range g.data {
		g.data[i] = float32(r.NormFloat64())
	}
	s := compute.AdamW{LR: 1e-3, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, GradScale: 1, Step: 1}
	m, v := dev.NewBlocks(n, true), dev.NewBlocks(n, false)
	b.SetBytes(4 * n)
	for b.Loop() {
		dev.AdamW8(p, g, m, v, s)
	}
}

// A step that refreshes the operand leaves what a step and then Refresh leave.
func TestAdamWOperand(t *testing.T) {
	eachISA(t, func(t *testing.T, ker *kernels[float32]) {
		for _, s := range [][2]int{{1, 1}, {33, 31}, {70, 129}, {300, 64}} {
			for _, threads := range []int{1, 3} {
				e := newEngine(ker, threads)
				r := rand.New(rand.NewPCG(5, 5))
				p, g, m, v := newMat[float32](r, s[0], s[1]), newMat[float32](r, s[0], s[1]), zeros[float32](s[0], s[1]), zeros[float32](s[0], s[1])
				p2, m2, v2 := dense(s[0], s[1], slices.Clone(p.data)), zeros[float32](s[0], s[1]), zeros[float32](s[0], s[1])
				got, want := e.WeightOf(p, compute.BF16), e.WeightOf(p2, compute.BF16)
				for n := 1; n <= 2; n++ {
					step := compute.AdamW{LR: 1e-2, Beta1: 0.9, Beta2: 0.99, Eps: 1e-8, WeightDecay: 0.1, GradScale: 0.5, Step: n}
					e.AdamW(p2, g, m2, v2, step)
					e.Refresh(want)
					step.Operand = got
					e.AdamW(p, g, m, v, step)
				}
				for _, x := range [][2][]float32{{p.data, p2.data}, {m.data, m2.data}, {v.data, v2.data}} {
					if !same(x[0], x[1]) {
						t.Fatalf("%v, %d threads: another step", s, threads)
					}
				}
				if !slices.Equal(weightOf[float32](got).half.data, weightOf[float32](want).half.data) {
					t.Fatalf("%v, %d threads: another operand", s, threads)
				}
			}
		}
	})
}
