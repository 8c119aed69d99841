package cli

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// echo is how long after a first signal further ones are taken for the same: a
// terminal signals every program of a pipeline, and a parent passes its own on.
const echo = time.Second

// stopSignal is a context that the first SIGINT or SIGTERM cancels, or SIGHUP, when the
// terminal is closed, unless nohup has it ignored. Later than its echo, another one ends
// the program at once, as if nobody listened.
func stopSignal() (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(signals, syscall.SIGHUP)
	}
	go func() {
		select {
		case <-signals:
		case <-ctx.Done():
			return
		}
		cancel()
		time.Sleep(echo)
		signal.Stop(signals)
	}()
	return ctx, func() {
		cancel()
		signal.Stop(signals)
	}
}
