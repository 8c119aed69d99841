package cpu

import "unsafe"

// allocate is n zeros.
func allocate[T any](n int) []T {
	x := make([]T, n)
	advise(unsafe.Pointer(unsafe.SliceData(x)), uintptr(n)*unsafe.Sizeof(*new(T)))
	return x
}
