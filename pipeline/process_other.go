//go:build !linux

package pipeline

import "syscall"

// endsWithUs: without such a signal a child of a killed process works on; the
// lock that it holds keeps others away meanwhile.
func endsWithUs() *syscall.SysProcAttr { return nil }
