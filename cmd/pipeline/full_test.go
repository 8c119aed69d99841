package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestDiskFull runs the pipeline on a file system that is too small, and lets it
// grow a little each time, until there is room for all: so the disk is full at
// one write after the other. Every run must fail and say why, nothing may be
// taken for finished that is not, and in the end the results are those of a run
// that nothing disturbed. It mounts a tmpfs, so it runs as root, and with
// EAFT_STRESS only, for it takes a while.
func TestDiskFull(t *testing.T) {
	if os.Getenv("EAFT_STRESS") == "" || os.Getuid() != 0 {
		t.Skip("needs EAFT_STRESS, and root to mount a tmpfs")
	}
	whole := workspace(t)
	if out, err := pipelineRun(whole, "--workers", "1").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := results(t, whole)
	for _, workers := range []string{"1", "3"} {
		dir := workspace(t)
		disk := filepath.Join(dir, "run")
		if err := os.Mkdir(disk, 0o777); err != nil {
			t.Fatal(err)
		}
		size := 64 << 10
		mount := func(how string) {
			t.Helper()
			cmd := exec.Command("mount", "-t", "tmpfs", "-o", fmt.Sprintf("%ssize=%d", how, size), "tmpfs", disk)
			if out, err := cmd.CombinedOutput(); err != nil {
				if how == "" {
					t.Skipf("mount: %v %s", err, out)
				}
				t.Fatalf("mount: %v %s", err, out)
			}
		}
		mount("")
		t.Cleanup(func() { exec.Command("umount", disk).Run() })
		failures := 0
		for ; ; failures++ {
			cmd := pipelineRun(dir, "--workers", workers)
			out, err := cmd.CombinedOutput()
			if err == nil {
				break
			}
			if code := cmd.ProcessState.ExitCode(); code != 1 && code != 2 || !strings.Contains(string(out), "no space left on device") {
				t.Fatalf("with %d bytes: %v\n%s", size, err, out)
			}
			if size += size / 8; size > 256<<20 {
				t.Fatalf("no end of it:\n%s", out)
			}
			mount("remount,")
		}
		t.Logf("%s workers: the disk was full %d times", workers, failures)
		if failures < 5 {
			t.Errorf("only %d runs met a full disk", failures)
		}
		got := results(t, dir)
		alike(t, workers+" workers", got, want)
	}
}
