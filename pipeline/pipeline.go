// Package pipeline runs stages one after another. It knows no stage: a command
// hands them in as programs, so that each has its own memory and its own exit
// code, and what ran can be run again by hand.
package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"eaft/internal/cli"
)

// Stage is one program and its arguments.
type Stage struct {
	Program string // a name in Runner.Dir, such as "scorer"
	Args    []string
	Out     io.Writer // the stage's standard output; nil: the runner's
}

// Runner runs stages.
type Runner struct {
	Dir      string // where the programs are
	Out, Err io.Writer
}

// Beside is the folder of the running program: the four commands lie together.
func Beside() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	if self, err = filepath.EvalSymlinks(self); err != nil {
		return "", err
	}
	return filepath.Dir(self), nil
}

// Run prints the stage's command line on Err and runs it. Cancelling ctx sends
// SIGTERM, so that the stage saves what it has. A failure keeps the stage's
// exit code.
func (r *Runner) Run(ctx context.Context, s Stage) error {
	fmt.Fprintf(r.Err, "\n$ %s %s\n", s.Program, quote(s.Args))
	cmd := exec.CommandContext(ctx, filepath.Join(r.Dir, s.Program), s.Args...)
	cmd.Stdout, cmd.Stderr = r.Out, r.Err
	if s.Out != nil {
		cmd.Stdout = s.Out
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Minute
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() > 0 {
		return &cli.Error{Code: exit.ExitCode(), Err: fmt.Errorf("%s failed", s.Program)}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", s.Program, err)
	}
	return nil
}

// quote spells arguments so that a shell reads them back.
func quote(args []string) string {
	out := make([]string, len(args))
	for i, a := range args {
		out[i] = a
		if a == "" || strings.ContainsAny(a, " \t\n'\"\\$`*?[]{}()<>|&;#~!") {
			out[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
	}
	return strings.Join(out, " ")
}
