// Package cpu is the compute.Device of a CPU: portable Go, which is the
// specification, and assembly for AVX2 and AVX-512 that replaces its inner loops.
//
// # One mathematics, two precisions
//
// Every operation is written once, over float32 or float64, in terms of a table
// of inner loops (kernels). The float32 instance is the device; the float64
// instance exists for the tests, which compare every gradient with finite
// differences. An instruction set is another table.
//
// # Products
//
// C = A B with A in place (two strides, so it may be a transpose) and B packed
// on the fly into panels as wide as the micro-kernel. An element of C is summed
// over k in ascending order by one accumulator, whatever the blocking; so a row's
// result depends neither on the rows beside it nor on the number of threads.
// In BF16 both operands are rounded to bfloat16 (nearest even). The kernels of an
// instruction set read panels of bfloat16, of weights as they were loaded, and
// multiply with VDPBF16PS or AMX, or widen in registers and multiply in float32;
// portable Go packs a widened copy for its float32 kernel.
//
// # Determinism
//
// A task owns the elements that it writes and the cuts between partial sums
// depend on sizes only. Two instruction sets differ in the last bits, because
// the portable code never fuses a multiplication with an addition.
package cpu

//go:generate go run ./gen
