package pipeline

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"eaft/internal/cli"
	"eaft/internal/lock"
	"eaft/internal/store"
)

// holding is a lock that is held. Stages that are given its files (Runner.Hold) keep
// it until the last of them has ended, however the pipeline ended.
type holding struct {
	files []*os.File
	lease *lock.Lease // in a bucket; nil in a folder
	name  string
	over  context.CancelCauseFunc
}

// lost asks whether another has the lock by now, before something is written that is
// that one's: a process that stood still for long goes on for a moment before it hears
// of that. nil too if the store does not say. In a folder no lock is lost.
func (h *holding) lost() error {
	if h.lease == nil {
		return nil
	}
	if err := h.lease.Check(); errors.Is(err, lock.ErrLost) {
		return fmt.Errorf("%s: %w", h.name, err)
	}
	return nil
}

// Close gives the lock back. No stage is left then, so that the file which a lease has
// on this machine is not needed any more.
func (h *holding) Close() error {
	var err error
	if h.lease != nil {
		err = h.lease.Close()
	}
	for _, f := range h.files {
		if h.lease != nil {
			err = errors.Join(err, store.RemoveIfThere(f.Name()))
		}
		err = errors.Join(err, f.Close())
	}
	if h.over != nil {
		h.over(nil)
	}
	return err
}

// pause is between two looks at what other processes do. Each is a request to the
// store where the run is in a bucket.
func (p *Pipeline) pause() time.Duration {
	if store.IsURL(p.at(p.Out)) {
		return time.Second
	}
	return 100 * time.Millisecond
}

// acquire takes the lock path, alone or with others that share it. While somebody
// else has it, wait says whether to wait. The context that is returned ends when the
// lock is lost, which can happen in a bucket only.
func (p *Pipeline) acquire(ctx context.Context, path string, shared, wait bool, what string) (context.Context, *holding, error) {
	if store.IsURL(path) {
		return p.acquireInBucket(ctx, path, shared, wait, what)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return ctx, nil, cli.Usagef("%w", err)
	}
	f, err := acquireFile(ctx, path, path, shared, wait, what)
	if err != nil {
		return ctx, nil, err
	}
	return ctx, &holding{files: []*os.File{f}}, nil
}

// acquireFile takes the lock of a file. A holder that is dead is waited for in any
// case: its stages are about to stop.
func acquireFile(ctx context.Context, path, name string, shared, wait bool, what string) (*os.File, error) {
	until := time.Now().Add(time.Minute)
	for try := 0; ; try++ {
		f, err := lock.File(path, shared)
		var held *lock.Held
		if err == nil {
			return f, nil
		}
		if !errors.As(err, &held) {
			return nil, cli.Usagef("%w", err)
		}
		// The first try may have met a status that was looking.
		if !wait && try > 0 && (!held.Owner.Dead() || time.Now().After(until)) {
			return nil, taken(name, what, held.Owner)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func taken(name, what string, by lock.Owner) error {
	who := by.Name()
	if who != "" {
		who = " (" + who + ")"
	}
	return cli.Usagef("%s: %s%s; wait for it with --wait, or stop it", name, what, who)
}

// acquireInBucket takes a lease. Of a holder that may be dead the next seconds show
// whether it lives. A lock that is taken alone is one of this machine's as well, so
// that stages which outlive their pipeline by a moment are waited for.
func (p *Pipeline) acquireInBucket(ctx context.Context, url string, shared, wait bool, what string) (context.Context, *holding, error) {
	h := &holding{name: url}
	fail := func(err error) (context.Context, *holding, error) {
		return ctx, nil, errors.Join(err, h.Close())
	}
	if !shared {
		sum := sha256.Sum256([]byte(url))
		path := filepath.Join(os.TempDir(), fmt.Sprintf("eaft-%d-%x.lock", os.Getuid(), sum[:8]))
		f, err := acquireFile(ctx, path, url, false, wait, what)
		if err != nil {
			return fail(err)
		}
		h.files = append(h.files, f)
	}
	var err error
	if h.lease, err = lock.OpenLease(url, shared, p.lease()); err != nil {
		return fail(err)
	}
	err = h.lease.Acquire(ctx, wait, min(p.pause(), p.lease()/8), func(by lock.Owner) {
		p.say("lock", url, "is looked at", "why", fmt.Sprintf("%s; within %v it is seen whether %s lives", what, p.lease(), by.Name()))
	})
	var busy *lock.Busy
	if errors.As(err, &busy) {
		err = taken(url, what, busy.Owner)
	}
	if err != nil {
		return fail(err)
	}
	ctx, h.over = h.lease.Bind(ctx, fmt.Errorf("%s: %w", url, lock.ErrLost))
	return ctx, h, nil
}

// lost is the error of a run whose lock another one has taken over; else err.
func lost(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); errors.Is(cause, lock.ErrLost) {
		return cause
	}
	return err
}
