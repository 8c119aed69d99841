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
)

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out", "lock")
	a, err := lock(t.Context(), path, false, false, "busy")
	if err != nil {
		t.Fatal(err)
	}
	if o := holder(path); o == nil || o.PID != os.Getpid() {
		t.Errorf("holder is %v", o)
	}
	if _, err := lock(t.Context(), path, false, false, "busy"); cli.Code(err) != cli.ExitUsage || !strings.Contains(err.Error(), "busy (process ") {
		t.Errorf("a second: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 250*time.Millisecond)
	defer cancel()
	if _, err := lock(ctx, path, false, true, "busy"); err != context.DeadlineExceeded {
		t.Errorf("one that waits: %v", err)
	}
	// A child that holds it open outlives the holder's close.
	cmd := exec.Command("sleep", "0.5")
	cmd.ExtraFiles = []*os.File{a}
	if err := cmd.Start(); err != nil {
		t.Skip(err)
	}
	a.Close()
	if _, err := lock(t.Context(), path, false, false, "busy"); err == nil {
		t.Error("the lock is free while a child holds it")
	}
	cmd.Wait()
	b, err := lock(t.Context(), path, true, false, "busy")
	if err != nil {
		t.Fatal(err)
	}
	c, err := lock(t.Context(), path, true, false, "busy")
	if err != nil {
		t.Errorf("shared with another: %v", err)
	}
	if _, err := lock(t.Context(), path, false, false, "busy"); err == nil {
		t.Error("alone beside those that share")
	}
	b.Close()
	c.Close()
	if o := holder(path); o != nil {
		t.Errorf("free, and %v holds it", o)
	}
}

func TestDead(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Skip(err)
	}
	o := parseOwner(self().String())
	if o != self() || o.dead() {
		t.Errorf("%+v reads back as %+v, dead %v", self(), o, o.dead())
	}
	o.PID, o.Start = cmd.Process.Pid, started(cmd.Process.Pid)
	if o.dead() {
		t.Error("a process that lives is dead")
	}
	other := o
	other.Start = "1"
	if _, err := os.Stat("/proc/self/stat"); err == nil && !other.dead() {
		t.Error("a number that went to another process is taken for the first")
	}
	cmd.Process.Kill()
	cmd.Wait()
	if !o.dead() {
		t.Error("a process that ended lives")
	}
	o.Host = "elsewhere"
	if o.dead() {
		t.Error("another machine's process cannot be known to be dead")
	}
}
