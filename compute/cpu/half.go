package cpu

import "unsafe"

// A cache line, and one row of an AMX tile: 32 bfloat16.
const (
	lineBytes = 64
	lineHalf  = lineBytes / 2
)

// newHalf is n zeros that start on a cache line.
func newHalf(n int) []uint16 {
	buf := make([]uint16, n+lineHalf)
	off := int(-uintptr(unsafe.Pointer(unsafe.SliceData(buf)))) & (lineBytes - 1) / 2
	return buf[off:][:n:n]
}

// halfStride is the distance of rows of k bfloat16: whole cache lines, and not a
// multiple of 8 of them, because the 32 rows that a tile reads at once would
// fall into few sets of the first cache.
func halfStride(k int) int {
	lines := (k + lineHalf - 1) / lineHalf
	if lines%8 == 0 {
		lines++
	}
	return lines * lineHalf
}
