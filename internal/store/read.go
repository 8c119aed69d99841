package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"

	"gocloud.dev/blob"
)

// An object's bytes at random places are read and kept in blocks: a Parquet
// reader goes through all columns of a row group at once, and they lie together.
const (
	blockSize  = 4 << 20
	keptBlocks = 4
)

// File is an open file or object.
type File struct {
	name string
	size int64
	os   *os.File // nil: an object

	at      location
	bucket  *blob.Bucket
	version any

	mu     sync.Mutex
	blocks []block // most recently used last
	offset int64   // of Read
	stream *blob.Reader
	req    *request // of stream
}

type block struct {
	at   int64
	data []byte
}

// changedError says that the object is not the one that was opened.
type changedError struct{}

func (*changedError) Error() string { return "the object changed while it was read" }

// Open opens a file for reading; the error is fs.ErrNotExist where there is
// none. A folder can be opened but not read, as by os.Open.
func Open(name string) (*File, error) {
	if !IsURL(name) {
		f, err := os.Open(Local(name))
		if err != nil {
			return nil, err
		}
		st, err := f.Stat()
		if err != nil {
			f.Close()
			return nil, err
		}
		return &File{name: name, size: st.Size(), os: f}, nil
	}
	b, l, err := at(name)
	if err != nil {
		return nil, err
	}
	a, err := attributes(b, l)
	if err != nil {
		return nil, err
	}
	return &File{name: name, size: a.Size, at: l, bucket: b, version: version(a.As, a.ModTime)}, nil
}

func attributes(b *blob.Bucket, l location) (a *blob.Attributes, err error) {
	if l.key == "" {
		return nil, l.errOf(&failure{"names no object but the bucket: " + fs.ErrNotExist.Error(), fs.ErrNotExist})
	}
	err = l.retry("open", func() (err error) {
		req := newRequest()
		a, err = b.Attributes(req, l.key)
		return req.end(err)
	})
	return a, err
}

// Name is what Open was given.
func (f *File) Name() string { return f.name }

// Size is the file's length in bytes when it was opened.
func (f *File) Size() int64 { return f.size }

// Regular reports whether the file is one of bytes with a length, so neither
// folder nor pipe.
func (f *File) Regular() bool {
	if f.os == nil {
		return true
	}
	st, err := f.os.Stat()
	return err == nil && st.Mode().IsRegular()
}

// Close ends reading.
func (f *File) Close() error {
	if f.os != nil {
		return f.os.Close()
	}
	f.closeStream(nil)
	f.blocks = nil
	return nil
}

// ReadAt reads as io.ReaderAt does, and may be called by several at once.
func (f *File) ReadAt(p []byte, off int64) (n int, err error) {
	if f.os != nil {
		return f.os.ReadAt(p, off)
	}
	if off < 0 {
		return 0, errors.New("negative offset")
	}
	for n < len(p) {
		if off >= f.size {
			return n, io.EOF
		}
		if off%blockSize == 0 && len(p)-n >= blockSize { // a whole block is not worth a copy
			m := int(min(int64(len(p)-n), f.size-off, 4*blockSize))
			if err := f.fetch(p[n:n+m], off); err != nil {
				return n, err
			}
			n, off = n+m, off+int64(m)
			continue
		}
		data, err := f.block(off - off%blockSize)
		if err != nil {
			return n, err
		}
		m := copy(p[n:], data[off%blockSize:])
		n, off = n+m, off+int64(m)
	}
	return n, nil
}

// block is the block that begins at an offset.
func (f *File) block(at int64) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, b := range f.blocks {
		if b.at == at {
			f.blocks = append(append(f.blocks[:i:i], f.blocks[i+1:]...), b)
			return b.data, nil
		}
	}
	data := make([]byte, min(blockSize, f.size-at))
	if err := f.fetch(data, at); err != nil {
		return nil, err
	}
	if len(f.blocks) == keptBlocks {
		f.blocks = append(f.blocks[:0:0], f.blocks[1:]...)
	}
	f.blocks = append(f.blocks, block{at, data})
	return data, nil
}

// fetch reads len(p) bytes from an offset by one ranged request.
func (f *File) fetch(p []byte, off int64) error {
	return f.at.retry("read", func() error {
		req := newRequest()
		r, err := f.open(req, off, int64(len(p)))
		if err != nil {
			return req.end(err)
		}
		_, err = io.ReadFull(&moving{r, req}, p)
		r.Close()
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return req.end(err)
	})
}

// open starts a ranged request, which must find the object that was opened.
func (f *File) open(req *request, off, n int64) (*blob.Reader, error) {
	r, err := f.bucket.NewRangeReader(req, f.at.key, off, n, nil)
	if err != nil {
		return nil, err
	}
	if r.Size() != f.size || version(r.As, r.ModTime()) != f.version {
		r.Close()
		return nil, &changedError{}
	}
	req.moved()
	return r, nil
}

// moving tells a request of what is read.
type moving struct {
	r   io.Reader
	req *request
}

func (m *moving) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.req.moved()
	return n, err
}

// Read reads on from where the last Read ended, by one long request that is
// made again from there when it breaks. It is for one caller at a time.
func (f *File) Read(p []byte) (n int, err error) {
	if f.os != nil {
		return f.os.Read(p)
	}
	if f.offset >= f.size {
		f.closeStream(nil)
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	p = p[:min(int64(len(p)), f.size-f.offset)]
	err = f.at.retry("read", func() (err error) {
		if f.stream == nil {
			f.req = newRequest()
			if f.stream, err = f.open(f.req, f.offset, -1); err != nil {
				return f.closeStream(err)
			}
		}
		f.req.moved()
		if n, err = f.stream.Read(p); n > 0 {
			f.req.timer.Stop() // the caller may take its time
			return nil
		}
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return f.closeStream(err)
	})
	f.offset += int64(n)
	return n, err
}

func (f *File) closeStream(err error) error {
	if f.stream != nil {
		f.stream.Close()
	}
	if f.req != nil {
		err = f.req.end(err)
	}
	f.stream, f.req = nil, nil
	return err
}

// ReadFile reads a whole file.
func ReadFile(name string) ([]byte, error) {
	if !IsURL(name) {
		return os.ReadFile(Local(name))
	}
	f, err := Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var b bytes.Buffer
	_, err = io.Copy(&b, f)
	return b.Bytes(), err
}

// Hash is "sha256:" and the hex digest of a file's bytes.
func Hash(name string) (string, error) {
	f, err := Open(name)
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

// Fetch copies an object into an unnamed file of this machine, for what must be
// mapped into memory. The caller closes and removes it.
func Fetch(name, dir string) (*os.File, error) {
	return fetch(name, func() (*os.File, error) { return os.CreateTemp(dir, "eaft-fetch-*") })
}

// Download copies an object to a file of this machine.
func Download(name, path string) error {
	f, err := fetch(name, func() (*os.File, error) { return os.Create(path) })
	if err != nil {
		return err
	}
	return f.Close()
}

// fetch copies an object into the file that create makes, and removes that if it
// cannot.
func fetch(name string, create func() (*os.File, error)) (*os.File, error) {
	f, err := Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	out, err := create()
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(out, f); err != nil {
		out.Close()
		os.Remove(out.Name())
		return nil, fmt.Errorf("copying %s: %w", name, err)
	}
	return out, nil
}
