package train

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"eaft/internal/cli"
	"eaft/internal/lock"
	"eaft/internal/store"
	"eaft/parquet"
)

// remote is the folder of a run in a bucket. The run works in a folder of this
// machine (scratch), as any run does, and sends what is in it with every
// checkpoint and at its end: what completes a thing after all of that thing.
// Another machine fetches from there what it goes on with.
type remote struct {
	url, dir string
	lease    *lock.Lease            // shown until all is sent, also when the run was told to stop
	keep     int                    // checkpoints
	sent     map[string]os.FileInfo // what the bucket has, by its name in the folder; nil: not from this scratch
	from     int                    // step of the checkpoint that the run went on from
	newest   int                    // step of the newest checkpoint that is there
	behind   bool                   // not all of the scratch is there
	ctx      context.Context        // of the run
	cancel   context.CancelCauseFunc
}

const (
	lockFolder    = "_lock"       // in the bucket: claims of its one run
	scratchPrefix = "eaft-train-" // in TMPDIR
	unsentPrefix  = "eaft-unsent-"
)

// runLease is for how long a run in a bucket may show no life before another one
// goes on with it. Tests make it shorter.
var runLease = time.Minute

var errTaken = errors.New("this run showed no life for too long, and another one has gone on with it: it writes nothing more")

// connect prepares o for where it writes: a folder, or a scratch for a bucket. The
// run is for the context that is returned; nil for a folder.
func (o *Options) connect(ctx context.Context) (context.Context, *remote, error) {
	if !store.IsURL(o.Out) {
		o.dir = o.Out
		return ctx, nil, nil
	}
	lease, err := lock.OpenLease(store.Join(o.Out, lockFolder), false, runLease)
	if err != nil {
		return ctx, nil, err
	}
	r := &remote{url: o.Out, lease: lease, keep: o.Keep, sent: map[string]os.FileInfo{}}
	err = lease.Acquire(ctx, false, runLease/20, func(by lock.Owner) {
		fmt.Fprintf(o.Stderr, "%s: waiting up to %v to see whether the run that has this folder (%s) lives\n", o.Out, runLease, by.Name())
	})
	var busy *lock.Busy
	if errors.As(err, &busy) {
		err = lock.Taken(o.Out, busy.Owner)
	}
	if err != nil {
		return ctx, nil, errors.Join(err, lease.Close())
	}
	r.ctx, r.cancel = lease.Bind(ctx, errTaken)
	if err := r.begin(o); err != nil {
		return ctx, nil, r.close(err)
	}
	return r.ctx, r, nil
}

// begin makes the scratch and looks what the bucket has.
func (r *remote) begin(o *Options) error {
	if err := sweep(os.TempDir()); err != nil {
		return err
	}
	var err error
	if r.dir, err = os.MkdirTemp("", scratchPrefix+"*"); err != nil {
		return err
	}
	o.dir, o.remote = r.dir, r
	keys, err := store.Keys(r.url)
	for _, name := range keys {
		first, _, _ := strings.Cut(name, "/")
		if (slices.Contains(ours, first) || first == unfinishedName || first == RecordName) && filepath.IsLocal(filepath.FromSlash(name)) {
			r.sent[name] = nil
		}
	}
	return err
}

// sweep removes the scratches that killed runs left on this machine: those whose
// lock nobody holds.
func sweep(dir string) error {
	left, err := filepath.Glob(filepath.Join(dir, scratchPrefix+"*", lock.FolderName))
	if err != nil {
		return err
	}
	for _, path := range left {
		if f, err := lock.File(path, false); err == nil {
			os.RemoveAll(filepath.Dir(path)) // one that cannot be removed is another user's
			f.Close()
		}
	}
	return nil
}

// fetch brings files, or folders with all that is in them, to the scratch.
func (r *remote) fetch(names ...string) error {
	if r == nil {
		return nil
	}
	for name := range r.sent {
		if !slices.ContainsFunc(names, func(n string) bool { return name == n || strings.HasPrefix(name, n+"/") }) {
			continue
		}
		to := filepath.Join(r.dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(to), 0o777); err != nil {
			return err
		}
		if err := store.Download(store.Join(r.url, name), to); err != nil {
			return err
		}
		info, err := os.Lstat(to)
		if err != nil {
			return err
		}
		r.sent[name] = info
	}
	return nil
}

// push makes the bucket's folder what the scratch is. It may be called again
// after it failed.
func (r *remote) push() error {
	if r == nil {
		return nil
	}
	if errors.Is(context.Cause(r.ctx), errTaken) {
		return errTaken
	}
	r.behind = true
	have, changed, err := r.look()
	if err != nil {
		return err
	}
	// What is half of one and half of another must have nothing that completes it.
	for _, name := range changed {
		if m := marker(name); r.has(m) && m != name {
			if err := r.remove(m); err != nil {
				return err
			}
			if _, ok := have[m]; ok && !slices.Contains(changed, m) {
				changed = append(changed, m)
			}
		}
	}
	slices.SortStableFunc(changed, func(a, b string) int { return rank(a) - rank(b) })
	for _, name := range changed {
		if err := store.Upload(store.Join(r.url, name), filepath.Join(r.dir, filepath.FromSlash(name))); err != nil {
			return err
		}
		r.sent[name] = have[name]
		if n, ok := stepOf(path.Base(path.Dir(name))); ok && rank(name) > 0 {
			r.newest = max(r.newest, n)
		}
	}
	var gone []string
	for name := range r.sent {
		if _, ok := have[name]; !ok && !r.older(name, have) {
			gone = append(gone, name)
		}
	}
	slices.SortFunc(gone, func(a, b string) int { return leaving(a) - leaving(b) })
	for _, name := range gone {
		if err := r.remove(name); err != nil {
			return err
		}
	}
	r.behind = false
	return nil
}

// look finds what the scratch has, and what of it the bucket does not.
func (r *remote) look() (have map[string]os.FileInfo, changed []string, err error) {
	have = map[string]os.FileInfo{}
	err = filepath.WalkDir(r.dir, func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil || p == r.dir:
			return err
		case strings.HasPrefix(d.Name(), ".") && d.IsDir():
			return fs.SkipDir // being written
		case strings.HasPrefix(d.Name(), ".") || d.IsDir():
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(r.dir, p)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(rel)
		have[name] = info
		if was := r.sent[name]; was == nil || !os.SameFile(was, info) || was.Size() != info.Size() || !was.ModTime().Equal(info.ModTime()) {
			changed = append(changed, name)
		}
		return nil
	})
	return have, changed, err
}

func (r *remote) has(name string) bool {
	_, ok := r.sent[name]
	return ok
}

func (r *remote) remove(name string) error {
	if err := store.RemoveIfThere(store.Join(r.url, name)); err != nil {
		return err
	}
	delete(r.sent, name)
	return nil
}

// older reports that name is of a checkpoint before the one that the run went on
// from, which is not in the scratch, and is among those that stay.
func (r *remote) older(name string, have map[string]os.FileInfo) bool {
	parts := strings.Split(name, "/")
	if parts[0] != CheckpointsName || len(parts) != 3 {
		return false
	}
	n, ok := stepOf(parts[1])
	if !ok || n >= r.from {
		return false
	}
	newer := map[string]bool{}
	for _, names := range []map[string]os.FileInfo{have, r.sent} {
		for other := range names {
			p := strings.Split(other, "/")
			if m, ok := stepOf(p[min(1, len(p)-1)]); ok && m > n && p[0] == CheckpointsName && path.Base(other) == manifestFile {
				newer[p[1]] = true
			}
		}
	}
	return len(newer) < r.keep
}

// marker is the file that completes what name is a part of.
func marker(name string) string {
	switch first, _, _ := strings.Cut(name, "/"); first {
	case CheckpointsName:
		return path.Join(path.Dir(name), manifestFile)
	case BestName:
		return path.Join(BestName, "best.json")
	}
	return name
}

// rank orders what is sent: what completes a thing after it, the record last.
func rank(name string) int {
	switch base := path.Base(name); {
	case name == RecordName:
		return 2
	case base == parquet.ManifestName || base == manifestFile || base == "best.json":
		return 1
	}
	return 0
}

// leaving orders what is removed: what completes a thing before it; that the run
// is unfinished is true until all else is done.
func leaving(name string) int {
	if name == unfinishedName {
		return 1
	}
	return -rank(name)
}

// close ends the claim and removes the scratch. What could not be sent stays, and
// the error says where.
func (r *remote) close(err error) error {
	if r == nil {
		return err
	}
	lost := errors.Is(context.Cause(r.ctx), errTaken)
	r.cancel(nil)
	if e := r.lease.Close(); e != nil && err == nil {
		err = e
	}
	if lost {
		err = &cli.Error{Code: cli.ExitFailed, Err: fmt.Errorf("%s: %w", r.url, errTaken)}
	} else if r.behind && err != nil {
		to := filepath.Join(filepath.Dir(r.dir), unsentPrefix+strings.TrimPrefix(filepath.Base(r.dir), scratchPrefix))
		if e := os.Rename(r.dir, to); e != nil {
			to = r.dir
		}
		return fmt.Errorf("%w; what %s lacks is kept in %s: the same command trains it again from the last checkpoint there, or copy that folder to it", err, r.url, to)
	}
	return errors.Join(err, os.RemoveAll(r.dir))
}
