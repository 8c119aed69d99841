package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"eaft/compute"
)

// bits trains on the fixture's rows and returns every parameter after it.
func bits(t *testing.T, threads, limit int, dtype compute.DType) ([]Metrics, [][]float32) {
	t.Helper()
	g := readGolden(t)
	dev := device(t, threads)
	tr := startTrainer(t, dev, "qwen3", dtype, g.options(LossEAFT))
	tr.limit = limit
	var ms []Metrics
	for i, s := range g.plan()[:4] {
		mt, err := tr.step(t.Context(), s, i+1, 1e-3)
		if err != nil {
			t.Fatal(err)
		}
		mt.Rate = 0
		ms = append(ms, mt)
	}
	var ps [][]float32
	for _, p := range tr.params {
		ps = append(ps, values(dev, p))
	}
	return ms, ps
}

func TestThreadsAndRepetition(t *testing.T) {
	for _, dtype := range []compute.DType{compute.F32, compute.BF16} {
		m0, p0 := bits(t, 1, MicroTokens, dtype)
		for _, threads := range []int{1, 2, 3} {
			m, p := bits(t, threads, MicroTokens, dtype)
			if !slices.Equal(m, m0) || !slices.EqualFunc(p, p0, slices.Equal) {
				t.Errorf("%v, %d threads: not bitwise the same as with one", dtype, threads)
			}
		}
	}
}

// Cutting a step into micro-batches changes the order of sums only, so the
// bounds are those of the comparison with torch.
func TestAccumulation(t *testing.T) {
	m0, p0 := bits(t, 2, MicroTokens, compute.F32)
	for _, limit := range []int{1, 20} {
		m, p := bits(t, 2, limit, compute.F32)
		for i := range m {
			if math.Abs(m[i].Loss-m0[i].Loss) > relBound*m0[i].Loss || math.Abs(m[i].GradNorm-m0[i].GradNorm) > relBound*m0[i].GradNorm {
				t.Errorf("micro-batches of %d: %+v, in one %+v", limit, m[i], m0[i])
			}
		}
		bound := 4e-3*relBound/1e-4 + 16*ulp
		for i := range p {
			for j := range p[i] {
				if math.Abs(float64(p[i][j]-p0[i][j])) > bound {
					t.Fatalf("micro-batches of %d: parameter %d[%d] is %v, in one %v", limit, i, j, p[i][j], p0[i][j])
				}
			}
		}
	}
}

func TestPlan(t *testing.T) {
	var rows []*row
	for i := range 10 {
		rows = append(rows, &row{id: fmt.Sprint(i), ids: make([]int32, 3)})
	}
	count := func(ss []step) map[string]int {
		n := map[string]int{}
		for _, s := range ss {
			for _, r := range s.rows {
				n[r.id]++
			}
		}
		return n
	}
	two := plan(rows, 2, 0, 10, 7) // 4 rows reach 10 tokens
	if len(two) != 6 || two[5].epoch != 1 || len(two[2].rows) != 2 {
		t.Errorf("two epochs: %d steps, %d rows in the third", len(two), len(two[2].rows))
	}
	for id, n := range count(two) {
		if n != 2 {
			t.Errorf("row %s is visited %d times in two epochs", id, n)
		}
	}
	if names(two[0].rows) == names(two[3].rows) {
		t.Error("the second epoch has the first one's order")
	}
	if cycled := plan(rows, 0, 7, 10, 7); len(cycled) != 7 || cycled[6].epoch != 2 || names(cycled[4].rows) != names(two[4].rows) {
		t.Error("--steps does not repeat epochs")
	}
	for _, c := range []struct{ epochs, steps, limit int }{{3, 0, 29}, {0, 7, 29}} {
		if _, err := (mixture{}).plan(rows, c.epochs, c.steps, 10, 7, c.limit); err == nil || !strings.Contains(err.Error(), "more than 29 times") {
			t.Errorf("30 visits: %v", err)
		}
		if _, err := (mixture{}).plan(rows, c.epochs, c.steps, 10, 7, 30); err != nil {
			t.Error(err)
		}
	}
	if m := micro([]*row{{ids: make([]int32, 5)}, {ids: make([]int32, 1)}, {ids: make([]int32, 2)}, {ids: make([]int32, 2)}}, 3); len(m) != 3 || len(m[1]) != 2 {
		t.Errorf("micro-batches: %v", m)
	}
}

// A step that overflows names its rows; a cancelled one stops.
func TestStepFails(t *testing.T) {
	g := readGolden(t)
	dev := device(t, 1)
	tr := startTrainer(t, dev, "llama", compute.F32, g.options(LossSFT))
	s := g.plan()[1]
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := tr.step(ctx, s, 1, 1e-3); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	for _, p := range tr.params {
		x := values(dev, p)
		x[0] = float32(math.NaN())
		dev.Write(p.Value, x)
	}
	tr.m.Refresh()
	if _, err := tr.step(t.Context(), s, 5, 1e-3); err == nil || !strings.Contains(err.Error(), "step 5") || !strings.Contains(err.Error(), "3, 4, 5") {
		t.Errorf("NaN: %v", err)
	}
}
