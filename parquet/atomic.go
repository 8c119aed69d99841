package parquet

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// tempSuffix marks files that are being written; CleanTemps removes what a
// killed run left of them. No reader looks at such names.
const tempSuffix = ".eaft-tmp"

// tempFile is written beside its final path and takes that name on commit.
type tempFile struct {
	f    *os.File
	path string
	sum  hash.Hash
	size int64
}

func createTemp(path string) (*tempFile, error) {
	var nonce [8]byte
	rand.Read(nonce[:])
	name := fmt.Sprintf(".%s.%x%s", filepath.Base(path), nonce, tempSuffix)
	f, err := os.OpenFile(filepath.Join(filepath.Dir(path), name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return nil, err
	}
	return &tempFile{f: f, path: path, sum: sha256.New()}, nil
}

func (t *tempFile) Write(p []byte) (int, error) {
	n, err := t.f.Write(p)
	t.sum.Write(p[:n])
	t.size += int64(n)
	return n, err
}

func (t *tempFile) hash() string { return "sha256:" + hex.EncodeToString(t.sum.Sum(nil)) }

// commit makes the file durable under its final name, or removes it.
func (t *tempFile) commit() error {
	err := t.f.Sync()
	if err != nil {
		t.abort()
		return err
	}
	if err := t.f.Close(); err != nil {
		os.Remove(t.f.Name())
		return err
	}
	if err := os.Rename(t.f.Name(), t.path); err != nil {
		os.Remove(t.f.Name())
		return err
	}
	return syncDir(filepath.Dir(t.path))
}

func (t *tempFile) abort() {
	t.f.Close()
	os.Remove(t.f.Name())
}

// syncDir makes a rename in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// AtomicFile is a file that gets its name when it is whole and durable.
type AtomicFile struct{ t *tempFile }

// CreateAtomic starts a file that Commit will name path.
func CreateAtomic(path string) (*AtomicFile, error) {
	t, err := createTemp(path)
	return &AtomicFile{t}, err
}

func (f *AtomicFile) Write(p []byte) (int, error) { return f.t.Write(p) }

// Commit ends the file; on an error nothing is left.
func (f *AtomicFile) Commit() error { return f.t.commit() }

// Abort removes the file. It is not for use after Commit.
func (f *AtomicFile) Abort() { f.t.abort() }

// WriteFileAtomic writes data to path so that a reader sees the old file or the
// whole new one, also after a crash.
func WriteFileAtomic(path string, data []byte) error {
	t, err := createTemp(path)
	if err != nil {
		return err
	}
	if _, err := t.Write(data); err != nil {
		t.abort()
		return err
	}
	return t.commit()
}

// CleanTemps removes the unfinished files that killed runs left in dir. A
// folder that does not exist is clean.
func CleanTemps(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if n := e.Name(); e.Type().IsRegular() && strings.HasPrefix(n, ".") && strings.HasSuffix(n, tempSuffix) {
			if err := os.Remove(filepath.Join(dir, n)); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

// HashFile returns "sha256:" and the hex digest of a file's bytes.
func HashFile(path string) (string, error) {
	f, err := os.Open(path)
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
