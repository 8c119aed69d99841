//go:build linux && amd64

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// process is what the threads of one address space share.
type process struct {
	permitted bool            // it asked the kernel for tiles
	sites     map[uint64]bool // breakpoints
}

// thread has its own tiles, as on a CPU whose kernel saves them. What the
// kernel does more on a signal, the tiles' absence in its handler, is not
// emulated: a handler sees the tiles of what it interrupted.
type thread struct {
	process *process
	tiles   tiles
}

type tracer struct {
	main      int
	processes map[int]*process
	threads   map[int]*thread
	machine   *machine
}

func newTracer(pid int) *tracer {
	return &tracer{main: pid, processes: map[int]*process{}, threads: map[int]*thread{}, machine: newMachine()}
}

// run answers every stop until the first process has ended. A child of it that
// outlives it ends with amxemu.
func (t *tracer) run() (unix.WaitStatus, error) {
	for {
		var status unix.WaitStatus
		tid, err := unix.Wait4(-1, &status, unix.WALL, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return 0, fmt.Errorf("wait: %w", err)
		case !status.Stopped():
			delete(t.threads, tid)
			delete(t.processes, tid)
			if tid == t.main {
				return status, nil
			}
			continue
		}
		// A thread that was killed while it stood here is gone.
		if err := t.stopped(tid, status); err != nil && !errors.Is(err, unix.ESRCH) {
			return 0, err
		}
	}
}

func (t *tracer) stopped(tid int, status unix.WaitStatus) error {
	const groupStop = unix.PTRACE_EVENT_STOP
	sig := status.StopSignal()
	th, err := t.thread(tid)
	if err != nil {
		return err
	}
	switch event := int(status) >> 16; {
	case event == groupStop && sig != unix.SIGTRAP: // SIGSTOP and its like: until SIGCONT
		_, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_LISTEN, uintptr(tid), 0, 0, 0, 0)
		return asError(errno)
	case event == unix.PTRACE_EVENT_EXEC:
		err = t.became(tid, th)
	case event == unix.PTRACE_EVENT_SECCOMP:
		err = onRegisters(tid, func(r *unix.PtraceRegs) error {
			th.process.permitted = permitted(r) || th.process.permitted
			return nil
		})
	case event != 0: // a new thread or process, and that one's first stop
	case sig == unix.SIGILL:
		return t.illegal(tid, th)
	case sig == unix.SIGTRAP && len(th.process.sites) > 0:
		err = onRegisters(tid, func(r *unix.PtraceRegs) error {
			if !th.process.sites[r.Rip-1] {
				return nil
			}
			sig = 0
			t.machine.memory.of(tid)
			return returnFromCPUID(r, &t.machine.memory)
		})
		if err == nil {
			return unix.PtraceCont(tid, int(sig))
		}
	default:
		return unix.PtraceCont(tid, int(sig))
	}
	if err != nil {
		return err
	}
	return unix.PtraceCont(tid, 0)
}

func asError(errno unix.Errno) error {
	if errno != 0 {
		return errno
	}
	return nil
}

func onRegisters(tid int, f func(*unix.PtraceRegs) error) error {
	var r unix.PtraceRegs
	if err := unix.PtraceGetRegs(tid, &r); err != nil {
		return err
	}
	if err := f(&r); err != nil {
		return err
	}
	return unix.PtraceSetRegs(tid, &r)
}

// thread is the one that a stop tells of, perhaps for the first time.
func (t *tracer) thread(tid int) (*thread, error) {
	if th := t.threads[tid]; th != nil {
		return th, nil
	}
	pid, err := processOf(tid)
	if err != nil {
		return nil, err
	}
	p := t.processes[pid]
	if p == nil {
		p = &process{}
		t.processes[pid] = p
	}
	th := &thread{process: p}
	t.threads[tid] = th
	return th, nil
}

func processOf(tid int) (int, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", tid))
	if err != nil {
		return 0, unix.ESRCH
	}
	_, rest, _ := strings.Cut(string(status), "\nTgid:")
	line, _, _ := strings.Cut(rest, "\n")
	return strconv.Atoi(strings.TrimSpace(line))
}

// became starts a process over that has become another program, and forgets the
// thread that did it, which has the first one's id now.
func (t *tracer) became(pid int, th *thread) error {
	former, err := unix.PtraceGetEventMsg(pid)
	if err != nil {
		return err
	}
	if int(former) != pid {
		delete(t.threads, int(former))
	}
	sites, err := prepare(pid)
	*th = thread{process: &process{sites: sites}}
	t.processes[pid] = th.process
	return err
}

// illegal emulates the instructions from where the thread stands on, or hands SIGILL
// on if the first is not known.
func (t *tracer) illegal(tid int, th *thread) error {
	done, err := t.machine.run(tid, th)
	if done {
		return unix.PtraceCont(tid, 0)
	}
	var f *fault
	if errors.As(err, &f) {
		if err := setFault(tid, f); err != nil {
			return err
		}
		return unix.PtraceCont(tid, int(unix.SIGSEGV))
	}
	if err != nil && !errors.Is(err, errUndefined) {
		return err
	}
	return unix.PtraceCont(tid, int(unix.SIGILL))
}

// setFault makes the signal that the thread is to get one of a wrong address.
func setFault(tid int, f *fault) error {
	var info [128]byte // siginfo_t
	binary.LittleEndian.PutUint32(info[0:], uint32(unix.SIGSEGV))
	binary.LittleEndian.PutUint32(info[8:], uint32(f.code))
	binary.LittleEndian.PutUint64(info[16:], f.address)
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SETSIGINFO, uintptr(tid), 0, uintptr(unsafe.Pointer(&info)), 0, 0)
	return asError(errno)
}
