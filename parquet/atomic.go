package parquet

import (
	"crypto/sha256"
	"encoding/hex"
	"io"

	"eaft/internal/store"
)

// AtomicFile is a file or object that gets its name when it is whole and durable.
type AtomicFile = store.Writer

// CreateAtomic starts a file that Commit will name path.
func CreateAtomic(path string) (*AtomicFile, error) { return store.Create(path) }

// WriteFileAtomic writes data to path so that a reader sees the old file or the
// whole new one, also after a crash.
func WriteFileAtomic(path string, data []byte) error { return store.WriteFile(path, data) }

// CleanTemps removes the unfinished files that killed runs left in dir. A
// folder that does not exist is clean.
func CleanTemps(dir string) error { return store.CleanTemps(dir) }

// HashFile returns "sha256:" and the hex digest of a file's bytes.
func HashFile(path string) (string, error) {
	f, err := store.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}
