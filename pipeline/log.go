package pipeline

import (
	"io"
	"strings"
)

// lossy writes to a log for as long as that works: that the disk is full must be
// heard of from the stage, and not be hidden by its log.
type lossy struct {
	w      io.Writer
	failed bool
}

func (l *lossy) Write(b []byte) (int, error) {
	if !l.failed {
		_, err := l.w.Write(b)
		l.failed = err != nil
	}
	return len(b), nil
}

// ending keeps the last bytes that were written to it.
type ending struct{ data []byte }

const endingBytes = 2 << 10

func (e *ending) Write(b []byte) (int, error) {
	e.data = append(e.data, b...)
	if n := len(e.data) - endingBytes; n > 0 {
		e.data = append(e.data[:0], e.data[n:]...)
	}
	return len(b), nil
}

func (e *ending) String() string { return strings.ToValidUTF8(string(e.data), "\uFFFD") }
