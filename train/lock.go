package train

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"eaft/internal/cli"
	"eaft/internal/lock"
)

// folderLock keeps other runs out of the folder of a run.
type folderLock struct {
	f     *os.File
	dir   string
	made  bool // the folder, by this run
	begun bool // the run has written something
}

// acquire keeps other runs out of dir, which it makes.
func acquire(dir string) (*folderLock, error) {
	dir = filepath.Clean(dir)
	err := os.MkdirAll(filepath.Dir(dir), 0o777)
	if err == nil {
		err = os.Mkdir(dir, 0o777)
	}
	made := err == nil
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, cli.Usagef("--out: %w", err)
	}
	f, err := lock.Folder(dir)
	return &folderLock{f: f, dir: dir, made: made}, err
}

// release lets others in. The lock's file stays, empty; of a run that was refused
// before it wrote anything nothing does.
func (l *folderLock) release() {
	if !l.begun {
		os.Remove(l.f.Name()) // while it is locked: see lock.File
		if l.made {
			os.Remove(l.dir) // unless something came into it
		}
	}
	l.f.Truncate(0)
	l.f.Close()
}
