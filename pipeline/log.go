package pipeline

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"eaft/internal/store"
)

// stepLog is log.txt of a step, to which attempts append. An object cannot be
// appended to: it is kept in a file of this machine and sent again and again.
type stepLog struct {
	name   string
	f      *os.File
	behind bool   // the object lacks something
	stop   func() // no more is sent meanwhile; nil: of a folder
	mu     sync.Mutex
}

const sendLogEvery = 30 * time.Second

func openLog(name string) (*stepLog, error) {
	l := &stepLog{name: name}
	var err error
	if !store.IsURL(name) {
		l.f, err = os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o666)
		return l, err
	}
	if l.f, err = store.Fetch(name, os.TempDir()); errors.Is(err, fs.ErrNotExist) {
		l.f, err = os.CreateTemp("", "eaft-log-*")
	}
	if err != nil {
		return nil, err
	}
	os.Remove(l.f.Name()) // where an open file may lose its name, a killed run leaves nothing
	if _, err := l.f.Seek(0, io.SeekEnd); err != nil {
		l.f.Close()
		return nil, err
	}
	l.stop = every(sendLogEvery, l.send)
	return l, nil
}

func (l *stepLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.behind = true
	return l.f.Write(b)
}

// send writes the object. That it fails is no matter: the stage meets the same store.
func (l *stepLog) send() {
	l.mu.Lock()
	behind := l.behind
	l.behind = false
	l.mu.Unlock()
	if behind && store.UploadFrom(l.name, l.f) != nil {
		l.mu.Lock()
		l.behind = true
		l.mu.Unlock()
	}
}

// Close ends the log; send is false where the object is another's by now.
func (l *stepLog) Close(send bool) error {
	if l.stop != nil {
		l.stop()
		if send {
			l.send()
		}
	}
	return l.f.Close()
}

// every calls f again and again until the function that it returns is called.
func every(d time.Duration, f func()) (stop func()) {
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(d)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				f()
			case <-end:
				return
			}
		}
	}()
	return func() { close(end); <-ended }
}

// writeLog writes a whole log. Nothing depends on it.
func writeLog(name string, data []byte) {
	if store.IsURL(name) {
		store.WriteFile(name, data)
		return
	}
	os.WriteFile(name, data, 0o666)
}

// lossy writes to a log for as long as that works: that the disk is full must be
// heard of from the stage, and not be hidden by its log. Both streams of a stage may
// write at once.
type lossy struct {
	w      io.Writer
	failed atomic.Bool
}

func (l *lossy) Write(b []byte) (int, error) {
	if !l.failed.Load() {
		if _, err := l.w.Write(b); err != nil {
			l.failed.Store(true)
		}
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
