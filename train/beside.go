package train

import (
	"eaft/internal/cli"
	"eaft/internal/store"
	"eaft/parquet"
)

// refuseDataset keeps a run out of the folder of a dataset.
func refuseDataset(out string) error {
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
