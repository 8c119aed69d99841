//go:build linux && amd64

package main

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/cpu"
)

// Of several NaN the first one counts in the manual's order, which is made quiet: the
// first halves of either factor, the second ones, the sum.
func TestPairsNaN(t *testing.T) {
	if !cpu.X86.HasAVX512F {
		t.Skip("this CPU has no AVX-512")
	}
	for set := range 32 {
		var c, a, b line
		put := binary.LittleEndian.PutUint32
		operands := [5]uint32{0x3f80, 0x4000, 0x3f80, 0x4000, 0x3f800000} // a and b low, high; c: 2 + 2 + 1
		want := uint32(0x40a00000)
		for i := 4; i >= 0; i-- {
			if set>>i&1 == 0 {
				continue
			}
			operands[i] = 0xff81 + uint32(i) // a signalling one
			want = (operands[i] | 0x40) << 16
			if i == 4 {
				operands[i] = 0x7f800123
				want = 0x7fc00123
			}
		}
		put(a[60:], operands[2]<<16|operands[0])
		put(b[60:], operands[3]<<16|operands[1])
		put(c[60:], operands[4])
		addPairs(&c, &a, &b)
		if got := binary.LittleEndian.Uint32(c[60:]); got != want {
			t.Errorf("NaN among the operands %05b: %08x, want %08x", set, got, want)
		}
	}
}
