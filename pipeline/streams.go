package pipeline

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"eaft/internal/cli"
)

// streams are where the two streams of a stage go, and its arguments, which ask for a
// log like the runner's if that is where its standard error goes. It announces the
// stage, unless that is to be quiet. end is called when the stage has ended.
func (r *Runner) streams(s Stage) (args []string, out, errs io.Writer, end func()) {
	args, out, errs, end = s.Args, r.Out, r.Err, func() {}
	shown := r.Err
	log, _ := r.Err.(*cli.Log)
	if log != nil {
		a, b := log.Stream(s.Program), log.Stream(s.Program)
		errs, shown, end = a, b, func() { a.Close(); b.Close() }
	}
	switch {
	case s.Quiet:
	case log != nil:
		log.Info("start", "command", s.Program+" "+quote(s.Args))
	default:
		fmt.Fprintf(r.Err, "\n$ %s %s\n", s.Program, quote(s.Args))
	}
	switch {
	case s.Err != nil:
		errs = s.Err
	case log != nil:
		args = withFlag(args, cli.LogJSON)
	}
	if s.Copy != nil {
		shown = io.MultiWriter(shown, s.Copy)
		if s.Err == nil && !cli.Terminal(errs) {
			errs = io.MultiWriter(errs, s.Copy)
		}
	}
	switch {
	case s.Shown:
		out = shown
	case s.Out != nil:
		out = s.Out
	}
	return args, out, errs, end
}

// withFlag are arguments with a flag behind those that are no flags, such as a
// subcommand.
func withFlag(args []string, flag string) []string {
	at := slices.IndexFunc(args, func(a string) bool { return strings.HasPrefix(a, "-") })
	if at < 0 {
		at = len(args)
	}
	return slices.Insert(slices.Clone(args), at, flag)
}
