package pipeline

import (
	"bytes"
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"

	"eaft/internal/cli"
)

func runner(t *testing.T) (*Runner, *bytes.Buffer, *bytes.Buffer) {
	t.Helper()
	if _, err := exec.LookPath("/bin/sh"); err != nil {
		t.Skip("no /bin/sh")
	}
	var out, errs bytes.Buffer
	return &Runner{Dir: "/bin", Out: &out, Err: &errs}, &out, &errs
}

// The printed line, given to a shell, says the same words as the stage did.
func TestRunPrintsWhatAShellReads(t *testing.T) {
	r, out, errs := runner(t)
	args := []string{"-c", `printf '%s|' "$@"`, "sh", "it's", "a b", "$HOME", "", "p<=0.05,h<=0.1"}
	if err := r.Run(context.Background(), Stage{Program: "sh", Args: args}); err != nil {
		t.Fatal(err)
	}
	line := strings.TrimPrefix(strings.TrimSpace(errs.String()), "$ ")
	again, err := exec.Command("/bin/sh", "-c", line).Output()
	if err != nil {
		t.Fatal(err)
	}
	if out.String() != string(again) || out.String() != "it's|a b|$HOME||p<=0.05,h<=0.1|" {
		t.Errorf("stage printed %q, its line %q", out.String(), again)
	}
}

func TestRunKeepsExitCode(t *testing.T) {
	r, _, _ := runner(t)
	err := r.Run(context.Background(), Stage{Program: "sh", Args: []string{"-c", "exit 3"}})
	if cli.Code(err) != cli.ExitGate {
		t.Errorf("exit code %d, want %d (%v)", cli.Code(err), cli.ExitGate, err)
	}
	if err := r.Run(context.Background(), Stage{Program: "no-such-program"}); cli.Code(err) != cli.ExitFailed {
		t.Errorf("a missing program: %v", err)
	}
}

func TestCancelSendsSIGTERM(t *testing.T) {
	r, _, _ := runner(t)
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	err := r.Run(ctx, Stage{Program: "sh", Args: []string{"-c", "trap 'exit 75' TERM; while :; do sleep 0.01; done"}})
	if cli.Code(err) != cli.ExitStopped {
		t.Errorf("exit code %d, want %d (%v)", cli.Code(err), cli.ExitStopped, err)
	}
}
