package tokenize

import (
	"path"
	"slices"
	"strings"

	"eaft/internal/cli"
	"eaft/internal/store"
	"eaft/parquet"
)

// inPrefix lists the data objects below a URL by the rules of inFolder, but for
// what the run itself writes, below made.
func inPrefix(dir, made string) ([]*source, error) {
	keys, err := store.Keys(dir)
	if err != nil {
		return nil, &cli.Error{Code: cli.ExitUsage, Err: err}
	}
	datasets := map[string]bool{} // folders with a manifest
	for _, key := range keys {
		if path.Base(key) == parquet.ManifestName {
			datasets[path.Dir(key)] = true
		}
	}
	var out []*source
	for _, key := range keys {
		hidden := slices.ContainsFunc(strings.Split(key, "/"), func(name string) bool {
			return strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")
		})
		ext := path.Ext(strings.TrimSuffix(strings.TrimSuffix(key, ".gz"), ".zst"))
		if hidden || !slices.Contains(suffixes, ext) || ext != ".parquet" && datasets[path.Dir(key)] || within(store.Join(dir, key), made) {
			continue
		}
		out = append(out, &source{path: store.Join(dir, key), name: key})
	}
	if len(out) == 0 {
		return nil, cli.Usagef("%s: no data below it: no object that ends in %s (.gz and .zst too)", dir, strings.Join(suffixes, ", "))
	}
	return out, nil
}

// within reports whether an object lies below a folder.
func within(name, dir string) bool {
	if !store.IsURL(dir) {
		return false
	}
	for {
		up := store.Dir(name)
		if store.Same(up, dir) {
			return true
		}
		if up == name || store.Base(up) == "." {
			return false
		}
		name = up
	}
}

// inPattern lists the objects that a pattern names.
func inPattern(pattern string) ([]*source, error) {
	paths, err := store.Glob(pattern)
	if err != nil {
		return nil, cli.Usagef("%s: %w", pattern, err)
	}
	var out []*source
	for _, p := range paths {
		out = append(out, &source{path: p, name: store.Base(p)})
	}
	if len(out) == 0 {
		return nil, cli.Usagef("%s: no object has such a name", pattern)
	}
	return out, nil
}
