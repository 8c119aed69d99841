package weights

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"eaft/internal/store"
)

// openURL opens a model in a bucket. Its weights are read twice, to be hashed
// and to be loaded, so they are copied once into files without a name in the
// folder for temporary files (TMPDIR) and mapped from there.
func openURL(ref string, withWeights bool) (*Checkpoint, error) {
	st, err := store.Stat(ref)
	if err != nil {
		return nil, fmt.Errorf("model %w", err)
	}
	if st.Dir {
		return openFolder(ref, ref, withWeights)
	}
	name := store.Base(ref)
	if !strings.EqualFold(path.Ext(name), ".gguf") {
		return nil, fmt.Errorf("model %s: an object must be a .gguf; for safetensors give the prefix below which config.json is", ref)
	}
	data, done, err := mapURL(ref)
	if err != nil {
		return nil, fmt.Errorf("model %w", err)
	}
	c := &Checkpoint{ref: ref, close: []func() error{done}, files: []weightFile{{name, data, true}}}
	if c.gguf, c.tensors, err = readGGUF(ref, data); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// mapURL maps a copy of an object, which goes with its mapping.
func mapURL(name string) (data []byte, done func() error, err error) {
	f, err := store.Fetch(name, os.TempDir())
	if err != nil {
		return nil, nil, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	return mapFile(f.Name())
}

// bucketFS are the side files below a URL.
type bucketFS string

func (b bucketFS) Open(name string) (fs.File, error) {
	data, err := b.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return &object{bytes.NewReader(data), name}, nil
}

func (b bucketFS) ReadFile(name string) ([]byte, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	return store.ReadFile(store.Join(string(b), name))
}

func (b bucketFS) Stat(name string) (fs.FileInfo, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrInvalid}
	}
	st, err := store.Stat(store.Join(string(b), name))
	return objectInfo{path.Base(name), st}, err
}

func (b bucketFS) ReadDir(name string) ([]fs.DirEntry, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrInvalid}
	}
	found, err := store.ReadDir(store.Join(string(b), name))
	var entries []fs.DirEntry
	for _, e := range found {
		entries = append(entries, fs.FileInfoToDirEntry(objectInfo{e.Name, store.Info{Dir: e.Dir, Regular: !e.Dir}}))
	}
	return entries, err
}

// object is a side file that has been read.
type object struct {
	*bytes.Reader
	name string
}

func (o *object) Close() error { return nil }

func (o *object) Stat() (fs.FileInfo, error) {
	return objectInfo{path.Base(o.name), store.Info{Size: o.Size(), Regular: true}}, nil
}

type objectInfo struct {
	name string
	st   store.Info
}

func (o objectInfo) Name() string       { return o.name }
func (o objectInfo) Size() int64        { return o.st.Size }
func (o objectInfo) ModTime() time.Time { return time.Time{} }
func (o objectInfo) IsDir() bool        { return o.st.Dir }
func (o objectInfo) Sys() any           { return nil }
func (o objectInfo) Mode() fs.FileMode {
	if o.st.Dir {
		return fs.ModeDir | 0o555
	}
	return 0o444
}
