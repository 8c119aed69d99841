//go:build linux && amd64

package main

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/cpu"
	"golang.org/x/sys/unix"
)

// VCVTNEPS2BF16 ends most of a program's calls of kernels, and a stop each time is
// nearly all that bfloat16 would cost. So where it lies between whole registers, it
// gives way to a call of code that does the same with AVX-512's instructions, before
// the program begins. The code goes to the page of the program's headers, which Go's
// linker puts before its code and which nothing reads any more.

// rounding turns 16 float32 in Z16 to bfloat16 in Y16 and changes nothing else. Above
// its own return address lie 160 bytes of stack, whose first 64 are in use.
var rounding = []byte{
	0x62, 0xe1, 0x7c, 0x48, 0x11, 0x8c, 0x24, 0x48, 0, 0, 0, // VMOVUPS Z17, 72(SP)
	0xc4, 0xe1, 0xf8, 0x91, 0x8c, 0x24, 0x88, 0, 0, 0, // KMOVQ K1, 136(SP)
	0x62, 0xb1, 0x75, 0x40, 0x72, 0xd0, 0x10, // VPSRLD $16, Z16, Z17
	0x62, 0xe1, 0x75, 0x50, 0xdb, 0x0d, 0x55, 0, 0, 0, // VPANDD.BCST 1, Z17, Z17
	0x62, 0xa1, 0x75, 0x40, 0xfe, 0xc8, // VPADDD Z16, Z17, Z17
	0x62, 0xe1, 0x75, 0x50, 0xfe, 0x0d, 0x49, 0, 0, 0, // VPADDD.BCST 0x7fff, Z17, Z17
	0x62, 0xb3, 0x7d, 0x48, 0x66, 0xc8, 0x81, // VFPCLASSPSZ $0x81, Z16, K1: NaN
	0x62, 0xe1, 0x7d, 0x51, 0xeb, 0x0d, 0x3c, 0, 0, 0, // VPORD.BCST 0x400000, Z16, K1, Z17
	0x62, 0xb3, 0x7d, 0x48, 0x66, 0xc8, 0x26, // VFPCLASSPSZ $0x26, Z16, K1: 0 and denormal
	0x62, 0xe1, 0x7d, 0x51, 0xdb, 0x0d, 0x2f, 0, 0, 0, // VPANDD.BCST 0x80000000, Z16, K1, Z17
	0x62, 0xb1, 0x75, 0x40, 0x72, 0xd1, 0x10, // VPSRLD $16, Z17, Z17
	0x62, 0xa2, 0x7e, 0x48, 0x33, 0xc8, // VPMOVDW Z17, Y16
	0xc4, 0xe1, 0xf8, 0x90, 0x8c, 0x24, 0x88, 0, 0, 0, // KMOVQ 136(SP), K1
	0x62, 0xe1, 0x7c, 0x48, 0x10, 0x8c, 0x24, 0x48, 0, 0, 0, // VMOVUPS 72(SP), Z17
	0xc3, // RET
	1, 0, 0, 0, 0xff, 0x7f, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0x80,
}

// roundingOf is rounding from any register to another one than Z16; at and common are
// where it and rounding lie.
func roundingOf(dst, src int, at, common uint64) []byte {
	bit := func(v, i int) byte { return byte(^v >> i & 1) }
	code := []byte{
		0x48, 0x8d, 0xa4, 0x24, 0x60, 0xff, 0xff, 0xff, // LEAQ -160(SP), SP
		0x62, 0xe1, 0x7c, 0x48, 0x11, 0x04, 0x24, // VMOVUPS Z16, (SP)
		0x62, 0x81 | bit(src, 4)<<6 | bit(src, 3)<<5, 0x7c, 0x48, 0x10, 0xc0 | byte(src&7), // VMOVUPS src, Z16
		0xe8, // CALL
	}
	code = binary.LittleEndian.AppendUint32(code, uint32(common-(at+uint64(len(code))+4)))
	return append(code,
		0x62, 0x21|bit(dst, 3)<<7|bit(dst, 4)<<4, 0x7c, 0x28, 0x10, 0xc0|byte(dst&7)<<3, // VMOVUPS Y16, dst
		0x62, 0xe1, 0x7c, 0x48, 0x10, 0x04, 0x24, // VMOVUPS (SP), Z16
		0x48, 0x8d, 0xa4, 0x24, 0xa0, 0, 0, 0, // LEAQ 160(SP), SP
		0xc3) // RET
}

// roundInPlace does so in the program that a process has just become: in Go's, and
// where the CPU has what rounding uses. A place that is left out ends in SIGILL as the
// other instructions do.
func roundInPlace(pid int, program *elf.File, code []segment) error {
	if cpu.X86.HasAVX512BF16 || !cpu.X86.HasAVX512BW || !cpu.X86.HasAVX512DQ || len(code) == 0 {
		return nil
	}
	const header, programHeader = 64, 56
	free := code[0].address + header + programHeader*uint64(len(program.Progs))
	end := code[0].address + pageBytes
	for _, s := range program.Sections {
		if s.Addr >= code[0].address {
			end = min(end, s.Addr)
		}
	}
	patch := func(at uint64, b []byte) error {
		if _, err := unix.PtracePokeText(pid, uintptr(at), b); err != nil {
			return fmt.Errorf("process %d: code at %#x: %w", pid, at, err)
		}
		return nil
	}
	common := free
	routines := map[[2]int]uint64{} // by dst and src
	for _, s := range code {
		for at := 0; ; at++ {
			i := bytes.Index(s.bytes[at:], []byte{0x7e, 0x48, 0x72}) // behind two bytes of EVEX
			if i < 0 {
				break
			}
			at += i
			in, ok := decode(s.bytes[max(at-2, 0):min(at+4, len(s.bytes))])
			if !ok || in.op != vcvtneps2bf16 || in.vector != (vector{bytes: 64}) || in.reg == 16 {
				continue
			}
			if len(routines) == 0 {
				if free+uint64(len(rounding)) > end {
					return nil
				}
				if err := patch(free, rounding); err != nil {
					return err
				}
				free += uint64(len(rounding))
			}
			to, made := routines[[2]int{in.reg, in.b}]
			if !made {
				routine := roundingOf(in.reg, in.b, free, common)
				if free+uint64(len(routine)) > end {
					continue
				}
				if err := patch(free, routine); err != nil {
					return err
				}
				to = free
				routines[[2]int{in.reg, in.b}] = to
				free += uint64(len(routine))
			}
			from := s.address + uint64(at-2)
			call := binary.LittleEndian.AppendUint32([]byte{0xe8}, uint32(to-(from+5)))
			if err := patch(from, append(call, 0x90)); err != nil { // CALL, NOP
				return err
			}
		}
	}
	return nil
}
