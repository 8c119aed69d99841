package cli

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/pflag"
)

const (
	logFormat = "log-format"

	// LogJSON is the flag of every command that makes its standard error a Log.
	LogJSON = "--" + logFormat + "=json"
)

// Log is standard error for machines: every line is a JSON object with time, level
// (INFO, WARN or ERROR), msg and program. A line that is one already, of a program
// that this one runs, is passed on as it is. Its methods may be called at once.
type Log struct {
	*slog.Logger
	all   *slog.Logger // of no program
	to    *lines
	mu    sync.Mutex
	begun []byte // a line that has not ended
}

// lines are written whole, one at a time.
type lines struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// NewLog is the log of a program.
func NewLog(program string, w io.Writer) *Log {
	to := &lines{w: w}
	utc := func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			a.Value = slog.TimeValue(a.Value.Time().UTC().Truncate(time.Millisecond))
		}
		return a
	}
	all := slog.New(slog.NewJSONHandler(to, &slog.HandlerOptions{ReplaceAttr: utc}))
	return &Log{Logger: all.With("program", program), all: all, to: to}
}

// Stream is for what another program writes, beside others at once: its lines are
// whole. Close it.
func (l *Log) Stream(program string) *Log {
	return &Log{Logger: l.all.With("program", program), all: l.all, to: l.to}
}

// Write makes records of lines of text; a warning is one that begins so.
func (l *Log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.begun = append(l.begun, b...)
	for {
		line, rest, ended := bytes.Cut(l.begun, []byte("\n"))
		if !ended {
			return len(b), nil
		}
		if err := l.line(line); err != nil {
			return 0, err
		}
		l.begun = append(l.begun[:0], rest...)
	}
}

// Close writes a last line that did not end.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	line := l.begun
	l.begun = nil
	return l.line(line)
}

func (l *Log) line(line []byte) error {
	if line = bytes.TrimRight(line, " \t\r"); len(line) == 0 {
		return nil
	}
	if line[0] == '{' && json.Valid(line) {
		_, err := l.to.Write(append(slices.Clip(line), '\n'))
		return err
	}
	if text, is := strings.CutPrefix(string(line), "warning: "); is {
		l.Warn(text)
	} else {
		l.Info(text)
	}
	return nil
}

// asksForJSON reports whether the arguments ask for a Log. It is known before they
// are parsed, for what is wrong with them is said there, too.
func asksForJSON(args []string) bool {
	for i, a := range args {
		switch {
		case a == "--":
			return false
		case a == LogJSON, a == "--"+logFormat && i+1 < len(args) && args[i+1] == "json":
			return true
		}
	}
	return false
}

// logFlag is the flag that every command has; check refuses a value that is not known.
func logFlag(fs *pflag.FlagSet) (check func() error) {
	format := fs.String(logFormat, "text", "standard error: text, or json, an object on each line")
	return func() error {
		if *format != "text" && *format != "json" {
			return Usagef("--%s %q: use text or json", logFormat, *format)
		}
		return nil
	}
}
