package parquet

import (
	"io"
	"os"
	"path/filepath"
	"testing"
)

// benchRows is about 16 MB of columns: 500 rows of 2,000 tokens.
func benchRows() (rows []TokensRow, size int64) {
	seed := uint32(1)
	for range 500 {
		r := TokensRow{ID: "r", Source: "s"}
		for j := range int32(2000) {
			seed = seed*1664525 + 1013904223
			id := int32((seed >> 8) % 50000 * (seed >> 24) / 256)
			r.InputIDs, r.Labels = append(r.InputIDs, id), append(r.Labels, id)
			r.TokenStart, r.TokenEnd = append(r.TokenStart, j), append(r.TokenEnd, j+1)
		}
		r.Text = string(make([]byte, 2000))
		rows = append(rows, r)
		size += 16*2000 + 2000
	}
	return rows, size
}

func BenchmarkWriteTokens(b *testing.B) {
	rows, size := benchRows()
	b.SetBytes(size)
	for b.Loop() {
		writeTokens(b, filepath.Join(b.TempDir(), "x.parquet"), rows)
	}
}

func BenchmarkReadTokens(b *testing.B) {
	rows, size := benchRows()
	path := filepath.Join(b.TempDir(), "x.parquet")
	writeTokens(b, path, rows)
	b.SetBytes(size)
	for b.Loop() {
		r, err := OpenTokens(path)
		if err != nil {
			b.Fatal(err)
		}
		var row TokensRow
		for err = r.Next(&row); err == nil; err = r.Next(&row) {
		}
		if err != io.EOF {
			b.Fatal(err)
		}
		r.Close()
	}
}

// BenchmarkWriteShard writes the rows of the shard that EAFT_SHARD names; see
// docs/benchmarks.md.
func BenchmarkWriteShard(b *testing.B) {
	path := os.Getenv("EAFT_SHARD")
	if path == "" {
		b.Skip("EAFT_SHARD is not set")
	}
	rows, err := readTokens(path)
	if err != nil {
		b.Fatal(err)
	}
	out, n := filepath.Join(b.TempDir(), "x.parquet"), int64(0)
	for b.Loop() {
		n = writeTokens(b, out, rows).Bytes
	}
	b.ReportMetric(float64(n)/1e6, "MB-file")
}
