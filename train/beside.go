package train

import "path/filepath"

// beside is the path of a folder as seen from dir, with slashes; the folder's
// own path where there is no way from one to the other, "" for no folder.
func beside(dir, folder string) string {
	if folder == "" {
		return ""
	}
	from, err := filepath.Abs(dir)
	if err != nil {
		return folder
	}
	to, err := filepath.Abs(folder)
	if err != nil {
		return folder
	}
	rel, err := filepath.Rel(from, to)
	if err != nil {
		return to
	}
	return filepath.ToSlash(rel)
}
