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
	cmd := exec.Command(os.Args[0], "-test.run=^TestSignals$")
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
	cmd.Process.Signal(os.Interrupt)
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
