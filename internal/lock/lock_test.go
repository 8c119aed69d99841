package lock

import (
	"os"
	"path/filepath"
	"testing"

	"eaft/internal/store"
)

// A lock's file that lost its name while somebody waited for it is not that lock.
func TestThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	f, err := File(path, false)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if !store.HasName(f) {
		t.Error("a file that has its name")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if store.HasName(f) {
		t.Error("a file that was removed")
	}
	if err := os.WriteFile(path, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if store.HasName(f) {
		t.Error("another file has the name")
	}
}
