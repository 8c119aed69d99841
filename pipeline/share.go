package pipeline

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"eaft/internal/cli"
	"eaft/internal/store"
)

// restarts is how often workers may be killed without any shard having been
// finished in between, before the run gives up.
const restarts = 5

// share runs p.Workers processes, each of them pipeline work, until all shards
// of the step are there. One that is killed is started again: what it had
// claimed is free at once, for this machine sees that it is dead.
func (p *Pipeline) share(ctx context.Context, plan []Planned, pl *Planned) (peak int64, err error) {
	n := p.shardCount(pl)
	if n < 2 {
		return 0, nil
	}
	file, err := store.Abs(p.Path)
	if err != nil {
		return 0, err
	}
	args := append([]string{"work", file, "--stage", pl.Name, "--lease", p.lease().String()}, setFlags(p.pinned(p.Set))...)
	args = append(args, "--set", "workers=1", "--set", "cpu="+plan0(plan, "isa"))
	group, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	var mu sync.Mutex
	killed, before := 0, 0
	for range min(p.Workers, n) {
		wg.Go(func() {
			for group.Err() == nil {
				err := p.Runner.Run(group, Stage{Program: "pipeline", Args: args, Shown: true, Quiet: true})
				if err == nil || group.Err() != nil {
					return
				}
				var exit *exec.ExitError
				if !errors.As(err, &exit) || !signaled(exit) {
					cancel(err)
					return
				}
				mu.Lock()
				done, _ := p.shardsDone(pl)
				if killed++; done > before {
					killed, before = 0, done
				}
				if killed > restarts {
					cancel(fmt.Errorf("%d workers were killed (%w) and no shard was finished; has the machine too little memory?", killed, err))
				}
				mu.Unlock()
				p.say("worker", pl.Name, "was killed and is started again", "why", err.Error())
			}
		})
	}
	progress := cli.NewProgress(p.Runner.Err, pl.Name, "shards", int64(n), 0)
	stop := make(chan struct{})
	go func() { wg.Wait(); close(stop) }()
	shown := 0
	for tick := time.NewTicker(10 * p.pause()); ; {
		select {
		case <-tick.C:
			done, _ := p.shardsDone(pl)
			progress.Add(int64(done-shown), fmt.Sprintf("%d workers", p.Workers))
			shown = done
			continue
		case <-stop:
			tick.Stop()
		}
		break
	}
	progress.Done()
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	if cause := context.Cause(group); cause != nil {
		return 0, cause
	}
	sum, peak, bad, err := p.merge(pl, n)
	switch {
	case err != nil:
		return 0, err
	case len(bad) > 0:
		return 0, fmt.Errorf("%s: its bytes are not those that a worker made just now: removed; look after the disk, and run again", bad[0])
	}
	return peak, sum.Check()
}

// plan0 is a part that the keys of all computed steps have alike.
func plan0(plan []Planned, part string) string {
	for _, pl := range plan {
		if v := pl.Parts[part]; v != "" {
			return v
		}
	}
	return ""
}

func signaled(e *exec.ExitError) bool {
	ws, ok := e.Sys().(syscall.WaitStatus)
	return ok && ws.Signaled()
}
