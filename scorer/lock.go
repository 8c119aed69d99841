package scorer

import (
	"errors"
	"fmt"
	"os"

	"eaft/internal/cli"
	"eaft/internal/lock"
	"eaft/internal/store"
)

// lockName is the file that a run of a whole dataset holds locked while it writes
// its folder: another would take its unfinished shard for a killed run's. Workers
// with --shard need none, and buckets hold nothing unfinished.
const lockName = ".lock"

// acquire keeps other runs out of a folder until release, which leaves nothing of
// the lock there.
func acquire(dir string) (release func(), err error) {
	if store.IsURL(dir) {
		return func() {}, nil
	}
	path := store.Join(store.Local(dir), lockName)
	f, err := lock.File(path, false)
	var held *lock.Held
	switch {
	case errors.As(err, &held):
		return nil, lock.Taken(dir, held.Owner)
	case err != nil:
		return nil, cli.Usagef("--out: %w", err)
	}
	// The run before may have removed the file between its opening and its lock.
	mine, err := f.Stat()
	if there, missing := os.Stat(path); err != nil || missing != nil || !os.SameFile(mine, there) {
		f.Close()
		return nil, fmt.Errorf("%s: another run has just left this folder: run the command again", dir)
	}
	return func() { os.Remove(path); f.Close() }, nil
}
