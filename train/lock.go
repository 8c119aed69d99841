package train

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"eaft/internal/cli"
)

// lockName is the file that a run holds locked (flock(2)) while it writes its
// folder. The lock ends with the process that holds it, however that ends, so
// that none is ever stale; the process and the host in the file are for messages.
const lockName = ".lock"

type lock struct{ f *os.File }

// acquire keeps other runs out of dir, which it makes.
func acquire(dir string) (*lock, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, cli.Usagef("--out: %w", err)
	}
	path := filepath.Join(dir, lockName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, cli.Usagef("--out: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		who, _ := io.ReadAll(io.LimitReader(f, 256))
		f.Close()
		return nil, fmt.Errorf("%s: another run writes this folder (%s): wait until it has ended, or choose another --out", dir, holder(who))
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: the file system has no locks (%w): choose an --out where flock works", path, err)
	}
	l := &lock{f}
	host, _ := os.Hostname()
	if err := l.write(fmt.Sprintf("pid %d on %s\n", os.Getpid(), host)); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return l, nil
}

// holder is what a lock says of who holds it, which may be being written.
func holder(data []byte) string {
	if s := strings.TrimSpace(string(data)); s != "" {
		return s
	}
	return "it has just begun"
}

func (l *lock) write(s string) error {
	if err := l.f.Truncate(0); err != nil {
		return err
	}
	_, err := l.f.WriteAt([]byte(s), 0)
	return err
}

// release lets others in. The file stays, empty: removing it would leave two
// runs with a lock on two files of the same name.
func (l *lock) release() {
	l.f.Truncate(0)
	l.f.Close()
}
