package cpu

import (
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// guarded is memory between two pages that nobody may touch.
type guarded struct{ mem []byte }

func newGuarded(t *testing.T, bytes int) *guarded {
	page := unix.Getpagesize()
	size := (bytes + page - 1) / page * page
	m, err := unix.Mmap(-1, 0, size+2*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Munmap(m) })
	for _, edge := range [][]byte{m[:page], m[page+size:]} {
		if err := unix.Mprotect(edge, unix.PROT_NONE); err != nil {
			t.Fatal(err)
		}
	}
	return &guarded{m[page : page+size : page+size]}
}

// last is n elements that end where the forbidden page starts; first, n that
// start behind one.
func last[T any](g *guarded, n int) []T {
	size := int(unsafe.Sizeof(*new(T)))
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(g.mem[len(g.mem)-n*size:]))), n)
}

func first[T any](g *guarded, n int) []T {
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(g.mem))), n)
}
