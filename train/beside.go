package train

import (
	"errors"
	"io/fs"

	"eaft/internal/cli"
	"eaft/internal/store"
	"eaft/parquet"
)

// checkOut refuses what can be no folder of a run: a file, and the folder of a dataset.
func checkOut(out string) error {
	if !store.IsURL(out) {
		st, err := store.Stat(out)
		switch {
		case err == nil && st.Regular:
			return cli.Usagef("--out %s is a file: name a folder", out)
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return cli.Usagef("--out: %w", err)
		}
	}
	if _, err := store.Stat(store.Join(out, parquet.ManifestName)); err == nil {
		return cli.Usagef("--out %s holds a dataset (%s): choose another folder", out, parquet.ManifestName)
	}
	return nil
}

// beside is the path of a folder as seen from dir, with slashes; the folder's
// own path where there is no way from one to the other, "" for no folder.
func beside(dir, folder string) string {
	if folder == "" {
		return ""
	}
	rel, err := store.Rel(dir, folder)
	if err != nil {
		return folder
	}
	return rel
}
