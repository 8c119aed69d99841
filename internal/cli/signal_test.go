package cli

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// TestSignals stops a program that does not end by itself: the first signal
// cancels its context, what echoes it does nothing, and a second one ends it.
func TestSignals(t *testing.T) {
	if os.Getenv("EAFT_SIGNALS") != "" {
		Main("child", func(ctx context.Context, _ []string, _ IO) error {
			fmt.Println("begun")
			<-ctx.Done()
			fmt.Println("stopping")
			time.Sleep(time.Minute)
			return nil
		})
		return
	}
	for _, first := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(first.String(), func(t *testing.T) {
			t.Parallel()
			stopTwice(t, exec.Command(os.Args[0], "-test.run=^TestSignals$"), first)
		})
	}
	t.Run("nohup", func(t *testing.T) {
		t.Parallel()
		stopTwice(t, exec.Command("sh", "-c", `trap "" HUP; exec "$0" "$@"`, os.Args[0], "-test.run=^TestSignals$"), nil)
	})
}

// stopTwice starts a program, stops it by a first signal and a second one. Without the
// first it is one that ignores SIGHUP.
func stopTwice(t *testing.T, cmd *exec.Cmd, first os.Signal) {
	cmd.Env = append(os.Environ(), "EAFT_SIGNALS=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	lines := bufio.NewScanner(out)
	read := func(want string) {
		t.Helper()
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("%q, not %q", lines.Text(), want)
		}
	}
	read("begun")
	if first == nil {
		cmd.Process.Signal(syscall.SIGHUP)
		time.Sleep(echo + echo/4) // as if it had been the first
		first = os.Interrupt
	}
	cmd.Process.Signal(first)
	read("stopping")
	cmd.Process.Signal(syscall.SIGTERM) // as from the parent, whom the terminal interrupted too
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case err := <-done:
		t.Fatalf("the echo ended it: %v", err)
	case <-time.After(echo + echo/4):
	}
	began := time.Now()
	cmd.Process.Signal(syscall.SIGTERM)
	<-done
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() || status.Signal() != syscall.SIGTERM || time.Since(began) > 10*time.Second {
		t.Errorf("the second signal: %v after %v", cmd.ProcessState, time.Since(began))
	}
}
