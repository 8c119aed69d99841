//go:build linux && amd64

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// vectors are a stopped thread's Z and K registers.
type vectors struct {
	known   bool // they are those of the thread
	changed bool
	z       [32]line
	k       [8]uint64
	area    [16 << 10]byte // as XSAVE stores them
	size    int            // of area
}

// Where XSAVE stores what, in its standard format: Intel 64 and IA-32 Architectures
// Software Developer's Manual, volume 1, chapter 13.
const (
	sseBit, avxBit, maskBit, highBit, upperBit = 1, 2, 5, 6, 7 // of XSTATE_BV

	sseAt    = 160 // the low 16 bytes of Z0 to Z15
	headerAt = 512 // XSTATE_BV
)

// Of Z0 to Z15 the next 16 bytes and the upper 32, K0 to K7, and Z16 to Z31.
var avxAt, highAt, maskAt, upperAt = componentAt(avxBit), componentAt(highBit), componentAt(maskBit), componentAt(upperBit)

func componentAt(bit uint32) int {
	_, at, _, _ := cpuid(0xd, bit)
	return int(at)
}

// get reads the registers of a thread.
func (v *vectors) get(tid int) error {
	v.size = len(v.area)
	if err := v.transfer(unix.PTRACE_GETREGSET, tid); err != nil {
		return err
	}
	if v.size < upperAt+16*lineBytes {
		return errors.New("the kernel does not show a thread's AVX-512 registers")
	}
	in := binary.LittleEndian.Uint64(v.area[headerAt:])
	v.z, v.k = [32]line{}, [8]uint64{} // what is not in use is 0
	for i := range 16 {
		z := &v.z[i]
		if in>>sseBit&1 != 0 {
			copy(z[:16], v.area[sseAt+16*i:])
		}
		if in>>avxBit&1 != 0 {
			copy(z[16:32], v.area[avxAt+16*i:])
		}
		if in>>highBit&1 != 0 {
			copy(z[32:], v.area[highAt+32*i:])
		}
		if in>>upperBit&1 != 0 {
			copy(v.z[16+i][:], v.area[upperAt+64*i:])
		}
	}
	for i := range v.k {
		if in>>maskBit&1 != 0 {
			v.k[i] = binary.LittleEndian.Uint64(v.area[maskAt+8*i:])
		}
	}
	v.known, v.changed = true, false
	return nil
}

// set writes the Z registers back; nothing changes the masks.
func (v *vectors) set(tid int) error {
	in := v.area[headerAt:]
	const all = 1<<sseBit | 1<<avxBit | 1<<highBit | 1<<upperBit
	binary.LittleEndian.PutUint64(in, binary.LittleEndian.Uint64(in)|all)
	for i := range 16 {
		z := &v.z[i]
		copy(v.area[sseAt+16*i:], z[:16])
		copy(v.area[avxAt+16*i:], z[16:32])
		copy(v.area[highAt+32*i:], z[32:])
		copy(v.area[upperAt+64*i:], v.z[16+i][:])
	}
	return v.transfer(unix.PTRACE_SETREGSET, tid)
}

func (v *vectors) transfer(request uintptr, tid int) error {
	const ntX86XState = 0x202
	piece := unix.Iovec{Base: &v.area[0]}
	piece.SetLen(v.size)
	if _, _, errno := unix.Syscall6(unix.SYS_PTRACE, request, uintptr(tid), ntX86XState, uintptr(unsafe.Pointer(&piece)), 0, 0); errno != 0 {
		return fmt.Errorf("a thread's vector registers: %w", errno)
	}
	v.size = int(piece.Len)
	return nil
}
