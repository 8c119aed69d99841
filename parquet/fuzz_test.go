package parquet

import (
	"os"
	"path/filepath"
	"testing"

	"eaft/internal/bound"
)

// FuzzReadTokens: whatever the bytes, reading ends in rows that hold what
// readers promise, or in an error.
func FuzzReadTokens(f *testing.F) {
	own := filepath.Join(f.TempDir(), "own.parquet")
	writeTokens(f, own, someTokens()[:2])
	seeds, _ := filepath.Glob("testdata/*.parquet")
	for _, path := range append(seeds, own) {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "x.parquet")
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
		bound.Memory(t, len(data))
		rows, _ := readTokens(path)
		for _, r := range rows {
			if err := r.check(); err != nil {
				t.Fatal(err)
			}
		}
		ReadMeta(path)
	})
}

// Every single flipped byte of a shard is read without a panic.
func TestFlippedBytes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.parquet")
	writeTokens(t, path, someTokens()[:2])
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range data {
		data[i] ^= 0x5a
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
		readTokens(path)
		ReadMeta(path)
		data[i] ^= 0x5a
	}
}
