// Package weights opens model files: Hugging Face folders with safetensors, and
// GGUF. Files are mapped into memory and come from strangers, so every size and
// offset is checked against the file before it is believed.
package weights

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"eaft/internal/hub"
	"eaft/internal/store"
	"eaft/model/demo"
)

// ErrNoTokenizer says that a model comes without a tokenizer. Rows that are
// already tokens can still be scored and trained on.
var ErrNoTokenizer = errors.New("the model has no tokenizer")

// Info describes a stored tensor.
type Info struct {
	DType string // F32, F16, BF16, Q4_0, Q4_1 or Q8_0
	Shape []int  // row-major, Hugging Face's order
}

// tensor is a stored tensor; data is exactly as long as dtype and shape say.
type tensor struct {
	Info
	data []byte
	file string
}

// Checkpoint is an opened model.
type Checkpoint struct {
	ref     string
	fsys    fs.FS // side files; nil for GGUF
	config  []byte
	gguf    *Metadata
	tensors map[string]tensor
	files   []weightFile // in the order that Hash reads them
	close   []func() error
	hash    string
}

type weightFile struct {
	name   string
	data   []byte
	mapped bool // by mapFile
}

// Open opens a Hugging Face folder (safetensors, sharded by
// model.safetensors.index.json or not, or without weights), a .gguf file, a model on
// the Hub that is in its cache (hub.Get brings it there), or "demo", the embedded
// model (a folder of that name is ./demo). The folder or file may be in a bucket.
func Open(ref string) (*Checkpoint, error) { return openRef(ref, true) }

// OpenSideFiles is Open without the weights of a folder, which need not be there: for
// the configuration, the tokenizer and the chat template. None are fetched.
func OpenSideFiles(ref string) (*Checkpoint, error) { return openRef(ref, false) }

func openRef(ref string, withWeights bool) (*Checkpoint, error) {
	if ref == "demo" {
		return OpenFS(demo.FS, ref)
	}
	if store.IsURL(ref) {
		return openURL(ref, withWeights)
	}
	ref = store.Local(ref)
	st, err := os.Stat(ref)
	if id, ok := hub.Of("", ref); ok {
		dir, err := hub.Find(id, withWeights)
		if err != nil {
			return nil, fmt.Errorf("model %w", err)
		}
		return openFolder(dir, ref, withWeights)
	}
	if err != nil {
		return nil, fmt.Errorf("model %q: no such file or folder; give a Hugging Face folder, a .gguf file or OWNER/NAME of the Hub: %w", ref, err)
	}
	if st.IsDir() {
		return openFolder(ref, ref, withWeights)
	}
	if !strings.EqualFold(filepath.Ext(ref), ".gguf") {
		return nil, fmt.Errorf("model %s: a file must be a .gguf; for safetensors give the folder that holds config.json", ref)
	}
	data, done, err := mapFile(ref)
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", ref, err)
	}
	c := &Checkpoint{ref: ref, close: []func() error{done}, files: []weightFile{{filepath.Base(ref), data, true}}}
	if c.gguf, c.tensors, err = readGGUF(ref, data); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// OpenFS opens a Hugging Face folder that is not on disk, such as an embedded
// one. ref names it in errors.
func OpenFS(fsys fs.FS, ref string) (*Checkpoint, error) {
	return readFolder(fsys, ref, false, func(name string) ([]byte, func() error, error) {
		data, err := fs.ReadFile(fsys, name)
		return data, func() error { return nil }, err
	})
}

// folder is how the side files of a folder, which may be in a bucket, are read and
// its weights are mapped.
func folder(ref string) (fs.FS, func(string) ([]byte, func() error, error)) {
	if store.IsURL(ref) {
		return bucketFS(ref), func(name string) ([]byte, func() error, error) { return mapURL(store.Join(ref, name)) }
	}
	return os.DirFS(store.Local(ref)), func(name string) ([]byte, func() error, error) {
		return mapFile(store.Join(ref, name))
	}
}

// openFolder opens the folder dir, which may be in a bucket; errors call it ref.
func openFolder(dir, ref string, withWeights bool) (*Checkpoint, error) {
	fsys, load := folder(dir)
	if !withWeights {
		load = nil
	}
	return readFolder(fsys, ref, true, load)
}

// readFolder opens a folder whose weights load reads; nil: they are left out.
func readFolder(fsys fs.FS, ref string, mapped bool, load func(string) ([]byte, func() error, error)) (*Checkpoint, error) {
	c := &Checkpoint{ref: ref, fsys: fsys, tensors: map[string]tensor{}}
	var err error
	c.config, err = c.File("config.json")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", store.Join(ref, "config.json"), err)
	}
	var shards []string
	var index map[string]string
	if load != nil {
		if shards, index, err = c.shardNames(); err != nil {
			return nil, err
		}
	}
	for _, name := range shards {
		data, done, err := load(name)
		if err != nil {
			c.Close()
			return nil, fmt.Errorf("%s: %w", store.Join(ref, name), err)
		}
		c.close = append(c.close, done)
		c.files = append(c.files, weightFile{name, data, mapped})
		if err := readSafetensors(store.Join(ref, name), data, c.tensors); err != nil {
			c.Close()
			return nil, err
		}
	}
	for name, shard := range index {
		if t, ok := c.tensors[name]; !ok || store.Base(t.file) != shard {
			c.Close()
			return nil, fmt.Errorf("%s: weight_map says %q holds tensor %q, but it does not; download the model again",
				store.Join(ref, indexFile), shard, name)
		}
	}
	if c.config == nil && len(c.tensors) == 0 {
		if _, err := c.File("model/config.json"); err == nil {
			return nil, fmt.Errorf("%s: no config.json is in this folder; the model of a run is %s", ref, store.Join(ref, "model"))
		}
		for _, dir := range []string{".", "adapter"} {
			if _, err := c.File(path.Join(dir, AdapterConfig)); err == nil {
				return nil, fmt.Errorf("%s: no model is in this folder, but an adapter: give the model it was made of, and %s as --adapter (train eval, train export, scorer score)", ref, store.Join(ref, dir))
			}
		}
		if _, err := c.File("tokenizer.json"); err != nil {
			return nil, fmt.Errorf("%s: neither config.json nor model.safetensors nor tokenizer.json is in this folder; it is no Hugging Face model", ref)
		}
	}
	return c, nil
}

// Ref is what Open was given.
func (c *Checkpoint) Ref() string { return c.ref }

// Config is config.json, nil for GGUF or where there is none.
func (c *Checkpoint) Config() []byte { return c.config }

// GGUF is the metadata of a GGUF file, nil for a folder.
func (c *Checkpoint) GGUF() *Metadata { return c.gguf }

// maxSideFile bounds tokenizer.json and the like; the largest published ones
// are some 35 MB.
const maxSideFile = 256 << 20

// File reads a side file of a folder. It is fs.ErrNotExist where there is none.
func (c *Checkpoint) File(name string) ([]byte, error) {
	if c.fsys == nil {
		return nil, fs.ErrNotExist
	}
	st, err := fs.Stat(c.fsys, name)
	if err != nil {
		return nil, err
	}
	if st.Size() > maxSideFile {
		return nil, fmt.Errorf("%s has %d bytes, more than the %d that are read", name, st.Size(), maxSideFile)
	}
	return fs.ReadFile(c.fsys, name)
}

// Files are the names of the files directly in a folder of side files, sorted; none
// where it is not there.
func (c *Checkpoint) Files(dir string) ([]string, error) {
	if c.fsys == nil {
		return nil, nil
	}
	entries, err := fs.ReadDir(c.fsys, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range entries {
		if !e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// Names are the stored tensors, sorted.
func (c *Checkpoint) Names() []string {
	names := make([]string, 0, len(c.tensors))
	for n := range c.tensors {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// HasWeights is the error of a folder with a configuration and no weights.
func (c *Checkpoint) HasWeights() error {
	if len(c.tensors) > 0 {
		return nil
	}
	return fmt.Errorf("%s: there are no weights in this folder, neither %s nor %s; download the model again", c.ref, singleFile, indexFile)
}

// Info describes a tensor.
func (c *Checkpoint) Info(name string) (Info, bool) {
	t, ok := c.tensors[name]
	return t.Info, ok
}

// ReadRows dequantises the rows [lo, hi) of a tensor's first dimension into dst,
// which must be exactly as long. A vector is one row.
func (c *Checkpoint) ReadRows(name string, lo, hi int, dst []float32) error {
	t, ok := c.tensors[name]
	if !ok {
		return fmt.Errorf("%s: no tensor %q", c.ref, name)
	}
	rows, cols := 1, 1
	for i, n := range t.Shape {
		if i == 0 && len(t.Shape) > 1 {
			rows = n
		} else {
			cols *= n
		}
	}
	if lo < 0 || hi < lo || hi > rows || len(dst) != (hi-lo)*cols {
		return fmt.Errorf("%s: tensor %q: rows %d to %d of %d into %d values", c.ref, name, lo, hi, rows, len(dst))
	}
	f := formats[t.DType]
	row := cols / f.values * f.bytes
	f.read(dst, t.data[lo*row:hi*row])
	return nil
}

// Hash is "sha256:..." over the weights and the configuration, and nothing else:
// neither names of folders nor times.
func (c *Checkpoint) Hash() (string, error) {
	if c.hash != "" {
		return c.hash, nil
	}
	h := sha256.New()
	fmt.Fprintf(h, "config %d\n", len(c.config))
	h.Write(c.config)
	c.hashWeights(h)
	c.hash = "sha256:" + hex.EncodeToString(h.Sum(nil))
	return c.hash, nil
}

// WeightsHash is "sha256:..." over the weights alone, which stays what it is when a
// configuration is edited.
func (c *Checkpoint) WeightsHash() string {
	h := sha256.New()
	c.hashWeights(h)
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

func (c *Checkpoint) hashWeights(h io.Writer) {
	for _, f := range c.files {
		fmt.Fprintf(h, "weights %d\n", len(f.data))
		const chunk = 16 << 20
		for lo := 0; lo < len(f.data); lo += chunk {
			part := f.data[lo:min(lo+chunk, len(f.data))]
			h.Write(part)
			f.drop(part)
		}
	}
}

// Release gives back the memory of what has been read; it may be read again.
func (c *Checkpoint) Release() {
	for _, f := range c.files {
		f.drop(f.data)
	}
}

// drop forgets a part of a mapped file that starts on a page.
func (f *weightFile) drop(part []byte) {
	if f.mapped {
		dropPages(part)
	}
}

// Close unmaps the files. Nothing read before it depends on them.
func (c *Checkpoint) Close() error {
	var err error
	for _, f := range c.close {
		err = errors.Join(err, f())
	}
	c.close, c.tensors, c.files = nil, nil, nil
	return err
}
