package parquet

import (
	"path/filepath"
	"strings"
	"testing"

	pq "github.com/parquet-go/parquet-go"
)

// Weights come back as they were written, null as none.
func TestRowWeights(t *testing.T) {
	path := filepath.Join(t.TempDir(), "w.parquet")
	w, err := CreateWeightedTokens(path)
	if err != nil {
		t.Fatal(err)
	}
	half, zero := float32(0.5), float32(0)
	weights := []*float32{&half, nil, &zero, &half}
	for _, x := range weights {
		if err := w.Write(&TokensRow{ID: "a", InputIDs: []int32{1, 2}, Labels: []int32{-100, 2}, Weight: x}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Commit(Meta{Version: "v"}); err != nil {
		t.Fatal(err)
	}
	rows, err := readTokens(path)
	if err != nil || len(rows) != len(weights) {
		t.Fatalf("%d rows: %v", len(rows), err)
	}
	for i, r := range rows {
		if (r.Weight == nil) != (weights[i] == nil) || r.Weight != nil && *r.Weight != *weights[i] {
			t.Errorf("row %d: weight %v, want %v", i, r.Weight, weights[i])
		}
	}
	r, err := OpenTokens(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if !r.Weighted() {
		t.Error("the shard has no weights")
	}
	plain, err := CreateTokens(filepath.Join(t.TempDir(), "p.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Abort()
	if err := plain.Write(&TokensRow{ID: "a", Weight: &half}); err == nil || !strings.Contains(err.Error(), "would lose") {
		t.Errorf("a weight is written where there is no column: %v", err)
	}
}

// Foreign weights may be of either precision; what cannot weigh a loss is refused.
func TestForeignRowWeights(t *testing.T) {
	type wide struct {
		ID       string  `parquet:"id"`
		InputIDs []int32 `parquet:"input_ids,list"`
		Labels   []int32 `parquet:"labels,list"`
		Weight   float64 `parquet:"weight,dict"`
	}
	for _, c := range []struct {
		weight float64
		want   string
	}{{0.25, ""}, {-1, "row 1: column weight: -1 is not"}, {1e300, "column weight: +Inf is not"}} {
		path := filepath.Join(t.TempDir(), "w.parquet")
		err := pq.WriteFile(path, []wide{{"a", []int32{1}, []int32{1}, 2}, {"b", []int32{1}, []int32{1}, c.weight}})
		if err != nil {
			t.Fatal(err)
		}
		rows, err := readTokens(path)
		if c.want != "" {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v: %v", c.weight, err)
			}
			continue
		}
		if err != nil || *rows[0].Weight != 2 || float64(*rows[1].Weight) != c.weight {
			t.Errorf("%v: %+v, %v", c.weight, rows, err)
		}
	}
}
