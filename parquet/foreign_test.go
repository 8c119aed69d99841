package parquet

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// The rows of every good_*.parquet, as testdata/make_fixtures.py states them.
var foreignIDs = [][]int32{{5, 6, 7}, nil, {40000, 5}}
var foreignLabels = [][]int32{{-100, 6, 7}, nil, {-100, 5}}

func checkForeign(t *testing.T, path string) []TokensRow {
	t.Helper()
	rows, err := readTokens(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 3 {
		t.Fatalf("%d rows", len(rows))
	}
	for i, r := range rows {
		if r.ID != []string{"7", "8", "9"}[i] || !reflect.DeepEqual(r.InputIDs, foreignIDs[i]) || !reflect.DeepEqual(r.Labels, foreignLabels[i]) {
			t.Fatalf("row %d: %+v", i, r)
		}
	}
	return rows
}

func TestForeignLayouts(t *testing.T) {
	paths, _ := filepath.Glob("testdata/good_*.parquet")
	if len(paths) < 11 {
		t.Fatalf("fixtures: %v", paths)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) { checkForeign(t, path) })
	}
}

func TestForeignSpans(t *testing.T) {
	for _, path := range []string{"testdata/spans_pyarrow.parquet", "testdata/spans_duckdb.parquet"} {
		rows := checkForeign(t, path)
		want := []Span{{"user", 0, 0, 1}, {"assistant", 1, 1, 3}}
		if !reflect.DeepEqual(rows[0].Spans, want) || rows[1].Spans != nil || rows[2].Spans != nil {
			t.Errorf("%s: %v %v %v", path, rows[0].Spans, rows[1].Spans, rows[2].Spans)
		}
	}
}

func TestForeignPagesInsideRows(t *testing.T) {
	rows, err := readTokens("testdata/pages.parquet")
	if err != nil || len(rows) != 4 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	for r, row := range rows {
		if len(row.InputIDs) != 3000 {
			t.Fatalf("row %d has %d tokens", r, len(row.InputIDs))
		}
		for i, id := range row.InputIDs {
			if want := int32((r*7 + i*13) % 997); id != want {
				t.Fatalf("row %d, token %d: %d, want %d", r, i, id, want)
			}
		}
	}
}

func TestForeignRefused(t *testing.T) {
	for name, want := range map[string][]string{
		"null_id":        {"row 1", "column id", "null"},
		"null_list":      {"row 1", "column input_ids", "null"},
		"null_element":   {"row 2", "column input_ids", "element 1", "null"},
		"missing_labels": {"column labels", "missing"},
		"float_ids":      {"column input_ids", "FLOAT", "integer"},
		"too_large":      {"row 2", "column input_ids", "1099511627776"},
		"scalar_ids":     {"column input_ids", "list"},
		"nested":         {"column input_ids", "nested"},
		"lengths":        {"row 0", "column labels"},
	} {
		path := "testdata/bad_" + name + ".parquet"
		_, err := readTokens(path)
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		for _, w := range append(want, path) {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %q does not say %q", name, err, w)
			}
		}
	}
}
