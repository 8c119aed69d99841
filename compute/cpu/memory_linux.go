package cpu

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// hugePage is the size of a huge page on amd64 and of the common kernel on arm64.
const hugePage = 2 << 20

// advise asks for huge pages: rows of a matrix lie pages apart, so that a tile
// touches more pages than the processor's translation cache holds, and a small
// page takes as long to be given as a large one. The pages at the ends of an
// allocation are shared with its neighbours on Go's heap, whose matrices want the
// same; small allocations are left alone. What the kernel answers does not matter.
func advise(p unsafe.Pointer, bytes uintptr) {
	if bytes < hugePage/8 {
		return
	}
	lo := uintptr(p) &^ (hugePage - 1)
	hi := (uintptr(p) + bytes + hugePage - 1) &^ (hugePage - 1)
	_, _, _ = unix.Syscall(unix.SYS_MADVISE, lo, hi-lo, unix.MADV_HUGEPAGE)
}
