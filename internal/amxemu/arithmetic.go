//go:build linux && amd64

package main

// The sums of products, by the CPU's own fused multiply-add of AVX-512 with MXCSR as
// the manual says of both instructions: each step rounds to nearest even, takes
// denormal operands for 0, gives 0 for a denormal result, seen after rounding, and
// raises nothing. Of several NaN operands the first counts, in the order factor,
// factor, sum.

// addPairs is VDPBF16PS of 16 float32 and as many pairs of bfloat16: to each of c
// the product of the pairs' second halves is added, then that of their first ones.
//
//go:noescape
func addPairs(c, a, b *line)

// product is TDPBF16PS: c (rows x columns float32, a bit for each column) += a (rows
// x pairs of bfloat16) times b (pairs x columns). For each element two sums start from
// 0, of the pairs' first and of their second halves, in ascending order; then the
// second sum is added to the first and the result to c. On Xeons the order is seen
// to be this one (compute/cpu's TestHalfProducts, normal numbers); the rest is the
// manual's word, which leaves open which of several NaN operands counts.
//
//go:noescape
func product(c, a, b *[tileRows]line, rows, pairs int, columns uint64)

// cpuid is the CPU's own.
func cpuid(leaf, sub uint32) (a, b, c, d uint32)
