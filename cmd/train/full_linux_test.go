package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"eaft/internal/cli"
)

// TestDiskFull fills the disk at ever later moments: the run ends with an error
// that says so, what it wrote before is whole, and with room again it goes on to
// the result of an undisturbed one. The disk is a small one in memory, where the
// machine lets us mount it; a limit of the size of files tells much the same.
func TestDiskFull(t *testing.T) {
	tokens := corpus(t)
	args := func(out string) []string {
		return []string{"--model", "../../model/testdata/llama", "--tokens", tokens, "--out", out, "--lr", "1e-2", "--dtype", "f32",
			"--batch-tokens", "1500", "--save-every", "1", "--keep", "1", "--threads", "1"}
	}
	whole := filepath.Join(t.TempDir(), "whole")
	if log, err := process(args(whole)...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	want := results(t, whole)
	disk := t.TempDir()
	resize := func(flags uintptr, kib int) error {
		return syscall.Mount("tmpfs", disk, "tmpfs", flags, fmt.Sprintf("size=%dk", kib))
	}
	failed := func(what string, cmd *exec.Cmd, reason string) bool {
		t.Helper()
		log, err := cmd.CombinedOutput()
		if err == nil {
			return false
		}
		if cmd.ProcessState.ExitCode() != cli.ExitFailed || !strings.Contains(string(log), reason) {
			t.Fatalf("%s: %v\n%s", what, err, log)
		}
		return true
	}
	if err := resize(0, 4); err != nil {
		t.Logf("no tmpfs (%v): by a limit of the size of files", err)
		cmd := process(args(filepath.Join(disk, "run"))...)
		limited := exec.Command("sh", append([]string{"-c", `ulimit -f 16; exec -a train "$0" "$@"`, cmd.Path}, cmd.Args[1:]...)...)
		if !failed("limited", limited, "file too large") {
			t.Fatal("the limit did not tell")
		}
		if log, err := process(args(filepath.Join(disk, "run"))...).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, log)
		}
		compare(t, "limited", results(t, filepath.Join(disk, "run")), want)
		return
	}
	defer syscall.Unmount(disk, 0)
	full, resumed := 0, 0
	finer := 120 // KiB from one disk to the next
	if os.Getenv("EAFT_STRESS") != "" {
		finer = 8
	}
	for kib := 8; ; kib += finer {
		out := filepath.Join(disk, "run")
		if err := resize(syscall.MS_REMOUNT, kib); err != nil {
			t.Fatal(err)
		}
		if !failed(fmt.Sprintf("%d KiB", kib), process(args(out)...), "no space left") {
			break
		}
		full++
		if err := resize(syscall.MS_REMOUNT, 64<<10); err != nil {
			t.Fatal(err)
		}
		log, err := process(args(out)...).CombinedOutput()
		if err != nil {
			t.Fatalf("with room again: %v\n%s", err, log)
		}
		if strings.Contains(string(log), "going on from") {
			resumed++
		}
		if strings.Contains(string(log), "not whole") {
			t.Errorf("%d KiB: %s", kib, log)
		}
		compare(t, fmt.Sprintf("%d KiB", kib), results(t, out), want)
		if err := os.RemoveAll(out); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("the disk was full at %d sizes, and %d times a checkpoint was there to go on from", full, resumed)
	if full < 3 || resumed == 0 {
		t.Error("the disk was never full at an interesting moment")
	}
}
