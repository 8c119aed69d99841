package tokenize

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"eaft/internal/cli"
	"eaft/internal/store"
	"eaft/parquet"
)

// stdinName is what rows of standard input have as their source.
const stdinName = "stdin"

// findSources resolves what the user named: files, folders, patterns, and "-"
// for standard input, which is spooled to a file in dir since it is read twice.
func findSources(inputs []string, stdin io.Reader, dir string) ([]*source, error) {
	var out []*source
	for _, in := range inputs {
		found, err := findSource(in, stdin, dir)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	names := map[string]string{}
	for _, s := range out {
		if other, ok := names[s.name]; ok {
			return nil, cli.Usagef("%s and %s have the same name, %s, which is what rows are known by: rename one, or name the folder that both are in", other, s.path, s.name)
		}
		names[s.name] = s.path
	}
	return out, nil
}

func findSource(in string, stdin io.Reader, dir string) ([]*source, error) {
	if in == "-" {
		path, err := spool(stdin, dir)
		return []*source{{path: path, name: stdinName}}, err
	}
	in, dir = store.Local(in), store.Local(dir)
	st, err := store.Stat(in)
	switch {
	case err == nil && st.Dir && store.IsURL(in):
		return inPrefix(in, dir)
	case err == nil && st.Dir:
		return inFolder(in, dir)
	case err == nil:
		return []*source{{path: in, name: store.Base(in)}}, nil
	case store.IsURL(in) && strings.ContainsAny(in, "*[") && errors.Is(err, fs.ErrNotExist):
		return inPattern(in)
	case store.IsURL(in) || !strings.ContainsAny(in, "*?["):
		return nil, &cli.Error{Code: cli.ExitUsage, Err: err}
	}
	paths, err := filepath.Glob(in)
	if err != nil {
		return nil, cli.Usagef("%s: %w", in, err)
	}
	var out []*source
	for _, path := range paths {
		if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() {
			out = append(out, &source{path: path, name: filepath.Base(path)})
		}
	}
	if len(out) == 0 {
		return nil, cli.Usagef("%s: no file has such a name", in)
	}
	return out, nil
}

// suffixes are the names by which files of a folder count as data.
var suffixes = []string{".jsonl", ".ndjson", ".json", ".csv", ".parquet"}

// inFolder lists a folder's data files in the order of their paths, which are
// also their names. Hidden files, and those of a dataset that are no shards,
// such as its rejects, are none; nor is what the run itself writes, in the folder
// made.
func inFolder(dir, made string) ([]*source, error) {
	own, err := os.Stat(made)
	if err != nil && !store.IsURL(made) {
		return nil, err
	}
	var out []*source
	root := dir + string(filepath.Separator) // a link to a folder is that folder
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if path != root && (strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if d.IsDir() {
			if st, err := d.Info(); err == nil && own != nil && os.SameFile(st, own) {
				return fs.SkipDir
			}
			return nil
		}
		bare := strings.TrimSuffix(strings.TrimSuffix(name, ".gz"), ".zst")
		if !slices.Contains(suffixes, filepath.Ext(bare)) {
			return nil
		}
		if _, err := os.Stat(filepath.Join(filepath.Dir(path), parquet.ManifestName)); err == nil && filepath.Ext(bare) != ".parquet" {
			return nil
		}
		rel, err := filepath.Rel(dir, path)
		out = append(out, &source{path: path, name: filepath.ToSlash(rel)})
		return err
	})
	if err != nil {
		return nil, &cli.Error{Code: cli.ExitUsage, Err: err}
	}
	if len(out) == 0 {
		return nil, cli.Usagef("%s: the folder has no data: no file that ends in %s (.gz and .zst too)", dir, strings.Join(suffixes, ", "))
	}
	slices.SortFunc(out, func(a, b *source) int { return strings.Compare(a.name, b.name) })
	return out, nil
}

// spool copies standard input to a temporary file in dir.
func spool(stdin io.Reader, dir string) (path string, err error) {
	if stdin == nil {
		return "", cli.Usagef("-: there is no standard input")
	}
	f, err := createSpool(dir)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(f, stdin)
	if err2 := f.Close(); err == nil {
		err = err2
	}
	if err != nil {
		os.Remove(f.Name())
		return "", fmt.Errorf("standard input: %w", err)
	}
	return f.Name(), nil
}

// createSpool makes a temporary file of the kind that store.CleanTemps removes
// after a killed run.
func createSpool(dir string) (*os.File, error) {
	return os.CreateTemp(store.TempDir(dir), ".spool-*.eaft-tmp")
}
