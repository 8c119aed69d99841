package scorer

import (
	"os"

	"eaft/internal/lock"
	"eaft/internal/store"
)

// acquire keeps other runs of a whole dataset out of its folder until release, which
// leaves nothing of the lock there: another would take the unfinished shard for a
// killed run's. Workers with --shard need none, and buckets hold nothing unfinished.
func acquire(dir string) (release func(), err error) {
	if store.IsURL(dir) {
		return func() {}, nil
	}
	f, err := lock.Folder(store.Local(dir))
	if err != nil {
		return nil, err
	}
	return func() { os.Remove(f.Name()); f.Close() }, nil
}
