// Package cli is what the commands share: exit codes, errors that carry one,
// stopping on a signal, and progress on a terminal or in a log.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/spf13/pflag"

	"eaft/internal/version"
)

// Exit codes of every command.
const (
	ExitDone    = 0
	ExitFailed  = 1
	ExitUsage   = 2  // wrong use or unusable input
	ExitGate    = 3  // a gate such as --max-reject said no
	ExitStopped = 75 // stopped by a signal with everything saved; run again to go on
)

// Error is an error with an exit code.
type Error struct {
	Code int
	Err  error
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Usagef is wrong use or unusable input: exit code 2.
func Usagef(format string, a ...any) error {
	return &Error{ExitUsage, fmt.Errorf(format, a...)}
}

// Gatef is a gate that said no: exit code 3.
func Gatef(format string, a ...any) error {
	return &Error{ExitGate, fmt.Errorf(format, a...)}
}

// MaxThreads is more than machines have; each takes memory.
const MaxThreads = 4096

// CheckThreads refuses what --threads cannot be; 0 stands for all cores.
func CheckThreads(n int) error {
	if n < 0 || n > MaxThreads {
		return Usagef("--threads %d: use 1 to %d, or 0 for all cores", n, MaxThreads)
	}
	return nil
}

// Unavailable is an error of a service that may be over when the command is run
// again: exit code 1, whatever the error is wrapped in.
type Unavailable interface {
	error
	Unavailable()
}

// IO are a command's streams: results go to Out, everything else to Err.
type IO struct {
	In       io.Reader
	Out, Err io.Writer
}

// Code is the exit code that err asks for.
func Code(err error) int {
	var e *Error
	var u Unavailable
	switch {
	case err == nil, errors.Is(err, pflag.ErrHelp):
		return ExitDone
	case errors.As(err, &u):
		return ExitFailed // also where it kept an input from being read
	case errors.As(err, &e):
		return e.Code
	case errors.Is(err, context.Canceled):
		return ExitStopped
	}
	return ExitFailed
}

var startsOver = &Error{ExitStopped, errors.New("stopped; nothing is kept: run again, the same command starts over")}

// StartsOver is err of a command that keeps nothing when it is stopped, which is then said.
func StartsOver(err error) error {
	if Code(err) == ExitStopped {
		return startsOver
	}
	return err
}

// Main runs a command until it ends or SIGINT, SIGTERM or SIGHUP cancels its context,
// prints its error, and returns the exit code. --version and help are of every
// program.
func Main(name string, run func(ctx context.Context, args []string, std IO) error) int {
	ctx, stop := stopSignal()
	defer stop()
	args := os.Args[1:]
	if len(args) == 1 && args[0] == "--version" {
		fmt.Println(about(name))
		return ExitDone
	}
	if len(args) == 1 && args[0] == "help" {
		args = []string{"--help"}
	}
	std := IO{os.Stdin, os.Stdout, os.Stderr}
	var log *Log
	if asksForJSON(args) {
		log = NewLog(name, os.Stderr)
		defer log.Close()
		std.Err = log
		warnings = log
	}
	err := run(ctx, args, std)
	code := Code(err)
	if code == ExitDone {
		return code
	}
	level, message := slog.LevelError, ""
	if code == ExitStopped {
		level, message = slog.LevelWarn, "stopped; run the same command again: what is finished is kept"
		if errors.Is(err, startsOver) {
			message = startsOver.Error()
		}
	} else {
		message = Redact(err.Error())
	}
	if log != nil {
		log.Log(context.Background(), level, message, "exit_code", code)
	} else {
		fmt.Fprintf(os.Stderr, "%s: %s\n", name, message)
	}
	return code
}

// warnings are where Warnf writes: a Log, where Main's arguments ask for one.
var warnings io.Writer = os.Stderr

// Warnf warns of something far below a command, which has no streams there.
func Warnf(format string, a ...any) {
	fmt.Fprintf(warnings, "warning: "+format+"\n", a...)
}

// about is what --version says: release, commit if it is known, and Go's version.
func about(name string) string {
	s := name + " of eaft " + version.Version
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return s
	}
	for _, b := range info.Settings {
		if b.Key == "vcs.revision" {
			s += " (" + b.Value[:min(7, len(b.Value))] + ")"
		}
	}
	return s + ", " + info.GoVersion + ", " + runtime.GOOS + "/" + runtime.GOARCH
}

// Parse parses flags that may stand between arguments, among them --log-format,
// which Main has heeded by then. A wrong flag is exit code 2; --help prints usage to std.Out and returns pflag.ErrHelp.
func Parse(fs *pflag.FlagSet, args []string, std IO, usage string) error {
	fs.SetOutput(io.Discard)
	fs.SortFlags = false
	fs.Usage = func() {}
	if len(args) == 1 && args[0] == FlagsArg {
		if err := printFlags(fs, std.Out); err != nil {
			return err
		}
		return pflag.ErrHelp
	}
	check := logFlag(fs)
	err := fs.Parse(args)
	if errors.Is(err, pflag.ErrHelp) {
		fmt.Fprintf(std.Out, "%s\n\nFlags:\n%s", usage, fs.FlagUsages())
		return err
	}
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		var names []string
		fs.VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		if at := Meant(unknown.GetSpecifiedName(), names); at != "" {
			return Usagef("%w; is --%s meant? See %s --help", err, at, fs.Name())
		}
	}
	if err != nil {
		return Usagef("%w; see %s --help", err, fs.Name())
	}
	return check()
}
