// Package instructions holds what the CPU's instructions of AMX and AVX512-BF16, or
// amxemu in their place, are tested with. Its tests need one or the other:
//
//	go test -exec "$PWD/bin/test/amxemu" ./internal/amxemu/instructions
package instructions

// state is what call gives to a piece of code and takes from it.
type state struct {
	z       [32][64]byte
	k       [8]uint64
	general [13]uint64 // AX, CX, DX, BX, SI, DI, R8 to R13 and R15
	flags   uint64
	mxcsr   uint64
}

// call runs the code, which ends in RET and leaves SP, BP and R14 alone, with all
// registers from s, and stores them there.
//
//go:noescape
func call(code *byte, s *state)

// ownConversion is code for call: VCVTNEPS2BF16 Z0, Y1.
func ownConversion() *byte

// ownConversions is code for call: VCVTNEPS2BF16 from and to several registers.
func ownConversions() *byte

// unused stores Z31 behind VCVTNEPS2BF16.BCST (x), Y31.
//
//go:noescape
func unused(x *float32, z *[64]byte)
