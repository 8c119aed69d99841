//go:build linux && amd64

// Command amxemu runs a program as if the CPU had AMX with bfloat16 and
// AVX512-BF16, so that what is written for them can be tried where they are missing:
//
//	go test -exec "$PWD/bin/test/amxemu" ./compute/cpu
//
// It needs a CPU with AVX-512. The program is traced: each instruction that the CPU
// lacks ends in SIGILL, upon which amxemu does what Intel's manual says
// (instruction.go and evex.go, tiles.go, bf16.go, arithmetic.go), and goes on with what
// comes next while it knows it (machine.go). Go's CPUID and the kernel's permission
// answer as on such a CPU (pretend.go). What the program starts is traced too. It is
// a tool for tests: a stop takes tens of microseconds, an instruction 70 ns.
//
// It ends as the program ends. What the CPU has of the two is the CPU's own; on one
// with AMX the program runs by itself.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"unsafe"

	"golang.org/x/sys/cpu"
	"golang.org/x/sys/unix"
)

// The thread that traces must be the one that asks for everything, and the one
// that becomes the program must be the first of its process.
func init() { runtime.LockOSThread() }

// startTraced, as the first argument, makes amxemu the process that waits to be
// traced and then becomes the program.
const startTraced = "-start-traced"

func main() {
	args := os.Args[1:]
	if len(args) > 1 && args[0] == startTraced {
		fail(become(args[1:]))
	}
	if len(args) == 0 {
		fail(errors.New("usage: amxemu PROGRAM [ARGUMENT...]"))
	}
	path, err := exec.LookPath(args[0])
	if err != nil {
		fail(err)
	}
	if cpu.X86.HasAMXTile && cpu.X86.HasAMXBF16 && askPermission() == 0 {
		fmt.Fprintln(os.Stderr, "amxemu: this CPU has AMX; the program runs on it")
		fail(unix.Exec(path, args, os.Environ()))
	}
	if !cpu.X86.HasAVX512F {
		fail(errors.New("this CPU lacks AVX-512, which every CPU with AMX has and is not emulated"))
	}
	status, err := run(append([]string{path}, args[1:]...))
	if err != nil {
		fail(err)
	}
	if status.Signaled() {
		endBy(status.Signal())
	}
	os.Exit(status.ExitStatus())
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "amxemu:", err)
	os.Exit(2)
}

// become is the child's part: it waits for a byte, which says that it is traced.
func become(args []string) error {
	ready := os.NewFile(3, "ready")
	if _, err := ready.Read(make([]byte, 1)); err != nil {
		return fmt.Errorf("it was not traced: %w", err)
	}
	ready.Close()
	if err := reportPermission(); err != nil {
		return fmt.Errorf("seccomp is not allowed here: %w", err)
	}
	return unix.Exec(args[0], args, os.Environ())
}

// run traces the program until it ends.
func run(args []string) (unix.WaitStatus, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	cmd := exec.Command(self, append([]string{startTraced}, args...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = os.Stdin, os.Stdout, os.Stderr, []*os.File{r}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	pid := cmd.Process.Pid
	if _, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(pid), 0,
		unix.PTRACE_O_EXITKILL|unix.PTRACE_O_TRACECLONE|unix.PTRACE_O_TRACEFORK|unix.PTRACE_O_TRACEVFORK|
			unix.PTRACE_O_TRACEEXEC|unix.PTRACE_O_TRACESECCOMP, 0, 0); errno != 0 {
		cmd.Process.Kill()
		return 0, fmt.Errorf("ptrace is not allowed here: %w", errno)
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGQUIT, unix.SIGHUP, unix.SIGUSR1, unix.SIGUSR2)
	go func() {
		for s := range signals {
			unix.Kill(pid, s.(unix.Signal))
		}
	}()
	if _, err := w.Write([]byte{0}); err != nil {
		return 0, err
	}
	return newTracer(pid).run()
}

// endBy ends this process by the signal that ended the program.
func endBy(s unix.Signal) {
	signal.Reset()
	var defaultAction [4]uint64 // struct sigaction: SIG_DFL, no flags
	unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(s), uintptr(unsafe.Pointer(&defaultAction)), 0, 8, 0, 0)
	unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}) // the program's core is the one to look at
	unix.Tgkill(unix.Getpid(), unix.Gettid(), s)
	os.Exit(128 + int(s))
}
