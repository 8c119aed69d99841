package pipeline

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"

	"eaft/internal/cli"
	"eaft/parquet"
)

// hashPath is over the content of a file, of all files in a folder, or of all
// that a pattern fits, and over their names in it.
func (c *Config) hashPath(p string) (string, error) {
	full := p
	if !filepath.IsAbs(p) {
		full = filepath.Join(c.Dir, p)
	}
	st, err := os.Stat(full)
	if err == nil && st.Mode().IsRegular() {
		return parquet.HashFile(full)
	}
	var paths []string
	if err == nil {
		err = filepath.WalkDir(full, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				paths = append(paths, path)
			}
			return err
		})
		if err != nil {
			return "", err
		}
	} else if paths, err = filepath.Glob(full); err != nil || len(paths) == 0 {
		return "", cli.Usagef("%s: %s is no file, folder or pattern that fits one (seen from %s)", c.Path, p, c.Dir)
	}
	sort.Strings(paths)
	h := sha256.New()
	for _, path := range paths {
		sum, err := parquet.HashFile(path)
		if err != nil {
			return "", err
		}
		rel, err := filepath.Rel(c.Dir, path)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s  %q\n", sum, filepath.ToSlash(rel))
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}
