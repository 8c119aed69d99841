package cpu

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// hugePage is the size of a huge page on amd64 and of the common kernel on arm64.
const hugePage = 2 << 20

// advise asks for huge pages where a large allocation covers them: rows of a
// matrix lie pages apart, so that a tile touches more pages than the processor's
// translation cache holds. What the kernel answers does not matter.
func advise(p unsafe.Pointer, bytes uintptr) {
	lo := (uintptr(p) + hugePage - 1) &^ (hugePage - 1)
	hi := (uintptr(p) + bytes) &^ (hugePage - 1)
	if lo < hi {
		_ = unix.Madvise(unsafe.Slice((*byte)(unsafe.Add(p, lo-uintptr(p))), hi-lo), unix.MADV_HUGEPAGE)
	}
}
