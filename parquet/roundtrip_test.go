package parquet

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"eaft/internal/store"
)

// someTokens are rows with empty lists, a long row over many pages, and text
// outside ASCII.
func someTokens() []TokensRow {
	rows := []TokensRow{{
		ID: "a", Source: "x.jsonl", Row: 0, Text: "héé", InputIDs: []int32{1, 2}, Labels: []int32{-100, 2},
		TokenStart: []int32{0, 1}, TokenEnd: []int32{1, 5},
		Spans: []Span{{"user", 0, 0, 1}, {"assistant", 1, 1, 2}},
	}, {ID: "empty", Source: "x.jsonl", Row: 1}}
	long := TokensRow{ID: "long", Source: "y.jsonl", Row: 2}
	for i := range int32(300_000) {
		long.InputIDs = append(long.InputIDs, int32(int64(i)*7919%50000))
		long.Labels = append(long.Labels, long.InputIDs[i])
	}
	rows = append(rows, long)
	for i := range 500 {
		n := i % 13
		r := TokensRow{ID: fmt.Sprint("r", i), Source: "z.jsonl", Row: int64(i), Text: strings.Repeat("w", n)}
		for j := range int32(n) {
			r.InputIDs, r.Labels = append(r.InputIDs, j*j), append(r.Labels, -100)
			r.TokenStart, r.TokenEnd = append(r.TokenStart, j), append(r.TokenEnd, j+1)
		}
		rows = append(rows, r)
	}
	return rows
}

func writeTokens(t testing.TB, path string, rows []TokensRow) ShardInfo {
	t.Helper()
	w, err := CreateTokens(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range rows {
		if err := w.Write(&rows[i]); err != nil {
			t.Fatal(err)
		}
	}
	info, err := w.Commit(Meta{Version: "v", Hashes: map[string]string{"b": "2", "a": "1"}, K: 20,
		Ledger: Ledger{RowsIn: 3, RowsOut: 1, Dropped: map[string]int64{"x": 1, "y": 1}}})
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func readTokens(path string) (rows []TokensRow, err error) {
	r, err := OpenTokens(path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	for {
		var row TokensRow
		switch err := r.Next(&row); err {
		case nil:
			rows = append(rows, row)
		case io.EOF:
			return rows, nil
		default:
			return rows, err
		}
	}
}

func TestTokensRoundTripAndBytes(t *testing.T) {
	dir, rows := t.TempDir(), someTokens()
	a, b := filepath.Join(dir, "a.parquet"), filepath.Join(t.TempDir(), "b.parquet")
	ia, ib := writeTokens(t, a, rows), writeTokens(t, b, rows)
	if ia.SHA256 != ib.SHA256 || ia.Bytes != ib.Bytes {
		t.Fatal("two writes of the same rows differ")
	}
	if sum, err := store.Hash(a); err != nil || sum != ia.SHA256 {
		t.Fatalf("ShardInfo says %s, the file %s (%v)", ia.SHA256, sum, err)
	}
	got, err := readTokens(a)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(rows) {
		t.Fatalf("%d rows of %d", len(got), len(rows))
	}
	for i := range rows {
		if !reflect.DeepEqual(got[i], rows[i]) {
			t.Fatalf("row %d: got %.200v, want %.200v", i, fmt.Sprint(got[i]), fmt.Sprint(rows[i]))
		}
	}
	meta, err := ReadMeta(a)
	if err != nil || meta.Schema != SchemaTokens || meta.Hashes["a"] != "1" || meta.K != 20 || meta.Ledger.Check() != nil {
		t.Fatalf("meta %+v, %v", meta, err)
	}
	left, _ := os.ReadDir(dir)
	if len(left) != 1 {
		t.Fatalf("left in the folder: %v", left)
	}
}

func TestScoresRoundTrip(t *testing.T) {
	f := func(v ...float32) []float32 { return v }
	want := []ScoresRow{
		{ID: "a", Pos: []int32{1, 5}, Token: []int32{3, 4}, LogProb: f(-1e-30, -80), Entropy: f(math.Nextafter32(1, 2), 3), TopKEntropy: f(0, 1), TopKMass: f(.1, 1), Top1LogProb: f(-.3, -2), Rank: []int32{0, 9}, Top1ID: []int32{3, 8}},
		{ID: "b"},
	}
	roundTrip(t, want, 0)
	want[0].TopKID, want[0].TopKLogProb = []int32{3, 7, 8, 2}, f(-.3, -1e-30, -2, -math.MaxFloat32)
	roundTrip(t, want, 2)
	for _, n := range []int{0, 1, 3} { // of 2 for each target
		w, err := CreateScores(filepath.Join(t.TempDir(), "s.parquet"), n)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Write(&want[0]); err == nil || !strings.Contains(err.Error(), "topk_id") {
			t.Errorf("2 likeliest tokens where %d are needed: %v", n, err)
		}
		w.Abort()
	}
}

func roundTrip(t *testing.T, want []ScoresRow, storeTopK int) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s.parquet")
	w, err := CreateScores(path, storeTopK)
	if err != nil {
		t.Fatal(err)
	}
	for i := range want {
		if err := w.Write(&want[i]); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Commit(Meta{}); err != nil {
		t.Fatal(err)
	}
	r, err := OpenScores(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if r.StoreTopK() != storeTopK {
		t.Errorf("%d likeliest tokens, want %d", r.StoreTopK(), storeTopK)
	}
	if hasTopK := r.pq.Root().Column("topk_id") != nil; hasTopK != (storeTopK > 0) {
		t.Errorf("%d likeliest tokens, column topk_id: %v", storeTopK, hasTopK)
	}
	for i := range want {
		var got ScoresRow
		if err := r.Next(&got); err != nil {
			t.Fatal(err)
		}
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want[i]) {
			t.Fatalf("row %d: %+v", i, got)
		}
	}
	if err := r.Next(&ScoresRow{}); err != io.EOF {
		t.Fatalf("after the last row: %v", err)
	}
}

// Every truncation is an error that names the file, at open or while reading.
func TestTruncated(t *testing.T) {
	dir := t.TempDir()
	whole := filepath.Join(dir, "w.parquet")
	writeTokens(t, whole, someTokens()[:2])
	data, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(dir, "cut.parquet")
	for n := 0; n < len(data); n += 7 {
		if err := os.WriteFile(cut, data[:n], 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := readTokens(cut); err == nil || !strings.Contains(err.Error(), cut) {
			t.Fatalf("%d of %d bytes: %v", n, len(data), err)
		}
	}
}

func TestFailedWriteCommitsNothing(t *testing.T) {
	dir := t.TempDir()
	w, err := CreateTokens(filepath.Join(dir, "x.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Fatalf("the temporary file is not alone: %v, %v", left, err)
	}
	w.plain.tmp.Abort() // as a full disk: every later write fails
	if err := os.WriteFile(filepath.Join(dir, left[0].Name()), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	var werr error
	for i := 0; i < 100 && werr == nil; i++ {
		werr = w.Write(&someTokens()[2])
	}
	if _, err := w.Commit(Meta{}); err == nil {
		t.Fatal("commit after a failed write succeeded")
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Fatalf("left in the folder: %v", left)
	}
}

func TestRefusedRows(t *testing.T) {
	for name, row := range map[string]TokensRow{
		"labels":    {ID: "x", InputIDs: []int32{1, 2}, Labels: []int32{2, -100}},
		"input_ids": {ID: "x", InputIDs: []int32{-1}, Labels: []int32{-100}},
	} {
		path := filepath.Join(t.TempDir(), "x.parquet")
		writeTokens(t, path, []TokensRow{row})
		if _, err := readTokens(path); err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "row 0") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Numbers that are none are named by row and column.
func TestNoNumbers(t *testing.T) {
	for _, x := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		path, bad := filepath.Join(t.TempDir(), "s.parquet"), []float32{float32(x)}
		w, err := CreateScores(path, 0)
		if err != nil {
			t.Fatal(err)
		}
		good, one := []float32{-1}, []int32{1}
		for _, row := range []*ScoresRow{
			{ID: "a", Pos: one, Token: one, LogProb: good, Entropy: good, TopKEntropy: good, TopKMass: good, Top1LogProb: good, Rank: one, Top1ID: one},
			{ID: "b", Pos: one, Token: one, LogProb: good, Entropy: good, TopKEntropy: bad, TopKMass: good, Top1LogProb: good, Rank: one, Top1ID: one},
		} {
			if err := w.Write(row); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := w.Commit(Meta{}); err != nil {
			t.Fatal(err)
		}
		r, err := OpenScores(path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if err := r.Next(&ScoresRow{}); err != nil {
			t.Fatal(err)
		}
		if err := r.Next(&ScoresRow{}); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "row 1") || !strings.Contains(err.Error(), "topk_entropy") {
			t.Errorf("%v: %v", x, err)
		}
	}
}

func TestDataset(t *testing.T) {
	dir := t.TempDir()
	name := ShardName(0, 1)
	info := writeTokens(t, filepath.Join(dir, name), someTokens()[:2])
	if _, err := OpenDataset(dir, SchemaTokens); err == nil || !strings.Contains(err.Error(), "unfinished") {
		t.Fatalf("without a manifest: %v", err)
	}
	m := &Manifest{Schema: SchemaTokens, Shards: []ShardInfo{info}, Ledger: Ledger{RowsIn: 2, RowsOut: 2}}
	if err := WriteManifest(dir, m); err != nil {
		t.Fatal(err)
	}
	d, err := OpenDataset(dir, SchemaTokens)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := d.ShardRows(0); n != 2 || err != nil || d.Verify() != nil {
		t.Fatalf("%d rows, %v, %v", n, err, d.Verify())
	}
	if _, err := OpenDataset(dir, SchemaScores); err == nil {
		t.Fatal("tokens opened as scores")
	}
	path := filepath.Join(dir, name)
	data, _ := os.ReadFile(path)
	data[len(data)/2] ^= 1
	os.WriteFile(path, data, 0o666)
	if d.Verify() == nil {
		t.Fatal("a flipped bit passed Verify")
	}
	os.WriteFile(path, data[:len(data)-1], 0o666)
	if _, err := OpenDataset(dir, SchemaTokens); err == nil {
		t.Fatal("a short shard was accepted")
	}
	for _, bad := range []string{"../x.parquet", "/x.parquet", "a/b.parquet", ".x.parquet", "x.txt", ""} {
		m.Shards[0].Name = bad
		if WriteManifest(dir, m) == nil {
			t.Errorf("shard name %q was accepted", bad)
		}
	}
	m = &Manifest{Ledger: Ledger{RowsIn: 3, RowsOut: 1, Dropped: map[string]int64{"x": 1}}}
	if WriteManifest(dir, m) == nil {
		t.Error("a ledger that loses a row was accepted")
	}
	temp := filepath.Join(dir, ".left.parquet.0123456789abcdef.eaft-tmp")
	if err := os.WriteFile(temp, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := store.CleanTemps(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(temp); !errors.Is(err, os.ErrNotExist) {
		t.Error("store.CleanTemps left a file")
	}
}
