package pipeline

import "syscall"

// endsWithUs makes a child stop when this process ends, even by kill -9.
func endsWithUs() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} }
