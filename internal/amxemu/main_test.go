//go:build linux && amd64

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// emulator is amxemu's program and what it says before another's: something on a
// CPU with AMX. Where it cannot run, the test is skipped with that.
func emulator(t *testing.T) (path string, says []byte) {
	path = filepath.Join(t.TempDir(), "amxemu")
	build(t, "build", "-o", path, "eaft/internal/amxemu")
	says, err := exec.Command(path, "true").CombinedOutput()
	if err != nil {
		t.Skipf("%v: %s", err, says)
	}
	return path, says
}

func build(t *testing.T, args ...string) {
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		t.Fatalf("go %v: %v\n%s", args, err, out)
	}
}

// What the instructions do is in package instructions, whose tests also run on a CPU
// that has them.
func TestInstructions(t *testing.T) {
	path, _ := emulator(t)
	test := filepath.Join(t.TempDir(), "instructions.test")
	build(t, "test", "-c", "-o", test, "eaft/internal/amxemu/instructions")
	out, err := exec.Command(path, test, "-test.v").CombinedOutput()
	if err != nil || bytes.Contains(out, []byte("--- SKIP")) ||
		!bytes.Contains(out, []byte("--- PASS: TestProduct")) || !bytes.Contains(out, []byte("--- PASS: TestVectors")) {
		t.Fatalf("%v\n%s", err, out)
	}
}

// The program ends as it would by itself.
func TestEnd(t *testing.T) {
	path, says := emulator(t)
	for script, want := range map[string]string{
		"exit 0":            "<nil>",
		"exit 7":            "exit status 7",
		"kill -TERM $$":     "signal: terminated",
		"kill -KILL $$":     "signal: killed",
		"kill -SEGV $$":     "signal: segmentation fault",
		"kill -ILL $$":      "signal: illegal instruction",
		"(exit 3); exit $?": "exit status 3",
		"(sleep 0.1; kill -CONT $$) & kill -STOP $$; exit 5": "exit status 5",
		`trap "exit 6" USR1; kill -USR1 $$; exit 1`:          "exit status 6",
		`[ "$(cat)" = given ] && exit 4`:                     "exit status 4",
	} {
		cmd := exec.Command(path, "sh", "-c", "ulimit -c 0; "+script)
		cmd.Stdin = strings.NewReader("given")
		out, err := cmd.CombinedOutput()
		if got := fmt.Sprint(err); got != want || !bytes.Equal(out, says) {
			t.Errorf("%s: %s, want %s\n%s", script, got, want, out)
		}
	}
	for _, args := range [][]string{{}, {"no such program"}} {
		out, err := exec.Command(path, args...).CombinedOutput()
		var e *exec.ExitError
		if !errors.As(err, &e) || e.ExitCode() != 2 || !bytes.HasPrefix(out, []byte("amxemu: ")) {
			t.Errorf("%q: %v\n%s", args, err, out)
		}
	}
}

// A signal for amxemu is one for the program.
func TestSignals(t *testing.T) {
	path, _ := emulator(t)
	for sig, want := range map[syscall.Signal]string{syscall.SIGTERM: "exit status 8", syscall.SIGHUP: "signal: hangup"} {
		cmd := exec.Command(path, "sh", "-c", `trap "exit 8" TERM; echo ready; while :; do sleep 0.01; done`)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(cmd.Wait()); got != want {
			t.Errorf("%v: %s, want %s", sig, got, want)
		}
	}
}
