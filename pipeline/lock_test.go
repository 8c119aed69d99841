package pipeline

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"eaft/internal/cli"
	"eaft/internal/lock"
)

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out", "lock")
	p := &Pipeline{Config: &Config{}}
	acquire := func(ctx context.Context, path string, shared, wait bool, what string) (*holding, error) {
		_, h, err := p.acquire(ctx, path, shared, wait, what)
		return h, err
	}
	a, err := acquire(t.Context(), path, false, false, "busy")
	if err != nil {
		t.Fatal(err)
	}
	if o := lock.Holder(path); o == nil || o.PID != os.Getpid() {
		t.Errorf("holder is %v", o)
	}
	if _, err := acquire(t.Context(), path, false, false, "busy"); cli.Code(err) != cli.ExitUsage || !strings.Contains(err.Error(), "busy (process ") {
		t.Errorf("a second: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 250*time.Millisecond)
	defer cancel()
	if _, err := acquire(ctx, path, false, true, "busy"); err != context.DeadlineExceeded {
		t.Errorf("one that waits: %v", err)
	}
	// A child that holds it open outlives the holder's close.
	cmd := exec.Command("sleep", "0.5")
	cmd.ExtraFiles = a.files
	if err := cmd.Start(); err != nil {
		t.Skip(err)
	}
	a.Close()
	if _, err := acquire(t.Context(), path, false, false, "busy"); err == nil {
		t.Error("the lock is free while a child holds it")
	}
	cmd.Wait()
	b, err := acquire(t.Context(), path, true, false, "busy")
	if err != nil {
		t.Fatal(err)
	}
	c, err := acquire(t.Context(), path, true, false, "busy")
	if err != nil {
		t.Errorf("shared with another: %v", err)
	}
	if _, err := acquire(t.Context(), path, false, false, "busy"); err == nil {
		t.Error("alone beside those that share")
	}
	b.Close()
	c.Close()
	if o := lock.Holder(path); o != nil {
		t.Errorf("free, and %v holds it", o)
	}
}
