package train

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"eaft/compute"
	"eaft/parquet"
)

// plan is an even mixture's.
func plan(rows []*row, epochs, steps, batchTokens int, seed uint64) []step {
	out, err := mixture(nil).plan(rows, epochs, steps, batchTokens, seed, math.MaxInt)
	if err != nil {
		panic(err)
	}
	return out
}

func mixedRows() []*row {
	var rows []*row
	for i := range 30 {
		rows = append(rows, &row{id: fmt.Sprint(i), source: string("abc"[i%3]), ids: make([]int32, 3)})
	}
	return rows
}

func TestMixture(t *testing.T) {
	rows := mixedRows()
	m, err := parseMix("a=2.5,b=0.3")
	must(t, err)
	must(t, m.check(rows))
	seen := map[string]int{}
	for e := range 10 {
		times := map[string]int{}
		for _, i := range m.epoch(rows, e, 7) {
			seen[rows[i].id]++
			times[rows[i].source]++
		}
		if times["a"] != 25 || times["b"] != 3 || times["c"] != 10 {
			t.Errorf("epoch %d: %v", e, times)
		}
	}
	for _, r := range rows { // each has had its turn as often as the others
		if want := map[string]int{"a": 25, "b": 3, "c": 10}[r.source]; seen[r.id] != want {
			t.Errorf("row %s of %s: %d visits in 10 epochs, want %d", r.id, r.source, seen[r.id], want)
		}
	}
	if slices.Equal(m.epoch(rows, 0, 7), m.epoch(rows, 1, 7)) {
		t.Error("the second epoch draws the same rows")
	}
	if slices.Equal(m.epoch(rows, 0, 7), m.epoch(rows, 0, 8)) {
		t.Error("another seed draws the same rows")
	}
	if all := mixture(nil).epoch(rows, 3, 7); len(all) != 30 || !slices.IsSorted(all) {
		t.Errorf("without a mixture: %v", all)
	}
	steps, err := m.plan(rows, 2, 0, 9, 7, math.MaxInt)
	must(t, err)
	for _, v := range m.visits(rows, steps) {
		if want := map[string]int64{"a": 50, "b": 6, "c": 20}[v.Source]; v.Visits != want || v.Rows != 10 {
			t.Errorf("%+v, want %d visits", v, want)
		}
	}
	if few, err := (mixture{"a": 0.01, "b": 0, "c": 0.01}).plan(rows, 0, 5, 9, 7, math.MaxInt); len(few) != 0 || err != nil {
		t.Errorf("%d steps of nothing", len(few))
	}
}

func TestMixRefuses(t *testing.T) {
	for _, c := range []struct{ mix, want string }{
		{"a", "not of the form"},
		{"a=x", `the weight of "a" is "x"`},
		{"a=-1", "from 0 to 1000"},
		{"a=NaN", "from 0 to 1000"},
		{"a=1,a=2", "two weights"},
		{"d=1", `no trained row has the source "d"; there are ["a" "b" "c"]`},
		{"a=0,b=0,c=0", "leaves no row"},
		{"x=y=2", `no trained row has the source "x=y"`},
	} {
		m, err := parseMix(c.mix)
		if err == nil {
			err = m.check(mixedRows())
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.mix, err)
		}
	}
}

// A run says in run.json how often each source was visited.
func TestMixedRun(t *testing.T) {
	w := newWorld(t)
	w.o.Mix = "=2" // the fixture's rows have no source
	must(t, w.run(t.Context()))
	var rec Record
	data, err := os.ReadFile(filepath.Join(w.o.Out, RecordName))
	must(t, err)
	must(t, json.Unmarshal(data, &rec))
	if len(rec.Visits) != 1 || rec.Visits[0].Visits != 4*rec.Visits[0].Rows {
		t.Errorf("%+v", rec.Visits)
	}
	if n := len(audits(t, filepath.Join(w.o.Out, AuditName))); int64(n) != rec.Visits[0].Visits {
		t.Errorf("%d rows of the audit, %d visits", n, rec.Visits[0].Visits)
	}
	w.o.Mix, w.o.Out = "other=2", filepath.Join(w.dir, "run2")
	if err := w.run(t.Context()); err == nil || !strings.Contains(err.Error(), `"other"`) {
		t.Errorf("%v", err)
	}
}

// A row's weight multiplies those of its targets: with all of them 1/2 the loss
// and its gradient are halved, exactly.
func TestRowWeights(t *testing.T) {
	g := readGolden(t)
	stepWith := func(weight float32, on bool) Metrics {
		dev := device(t, 2)
		o := g.options(LossEAFT)
		o.RowWeights, o.MaxGradNorm = on, 0
		tr := startTrainer(t, dev, "llama", compute.F32, o)
		s := g.plan()[0]
		for _, r := range s.rows {
			r.weight = &weight
		}
		mt, err := tr.step(t.Context(), s, 1, 0)
		must(t, err)
		return mt
	}
	full, half := stepWith(0.5, false), stepWith(0.5, true)
	if full.Loss != 2*half.Loss || full.MeanWeight != 2*half.MeanWeight || full.SFTLoss != half.SFTLoss || math.Abs(full.GradNorm-2*half.GradNorm) > 1e-6*full.GradNorm {
		t.Errorf("%+v, halved %+v", full, half)
	}
	w := newWorld(t)
	w.o.RowWeights = true
	if err := w.run(t.Context()); err == nil || !strings.Contains(err.Error(), "row 1 (0) has no weight") {
		t.Errorf("%v", err)
	}
	path := filepath.Join(t.TempDir(), parquet.ShardName(0, 1))
	tw, err := parquet.CreateWeightedTokens(path)
	must(t, err)
	third := float32(1) / 3
	must(t, tw.Write(&parquet.TokensRow{ID: "x", Source: "s", InputIDs: []int32{1, 2}, Labels: []int32{-100, 2}, Weight: &third}))
	_, err = tw.Commit(parquet.Meta{Version: "test"})
	must(t, err)
	rows, err := loadShard(path, nil, &parquet.Ledger{Dropped: map[string]int64{}}, 0, 10, 10)
	if err != nil || *rows[0].weight != third || rows[0].source != "s" {
		t.Errorf("%+v, %v", rows, err)
	}
}
