package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"eaft/internal/cli"
)

// lock takes the file path for this process and the stages that hold it open
// (Runner.Hold), alone or with others that share it. The system gives it back
// when the last of them ends, however that comes about. While somebody else has
// it, wait says whether to wait; a holder that is dead is waited for in any
// case: its stages are about to stop.
func lock(ctx context.Context, path string, shared, wait bool, what string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return nil, cli.Usagef("%w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, cli.Usagef("%w", err)
	}
	how := syscall.LOCK_EX
	if shared {
		how = syscall.LOCK_SH
	}
	until := time.Now().Add(time.Minute)
	for try := 0; ; try++ {
		err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			f.Close()
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		data, _ := io.ReadAll(io.NewSectionReader(f, 0, 1<<10))
		holder := parseOwner(strings.TrimSpace(string(data)))
		// The first try may have met a status that was looking.
		if !wait && try > 0 && (!holder.dead() || time.Now().After(until)) {
			f.Close()
			return nil, cli.Usagef("%s: %s%s; wait for it with --wait, or stop it", path, what, holder.name())
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	if shared {
		return f, nil
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = f.WriteAt([]byte(self().String()+"\n"), 0)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

// holder is who has the lock at this moment; nil: nobody.
func holder(path string) *owner {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	if syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) == nil {
		return nil
	}
	data, _ := io.ReadAll(io.LimitReader(f, 1<<10))
	o := parseOwner(strings.TrimSpace(string(data)))
	return &o
}

// owner is a process somewhere.
type owner struct {
	Host  string `json:"host"`
	Boot  string `json:"boot"`  // of the machine and the namespace of its processes
	PID   int    `json:"pid"`   // there
	Start string `json:"start"` // when that process began, in the system's own measure
}

func (o owner) String() string { return fmt.Sprintf("%s %s %d %s", o.Host, o.Boot, o.PID, o.Start) }

func (o owner) name() string {
	if o.PID == 0 {
		return ""
	}
	return fmt.Sprintf(" (process %d on %s)", o.PID, o.Host)
}

func parseOwner(s string) (o owner) {
	fmt.Sscanf(s, "%s %s %d %s", &o.Host, &o.Boot, &o.PID, &o.Start)
	return o
}

func self() owner {
	host, err := os.Hostname()
	if err != nil || strings.ContainsAny(host, " \n") || host == "" {
		host = "unknown"
	}
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	space, _ := os.Readlink("/proc/self/ns/pid")
	id := strings.TrimSpace(string(boot)) + "/" + space
	return owner{host, strings.ReplaceAll(id, " ", ""), os.Getpid(), started(os.Getpid())}
}

// started is field 22 of /proc/PID/stat, "-" where there is none.
func started(pid int) string {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "-"
	}
	// The name before it, in parentheses, may hold anything.
	s := string(data)
	fields := strings.Fields(s[strings.LastIndexByte(s, ')')+1:])
	if len(fields) < 20 {
		return "-"
	}
	return fields[19]
}

// dead reports that the process is of this machine and has ended. Of another
// machine's process nothing is known.
func (o owner) dead() bool {
	me := self()
	if o.PID == 0 || o.Host != me.Host || o.Boot != me.Boot {
		return false
	}
	if errors.Is(syscall.Kill(o.PID, 0), syscall.ESRCH) {
		return true
	}
	now := started(o.PID)
	return o.Start != "-" && now != "-" && now != o.Start
}
