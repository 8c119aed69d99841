package train

import "eaft/internal/store"

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
