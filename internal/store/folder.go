package store

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"gocloud.dev/blob"
)

// Info describes a name.
type Info struct {
	Size    int64
	Dir     bool // a folder, or a prefix under which objects are
	Regular bool // a file of bytes, an object
}

// Stat describes a name; the error is fs.ErrNotExist where nothing has it.
func Stat(name string) (Info, error) {
	if !IsURL(name) {
		st, err := os.Stat(Local(name))
		if err != nil {
			return Info{}, err
		}
		return Info{Size: st.Size(), Dir: st.IsDir(), Regular: st.Mode().IsRegular()}, nil
	}
	b, l, err := at(name)
	if err != nil {
		return Info{}, err
	}
	a, err := attributes(b, l)
	if err == nil {
		return Info{Size: a.Size, Regular: true}, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return Info{}, err
	}
	_, err = some(b, l, "", 1)
	return Info{Dir: err == nil}, err
}

// list finds up to limit objects below l (0: all), in the order of their keys;
// with the delimiter "/" those directly in it, and the prefixes.
func list(b *blob.Bucket, l location, delimiter string, limit int) (objects []*blob.ListObject, err error) {
	prefix := l.key
	if prefix != "" {
		prefix += "/"
	}
	err = l.retry("list", func() error {
		objects = nil
		req := newRequest()
		it := b.List(&blob.ListOptions{Prefix: prefix, Delimiter: delimiter})
		for limit == 0 || len(objects) < limit {
			o, err := it.Next(req)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return req.end(err)
			}
			req.moved()
			if o.Key != prefix { // what some tools make to show a folder
				objects = append(objects, o)
			}
		}
		return req.end(nil)
	})
	return objects, err
}

// some is list, and fs.ErrNotExist where it finds nothing.
func some(b *blob.Bucket, l location, delimiter string, limit int) ([]*blob.ListObject, error) {
	objects, err := list(b, l, delimiter, limit)
	if err == nil && len(objects) == 0 {
		err = l.errOf(&failure{fs.ErrNotExist.Error(), fs.ErrNotExist})
	}
	return objects, err
}

// Entry is what a folder holds.
type Entry struct {
	Name string // within the folder
	Dir  bool
}

// ReadDir lists a folder in the order of names; fs.ErrNotExist where there is
// none. A bucket has no empty folders.
func ReadDir(dir string) ([]Entry, error) {
	var out []Entry
	if !IsURL(dir) {
		entries, err := os.ReadDir(Local(dir))
		for _, e := range entries {
			out = append(out, Entry{e.Name(), e.IsDir()})
		}
		return out, err
	}
	b, l, err := at(dir)
	if err != nil {
		return nil, err
	}
	objects, err := some(b, l, "/", 0)
	for _, o := range objects {
		out = append(out, Entry{path.Base(o.Key), o.IsDir})
	}
	slices.SortFunc(out, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return out, err
}

// Sizes are those of the files in a folder, by their names; a link is what it leads
// to. fs.ErrNotExist where there is no folder. It asks once where Stat would ask for
// each.
func Sizes(dir string) (map[string]int64, error) {
	out := map[string]int64{}
	if !IsURL(dir) {
		entries, err := os.ReadDir(Local(dir))
		for _, e := range entries {
			info, e1 := e.Info()
			if e1 == nil && info.Mode()&fs.ModeSymlink != 0 {
				info, e1 = os.Stat(filepath.Join(Local(dir), e.Name()))
			}
			if e1 == nil && info.Mode().IsRegular() {
				out[e.Name()] = info.Size()
			} else if e1 != nil && !errors.Is(e1, fs.ErrNotExist) {
				err = errors.Join(err, e1)
			}
		}
		return out, err
	}
	b, l, err := at(dir)
	if err != nil {
		return nil, err
	}
	objects, err := some(b, l, "/", 0)
	for _, o := range objects {
		if !o.IsDir {
			out[path.Base(o.Key)] = o.Size
		}
	}
	return out, err
}

// Keys are the names, relative to dir, of all objects below it, in their order.
func Keys(dir string) ([]string, error) {
	b, l, err := at(dir)
	if err != nil {
		return nil, err
	}
	objects, err := list(b, l, "", 0)
	var out []string
	for _, o := range objects {
		out = append(out, strings.TrimPrefix(strings.TrimPrefix(o.Key, l.key), "/"))
	}
	return out, err
}

// Walk calls visit with every file below dir, its name relative to dir, with
// slashes, and its size; fs.ErrNotExist where there is no dir. A link to a file is
// that file, as in the folders of Hugging Face's cache; one to a folder, below dir, is
// not followed. A bucket has no empty folders.
func Walk(dir string, visit func(name string, size int64)) error {
	if !IsURL(dir) {
		root, err := filepath.EvalSymlinks(Local(dir))
		if err != nil {
			return err
		}
		return filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			info, err := os.Stat(p)
			if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
				return nil // removed just now, or a link to nothing
			}
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(root, p)
			visit(filepath.ToSlash(rel), info.Size())
			return err
		})
	}
	b, l, err := at(dir)
	if err != nil {
		return err
	}
	objects, err := some(b, l, "", 0)
	for _, o := range objects {
		visit(strings.TrimPrefix(strings.TrimPrefix(o.Key, l.key), "/"), o.Size)
	}
	return err
}

// Glob finds the objects that a pattern of path.Match names, in their order.
func Glob(pattern string) ([]string, error) {
	l, err := parse(pattern)
	if err != nil {
		return nil, err
	}
	fixed := l
	if i := strings.IndexAny(fixed.key, `*?[\`); i >= 0 {
		fixed.key = fixed.key[:i]
		fixed.key = strings.Trim(fixed.key[:strings.LastIndexByte(fixed.key, '/')+1], "/")
	}
	keys, err := Keys(fixed.String())
	if err != nil {
		return nil, err
	}
	var out []string
	for _, k := range keys {
		full := strings.TrimPrefix(path.Join("/", fixed.key, k), "/")
		ok, err := path.Match(l.key, full)
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, Join(fixed.String(), k))
		}
	}
	return out, nil
}

// MkdirAll makes a folder where folders have to be made.
func MkdirAll(dir string) error {
	if IsURL(dir) {
		_, _, err := at(dir)
		return err
	}
	return os.MkdirAll(Local(dir), 0o777)
}

// Remove removes a file, or an empty folder of this machine; fs.ErrNotExist
// where there is none.
func Remove(name string) error {
	if !IsURL(name) {
		return os.Remove(Local(name))
	}
	b, l, err := at(name)
	if err != nil {
		return err
	}
	if l.key == "" {
		return nil
	}
	return l.retry("remove", func() error {
		req := newRequest()
		return req.end(b.Delete(req, l.key))
	})
}

// RemoveIfThere is Remove of what may be gone already.
func RemoveIfThere(name string) error {
	if err := Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// RemoveAll removes a folder and all that is in it.
func RemoveAll(dir string) error {
	if !IsURL(dir) {
		return os.RemoveAll(Local(dir))
	}
	keys, err := Keys(dir)
	for _, k := range keys {
		err = errors.Join(err, RemoveIfThere(Join(dir, k)))
	}
	return err
}

// TempDir is where what belongs to a run in dir may lie for its time: dir, or
// this machine's folder for temporary files.
func TempDir(dir string) string {
	if IsURL(dir) {
		return os.TempDir()
	}
	return Local(dir)
}
