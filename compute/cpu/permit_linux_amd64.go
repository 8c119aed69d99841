package cpu

import "syscall"

// permitTiles asks the kernel for permission to use tile data, once for the
// process (Documentation/arch/x86/xstate.rst: arch_prctl, feature 18).
func permitTiles() bool {
	const archReqXcompPerm, xtileData = 0x1023, 18
	_, _, errno := syscall.RawSyscall(syscall.SYS_ARCH_PRCTL, archReqXcompPerm, xtileData, 0)
	return errno == 0
}
