package store

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

// tempSuffix marks files that are being written; CleanTemps removes what a
// killed run left of them. No reader looks at such names.
const tempSuffix = ".eaft-tmp"

// partSize is how much of an object goes up in one request.
const partSize = 16 << 20

// atOnce is how little is sent in no more time than an answer may take.
const atOnce = 1 << 20

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
	for {
		var nonce [8]byte
		rand.Read(nonce[:])
		temp := fmt.Sprintf(".%s.%x%s", filepath.Base(name), nonce, tempSuffix)
		if w.f, err = os.OpenFile(filepath.Join(filepath.Dir(name), temp), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666); err != nil {
			return nil, err
		}
		if alive(w.f) {
			return w, nil
		}
		w.Abort() // CleanTemps was there between the two
	}
}

// alive locks a temporary file for as long as its writer has it open, by which CleanTemps
// sees that it lives, and reports whether it still has its name. On a file system without
// locks nothing is seen.
func alive(f *os.File) bool {
	return Flock(f, syscall.LOCK_EX) != syscall.EWOULDBLOCK && HasName(f)
}

// Flock tries to lock an open file as flock(2) does: how is syscall.LOCK_EX or
// LOCK_SH. syscall.EWOULDBLOCK: another has it.
func Flock(f *os.File, how int) (err error) {
	for err = syscall.EINTR; err == syscall.EINTR; {
		err = syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB)
	}
	return err
}

// HasName reports that an open file still has its name: nobody has removed or replaced it.
func HasName(f *os.File) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := os.Stat(f.Name())
	return err == nil && os.SameFile(a, b)
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
	name := Local(w.name)
	if err := os.Rename(w.f.Name(), name); err != nil {
		w.Abort()
		return err
	}
	w.f.Close() // after the rename, for the lock ends here; what Sync wrote is written
	return syncDir(filepath.Dir(name))
}

// upload sends what was gathered.
func (w *Writer) upload() error {
	b, l, err := at(w.name)
	if err != nil {
		return err
	}
	return send(b, l, w.f, w.size)
}

// send makes an object of size bytes of r. It appears when the last request of it
// is answered; its size is then asked for.
func send(b *blob.Bucket, l location, r io.ReaderAt, size int64) error {
	err := l.retry("write", func() error { return put(b, l, r, size, false) })
	if err != nil {
		return err
	}
	a, err := attributes(b, l)
	if err == nil && a.Size != size {
		err = l.errOf(fmt.Errorf("has %d bytes after %d were written; something else writes there", a.Size, size))
	}
	return err
}

// put tries once to write an object; with fresh only where there is none. The
// driver's own writer is not used: Azure's panics when an upload fails.
func put(b *blob.Bucket, l location, r io.ReaderAt, size int64, fresh bool) error {
	req := newRequest()
	err := req.end(b.Upload(req, l.key, &sending{io.NewSectionReader(r, 0, size), size, req},
		&blob.WriterOptions{BufferSize: partSize, MaxConcurrency: 2, ContentType: "application/octet-stream", IfNotExist: fresh}))
	if codeOf(err) == gcerrors.NotFound {
		req := newRequest()
		ok, e := b.IsAccessible(req)
		if req.end(e) == nil && !ok {
			return errNoBucket
		}
		err = errors.New("the store forgot the upload before it was whole") // and may take another
	}
	return err
}

// errNoBucket is one that another try would meet again.
var errNoBucket = errors.New("there is no such bucket; make it first")

// sending tells a request of what is sent.
type sending struct {
	r    io.Reader
	size int64
	req  *request
}

func (s *sending) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	switch {
	case err == nil:
		s.req.moved()
	case errors.Is(err, io.EOF):
		wait := stall
		if s.size > atOnce {
			wait *= 4 // the last parts are on their way
		}
		s.req.timer.Reset(wait)
	default:
		s.req.cancel(err) // so that no driver takes it for the end of the object
	}
	return n, err
}

// Upload makes an object of a file of this machine.
func Upload(name, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return UploadFrom(name, f)
}

// UploadFrom makes an object of what an open file of this machine holds now.
func UploadFrom(name string, f *os.File) error {
	b, l, err := at(name)
	if err != nil {
		return err
	}
	st, err := f.Stat()
	if err != nil {
		return err
	}
	return send(b, l, f, st.Size())
}

// CreateNew makes a file with these bytes, whole, and reports whether it did: of
// many that try at once one succeeds. An answer that was lost is no doubt, where
// the bytes of each are its own: the file that holds them was made by this call.
func CreateNew(name string, data []byte) (made bool, err error) {
	if !IsURL(name) {
		return link(Local(name), data)
	}
	b, l, err := at(name)
	if err != nil {
		return false, err
	}
	for try := 1; ; try++ {
		there := false
		err = l.retry("create", func() error {
			err := put(b, l, bytes.NewReader(data), int64(len(data)), true)
			there = codeOf(err) == gcerrors.FailedPrecondition
			if there {
				return nil
			}
			return err
		})
		if err != nil || !there {
			return err == nil, err
		}
		have, err := ReadFile(name)
		if !errors.Is(err, fs.ErrNotExist) || try == tries {
			return err == nil && bytes.Equal(have, data), err
		}
		// It was removed just now, or another is creating it, which some stores say too early.
		time.Sleep(firstPause)
	}
}

// link gives a name to a file that is whole, which fails if the name is there. Where
// files have one name only it is created by that.
func link(name string, data []byte) (bool, error) {
	w, err := Create(name)
	if err != nil {
		return false, err
	}
	defer w.Abort()
	if _, err := w.Write(data); err != nil {
		return false, err
	}
	err = os.Link(w.f.Name(), name)
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EPERM) {
		// FAT, and some mounted buckets: the file is there before its bytes are.
		var f *os.File
		if f, err = os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666); err == nil {
			_, err = f.Write(data)
			err = errors.Join(err, f.Sync(), f.Close())
		}
	}
	if errors.Is(err, os.ErrExist) {
		return false, nil
	}
	return err == nil, err
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

// CleanTemps removes the unfinished files that killed runs left in dir, and leaves those
// of writers that live. A folder that does not exist is clean, and so is a bucket, where
// nothing unfinished is.
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
			if err := removeDead(filepath.Join(dir, n)); err != nil {
				return err
			}
		}
	}
	return nil
}

// removeDead removes a temporary file unless its writer lives.
func removeDead(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err == nil {
		defer f.Close()
		if Flock(f, syscall.LOCK_EX) == syscall.EWOULDBLOCK {
			return nil
		}
	}
	return RemoveIfThere(path)
}
