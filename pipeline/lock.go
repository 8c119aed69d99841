package pipeline

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"eaft/internal/cli"
	"eaft/internal/lock"
)

// acquire takes the lock path for this process and the stages that hold it open
// (Runner.Hold), alone or with others that share it. While somebody else has it,
// wait says whether to wait; a holder that is dead is waited for in any case: its
// stages are about to stop.
func acquire(ctx context.Context, path string, shared, wait bool, what string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return nil, cli.Usagef("%w", err)
	}
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
			who := held.Owner.Name()
			if who != "" {
				who = " (" + who + ")"
			}
			return nil, cli.Usagef("%s: %s%s; wait for it with --wait, or stop it", path, what, who)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}
