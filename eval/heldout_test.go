package eval_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"eaft/compute/cpu"
	"eaft/eval"
	"eaft/model"
	"eaft/model/weights"
	"eaft/parquet"
)

// The first optimizer step of the trainer's fixture has the loss of the model
// before any update, by torch: held-out loss on the same rows.
func TestHeldOut(t *testing.T) {
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile("../train/testdata/golden.json")
	must(err)
	var g struct {
		Rows  []struct{ IDs, Labels []int32 }
		Steps [][]int
		Runs  map[string]map[string]struct {
			SFTLoss []float64 `json:"sft_loss"`
		}
	}
	must(json.Unmarshal(data, &g))
	dir := t.TempDir()
	w, err := parquet.CreateTokens(filepath.Join(dir, parquet.ShardName(0, 1)))
	must(err)
	var targets int64
	for _, i := range g.Steps[0] {
		r := g.Rows[i]
		must(w.Write(&parquet.TokensRow{ID: fmt.Sprint(i), InputIDs: r.IDs, Labels: r.Labels}))
		for _, label := range r.Labels[1:] {
			if label != parquet.Ignore {
				targets++
			}
		}
	}
	must(w.Write(&parquet.TokensRow{ID: "untrained", InputIDs: []int32{1}, Labels: []int32{1}}))
	long := make([]int32, 65) // the models have 64 positions
	must(w.Write(&parquet.TokensRow{ID: "long", InputIDs: long, Labels: long}))
	info, err := w.Commit(parquet.Meta{Schema: parquet.SchemaTokens, Version: "test"})
	must(err)
	must(parquet.WriteManifest(dir, &parquet.Manifest{Schema: parquet.SchemaTokens, Version: "test",
		Shards: []parquet.ShardInfo{info}, Ledger: parquet.Ledger{RowsIn: 5, RowsOut: 5}}))
	ds, err := parquet.OpenDataset(dir, parquet.SchemaTokens)
	must(err)
	dev, err := cpu.New(2)
	must(err)
	for family, runs := range g.Runs {
		c, err := weights.Open(filepath.Join("../model/testdata", family))
		must(err)
		m, err := model.Load(dev, c, model.Options{})
		must(err)
		r, err := eval.HeldOut(t.Context(), m, ds)
		must(err)
		want := runs["sft"].SFTLoss[0]
		// About 460 float32 roundings in a chain, on both sides; see the trainer's test.
		if bound := 2 * 4 * math.Sqrt(460) / (1 << 24); math.Abs(r.Loss-want) > bound*want {
			t.Errorf("%s: loss %v, torch says %v", family, r.Loss, want)
		}
		if r.Rows != 3 || r.Targets != targets || !(r.Accuracy >= 0 && r.Accuracy <= 1) {
			t.Errorf("%s: %+v, want 3 rows with %d targets", family, r, targets)
		}
		if want := "2 of 5 rows are not measured: 1 longer than the model's positions, 1 no trained target"; r.LeftOut() != want {
			t.Errorf("%s: %q, want %q", family, r.LeftOut(), want)
		}
		must(c.Close())
	}
}
