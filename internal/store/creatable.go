package store

import (
	"fmt"
	"os"
	"path/filepath"
)

// Creatable reports why no file of this name could be written, before the work
// for it is done: its folder is not there, or a folder has the name.
func Creatable(name string) error {
	if IsURL(name) {
		return nil
	}
	name = Local(name)
	dir := filepath.Dir(name)
	if st, err := os.Stat(name); err == nil && st.IsDir() {
		return fmt.Errorf("%s is a folder: name a file", name)
	}
	st, err := os.Stat(dir)
	if err == nil && !st.IsDir() {
		err = fmt.Errorf("%s is a file", dir)
	}
	if err != nil {
		return fmt.Errorf("%s: there is no folder to write it in: %w", name, err)
	}
	if filepath.Base(name) == "-" {
		return fmt.Errorf("%s: name a file; the page does not go to stdout", name)
	}
	return nil
}
