// Package pipeline describes a whole run in one file and makes of it what is
// missing. It knows no stage: stages are the sibling programs, so that each has
// its own memory and its own exit code, what ran can be run again by hand, and
// every flag of a program is a field of the file.
package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
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
	Err     io.Writer // the stage's standard error; nil: the runner's
	Shown   bool      // standard output goes where the runner's standard error goes
	Copy    io.Writer // gets what goes to the runner's standard error, too, but for bars on a terminal; nil: none
	Quiet   bool      // the command line is not printed
	Usage   *Usage    // filled in when the stage has ended, if not nil
}

// Usage is what a stage took.
type Usage struct {
	Seconds    float64
	Exit       int
	PeakMemory int64 // bytes; see cli.PeakMemoryOf
}

// Runner runs stages. Is Err a cli.Log, so is what they write there.
type Runner struct {
	Dir      string // where the programs are
	Out, Err io.Writer
	Work     string     // working directory; "": the program's own
	Env      []string   // added to the environment
	Hold     []*os.File // kept open by every stage until it ends: locks
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
// SIGTERM, so that the stage saves what it has, for which it has all the time it
// takes: a checkpoint may be of many gigabytes. So does the end of this process, where
// the system can do that. A failure keeps the stage's exit code.
func (r *Runner) Run(ctx context.Context, s Stage) error {
	args, out, errs, end := r.streams(s)
	defer end()
	cmd := exec.CommandContext(ctx, filepath.Join(r.Dir, s.Program), args...)
	cmd.Stdout, cmd.Stderr, cmd.Dir, cmd.ExtraFiles = out, errs, r.Work, r.Hold
	if len(r.Env) > 0 {
		cmd.Env = append(os.Environ(), r.Env...)
	}
	cmd.SysProcAttr = endsWithUs()
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	// The signal of the parent's end comes when its thread ends, not its process.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	began := time.Now()
	err := cmd.Run()
	if s.Usage != nil && cmd.ProcessState != nil {
		*s.Usage = Usage{time.Since(began).Seconds(), cmd.ProcessState.ExitCode(), cli.PeakMemoryOf(cmd.ProcessState)}
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() > 0 {
		said := fmt.Errorf("%s failed", s.Program)
		if exit.ExitCode() == cli.ExitGate {
			said = fmt.Errorf("a gate of %s said no", s.Program)
		}
		return &cli.Error{Code: exit.ExitCode(), Err: said}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("%s: %w", s.Program, err)
	}
	return nil
}

// command is the command line of pipeline VERB FILE, with what --set said.
func command(verb, file string, set []string, more ...string) string {
	return "pipeline " + quote(slices.Concat([]string{verb, file}, more, setFlags(set)))
}

// setFlags are the flags that say again what --set said.
func setFlags(set []string) (args []string) {
	for _, s := range set {
		args = append(args, "--set", s)
	}
	return args
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
