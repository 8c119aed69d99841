package pipeline

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"eaft/internal/cli"
	"eaft/internal/hub"
	"eaft/internal/store"
)

// at is the full name of a path that is seen from the folder of the run's file, or
// is of its own.
func (c *Config) at(elem ...string) string {
	first := elem[0]
	switch {
	case store.IsURL(first):
		return store.Join(first, elem[1:]...)
	case filepath.IsAbs(store.Local(first)):
		return store.Join(store.Local(first), elem[1:]...)
	}
	return store.Join(c.Dir, elem...)
}

// workplace is where the stages work; "", for nobody works in a bucket: anywhere.
func (c *Config) workplace() string {
	if store.IsURL(c.Dir) {
		return ""
	}
	return c.Dir
}

// argument is how a path in the run's file is told to a stage. Stages work in the
// folder of the file, so that they are told what stands there; in a bucket nobody
// works. What is nothing in the bucket is a word that means itself, such as demo.
func (c *Config) argument(p string) string {
	if !store.IsURL(c.Dir) || store.IsURL(p) || filepath.IsAbs(store.Local(p)) {
		return p
	}
	if c.isThere(p) || strings.ContainsAny(p, "*[") {
		return c.at(p)
	}
	return p
}

// under is a name in a folder that may be a URL; else it has slashes.
func under(dir string, elem ...string) string {
	if store.IsURL(dir) {
		return store.Join(dir, elem...)
	}
	return path.Join(append([]string{dir}, elem...)...)
}

// files are what a path in the run's file names: one file, all files in a folder,
// or all that a pattern fits. one says that the path is the file's own. where is the
// place of the field that has the path.
func (c *Config) files(p, where string) (paths []string, one bool, err error) {
	paths, one, err = c.find(p)
	if errors.Is(err, filepath.ErrBadPattern) || errors.Is(err, path.ErrBadPattern) {
		err = cli.Usagef("%s: %s: %w; a [ of a name is written \\[", where, p, err)
	}
	if err == nil && len(paths) == 0 {
		what := "is no file, folder or pattern that fits one"
		if c.isThere(p) {
			what = "is a folder without a file"
		}
		err = cli.Usagef("%s: %s %s (seen from %s)%s", where, p, what, c.Dir, unexpanded(p))
	}
	return paths, one, err
}

// unexpanded hints at what a shell would have done with a path.
func unexpanded(p string) string {
	if strings.HasPrefix(p, "~") || strings.Contains(p, "$") {
		return "; ~ and variables are not expanded here: write the path out"
	}
	return ""
}

// find is files, of nothing none.
func (c *Config) find(p string) (paths []string, one bool, err error) {
	full := c.at(p)
	st, err := store.Stat(full)
	switch {
	case err == nil && st.Regular:
		return []string{full}, true, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, false, err
	case err == nil:
		err = store.Walk(full, func(name string, _ int64) { paths = append(paths, store.Join(full, name)) })
	case store.IsURL(full):
		paths, err = store.Glob(c.pattern(p))
	default:
		paths, err = filepath.Glob(c.pattern(p))
		paths = slices.DeleteFunc(paths, func(path string) bool { // a folder is none of the files
			st, err := os.Stat(path)
			return err == nil && !st.Mode().IsRegular()
		})
	}
	sort.Strings(paths)
	return paths, false, err
}

// pattern is at of a pattern: what stands in the name of the folder is none.
func (c *Config) pattern(p string) string {
	special := `\*[`
	if !store.IsURL(c.Dir) {
		special += "?"
	}
	dir := c.Dir
	for _, r := range special {
		dir = strings.ReplaceAll(dir, string(r), `\`+string(r))
	}
	return (&Config{Dir: dir}).at(p)
}

// hashPath is over the content of a file, of all files in a folder, or of all
// that a pattern fits, and over their names in it. What this user may not read is
// unusable.
func (c *Config) hashPath(m *memo, p, where string) (sum string, err error) {
	defer func() { err = unreadable(where, err) }()
	if st, err := store.Stat(c.at(p)); err == nil && st.Dir && within(c.at(p), c.at(c.Out)) {
		return "", cli.Usagef("%s: %s has out (%s) in it, where each run changes something; set out to a folder outside of it, or name the files", where, p, c.Out)
	}
	paths, one, err := c.files(p, where)
	if err != nil {
		return "", err
	}
	if one {
		return m.hash(paths[0], paths, func() (string, error) { return store.Hash(paths[0]) })
	}
	h := sha256.New()
	for _, path := range paths {
		sum, err := m.hash(path, []string{path}, func() (string, error) { return store.Hash(path) })
		if err != nil {
			return "", err
		}
		name := path
		if !store.IsURL(path) {
			if name, err = filepath.Rel(c.Dir, path); err != nil {
				return "", err
			}
		}
		fmt.Fprintf(h, "%s  %q\n", sum, filepath.ToSlash(name))
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}

// hashModel is the model's hash. Of the model that is part of the programs, and of
// one that is not there, it is taken each time.
func (c *Config) hashModel(m *memo, ref string, hash func(ref string) (string, error)) (sum string, err error) {
	defer func() { err = unreadable(c.place("model"), err) }()
	take := func() (string, error) {
		h, err := hash(ref)
		if err != nil {
			err = &cli.Error{Code: cli.Code(err), Err: fmt.Errorf("%s: %w%s", c.place("model"), err, unexpanded(ref))}
		}
		return h, err
	}
	if id, ok := c.onHub(); ok {
		dir, err := hub.Find(id, true)
		if err != nil {
			return "", err
		}
		var paths []string
		if err := store.Walk(dir, func(name string, _ int64) { paths = append(paths, store.Join(dir, name)) }); err != nil {
			return "", err
		}
		return m.hash("model "+c.Model, paths, take)
	}
	if _, err := store.Stat(c.at(c.Model)); err != nil || c.Model == "demo" {
		return take()
	}
	paths, _, err := c.files(c.Model, c.place("model"))
	if err != nil {
		return "", err
	}
	return m.hash("model "+c.at(c.Model), paths, take)
}

// inputs are all files and folders that the run's file names: model, corpora, and what
// options are set to.
func (c *Config) inputs() (paths []string) {
	names := append([]string{c.Model}, c.Corpora...)
	options := []*Options{&c.Tokenize, &c.Score, &c.Inspect}
	if c.Train != nil {
		options = append(options, c.Train)
	}
	for i := range c.Eval {
		e := &c.Eval[i]
		names = append(names, e.Corpora...)
		options = append(options, &e.Options, &e.Tokenize)
	}
	for _, o := range options {
		for _, opt := range o.Set {
			for _, v := range opt.Values {
				_, dir, _ := strings.Cut(v, "=") // train.eval
				names = append(names, v, dir)
			}
		}
	}
	for _, name := range names {
		switch {
		case name == "":
		case c.isThere(name):
			paths = append(paths, c.at(name))
		case strings.ContainsAny(name, "*?["):
			found, _, _ := c.find(name) // of no pattern, nothing
			paths = append(paths, found...)
		}
	}
	return paths
}

// unreadable is wrong use where an input is not this user's to read; else err.
func unreadable(where string, err error) error {
	if errors.Is(err, fs.ErrPermission) && cli.Code(err) != cli.ExitUsage {
		return cli.Usagef("%s: %w", where, err)
	}
	return err
}

// within reports that a file or folder is dir, or lies in it, by whatever links it is
// named.
func within(dir, name string) bool {
	rel, err := store.Rel(resolved(dir), resolved(name))
	return err == nil && rel != "" && !store.IsURL(rel) && rel != ".." && !strings.HasPrefix(rel, "../")
}

// resolved is a name without the links in it, as far as it is there.
func resolved(name string) string {
	if store.IsURL(name) {
		return name
	}
	abs, err := store.Abs(name)
	if err != nil {
		return name
	}
	for dir, rest := abs, ""; ; dir, rest = filepath.Dir(dir), filepath.Join(filepath.Base(dir), rest) {
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			return filepath.Join(real, rest)
		}
		if dir == filepath.Dir(dir) {
			return abs
		}
	}
}

// isThere reports whether a path in the run's file is of something.
func (c *Config) isThere(p string) bool {
	_, err := store.Stat(c.at(p))
	return err == nil
}
