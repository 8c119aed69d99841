package train

import (
	"errors"
	"os"
	"path/filepath"

	"eaft/internal/cli"
	"eaft/internal/lock"
)

// lockName is the file that a run holds locked while it writes its folder.
const lockName = ".lock"

// acquire keeps other runs out of dir, which it makes.
func acquire(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, cli.Usagef("--out: %w", err)
	}
	f, err := lock.File(filepath.Join(dir, lockName), false)
	var held *lock.Held
	switch {
	case errors.As(err, &held):
		return nil, lock.Taken(dir, held.Owner)
	case err != nil:
		return nil, cli.Usagef("--out: %w", err)
	}
	return f, nil
}

// release lets others in. The file stays, empty: removing it would leave two
// runs with a lock on two files of the same name.
func release(f *os.File) {
	f.Truncate(0)
	f.Close()
}
