package train

import (
	"os"

	"eaft/internal/cli"
	"eaft/internal/lock"
)

// acquire keeps other runs out of dir, which it makes.
func acquire(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, cli.Usagef("--out: %w", err)
	}
	return lock.Folder(dir)
}

// release lets others in. The file stays, empty.
func release(f *os.File) {
	f.Truncate(0)
	f.Close()
}
