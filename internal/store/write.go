package store

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

	"gocloud.dev/blob"
)

// tempSuffix marks files that are being written; CleanTemps removes what a
// killed run left of them. No reader looks at such names.
const tempSuffix = ".eaft-tmp"

// partSize is how much of an object goes up in one request.
const partSize = 16 << 20

// Writer is a file that gets its name when it is whole and durable. A file is
// written beside its final path; an object is gathered in a file of this
// machine's folder for temporary files (TMPDIR) and sent by Commit, in parts if
// it is large, so that a request that fails can be made again.
type Writer struct {
	f    *os.File
	name string
	sum  hash.Hash
	size int64
}

// Create starts a file that Commit will name name.
func Create(name string) (*Writer, error) {
	w := &Writer{name: name, sum: sha256.New()}
	var err error
	if IsURL(name) {
		if _, _, err := at(name); err != nil {
			return nil, err
		}
		if w.f, err = os.CreateTemp("", "eaft-upload-*"+tempSuffix); err != nil {
			return nil, err
		}
		os.Remove(w.f.Name()) // where an open file may lose its name, a killed run leaves nothing
		return w, nil
	}
	name = Local(name)
	var nonce [8]byte
	rand.Read(nonce[:])
	temp := fmt.Sprintf(".%s.%x%s", filepath.Base(name), nonce, tempSuffix)
	if w.f, err = os.OpenFile(filepath.Join(filepath.Dir(name), temp), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666); err != nil {
		return nil, err
	}
	return w, nil
}

// Name is what Create was given.
func (w *Writer) Name() string { return w.name }

// Size is the number of bytes written.
func (w *Writer) Size() int64 { return w.size }

// Hash is "sha256:" and the hex digest of the bytes written.
func (w *Writer) Hash() string { return "sha256:" + hex.EncodeToString(w.sum.Sum(nil)) }

func (w *Writer) Write(p []byte) (int, error) {
	n, err := w.f.Write(p)
	w.sum.Write(p[:n])
	w.size += int64(n)
	return n, err
}

// Commit makes the file durable under its final name; on an error nothing is
// left of it.
func (w *Writer) Commit() error {
	if IsURL(w.name) {
		defer w.Abort()
		return w.upload()
	}
	err := w.f.Sync()
	if err != nil {
		w.Abort()
		return err
	}
	if err := w.f.Close(); err != nil {
		os.Remove(w.f.Name())
		return err
	}
	name := Local(w.name)
	if err := os.Rename(w.f.Name(), name); err != nil {
		os.Remove(w.f.Name())
		return err
	}
	return syncDir(filepath.Dir(name))
}

// upload sends what was gathered. The object appears when the last request of
// it is answered; its size is then asked for.
func (w *Writer) upload() error {
	b, l, err := at(w.name)
	if err != nil {
		return err
	}
	err = l.retry("write", func() error {
		req := newRequest()
		out, err := b.NewWriter(req, l.key, &blob.WriterOptions{BufferSize: partSize, MaxConcurrency: 2, ContentType: "application/octet-stream"})
		if err != nil {
			return req.end(err)
		}
		if _, err = io.Copy(out, &moving{io.NewSectionReader(w.f, 0, w.size), req}); err != nil {
			req.cancel(err) // so that Close drops the object
			out.Close()
			return req.end(err)
		}
		req.timer.Reset(4 * stall) // the last parts are on their way
		return req.end(out.Close())
	})
	if err != nil {
		return err
	}
	a, err := attributes(b, l)
	if err == nil && a.Size != w.size {
		err = l.errOf(fmt.Errorf("has %d bytes after %d were written; something else writes there", a.Size, w.size))
	}
	return err
}

// Abort removes what was written. It is not for use after Commit.
func (w *Writer) Abort() {
	w.f.Close()
	os.Remove(w.f.Name())
}

// syncDir makes a rename in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// WriteFile writes data so that a reader sees the old file or the whole new
// one, also after a crash.
func WriteFile(name string, data []byte) error {
	w, err := Create(name)
	if err != nil {
		return err
	}
	if _, err := w.Write(data); err != nil {
		w.Abort()
		return err
	}
	return w.Commit()
}

// CleanTemps removes the unfinished files that killed runs left in dir. A
// folder that does not exist is clean, and so is a bucket, where nothing
// unfinished is.
func CleanTemps(dir string) error {
	if IsURL(dir) {
		return nil
	}
	dir = Local(dir)
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
