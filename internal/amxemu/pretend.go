//go:build linux && amd64

package main

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// cpuidCode is Go's cpuid, in internal/cpu and golang.org/x/sys/cpu alike, with
// its arguments and results on the stack. At its last byte, RET, they are complete.
var cpuidCode = []byte{
	0x8b, 0x44, 0x24, 0x08, // MOVL eaxArg+8(SP), AX
	0x8b, 0x4c, 0x24, 0x0c, // MOVL ecxArg+12(SP), CX
	0x0f, 0xa2, // CPUID
	0x89, 0x44, 0x24, 0x10, // MOVL AX, eax+16(SP)
	0x89, 0x5c, 0x24, 0x14, // MOVL BX, ebx+20(SP)
	0x89, 0x4c, 0x24, 0x18, // MOVL CX, ecx+24(SP)
	0x89, 0x54, 0x24, 0x1c, // MOVL DX, edx+28(SP)
	0xc3, // RET
}

const breakpoint = 0xcc // INT3

// segment is a piece of a program's code.
type segment struct {
	address uint64
	bytes   []byte
}

// programCode reads that of the program that a process has just become. There is
// none of one that may lie at any address, as Go's do not.
func programCode(program *elf.File) ([]segment, error) {
	var code []segment
	for _, p := range program.Progs {
		if program.Type != elf.ET_EXEC || p.Type != elf.PT_LOAD || p.Flags&elf.PF_X == 0 {
			continue
		}
		s := segment{p.Vaddr, make([]byte, p.Filesz)}
		if _, err := p.ReadAt(s.bytes, 0); err != nil {
			return nil, err
		}
		code = append(code, s)
	}
	return code, nil
}

// prepare makes the program that a process has just become one that stops where it
// returns from cpuid, and says where that is.
func prepare(pid int) (map[uint64]bool, error) {
	program, err := elf.Open(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		return nil, nil // a script's interpreter may be anything
	}
	defer program.Close()
	code, err := programCode(program)
	if err != nil {
		return nil, err
	}
	sites := map[uint64]bool{}
	for _, s := range code {
		for at := 0; ; at++ {
			i := bytes.Index(s.bytes[at:], cpuidCode)
			if i < 0 {
				break
			}
			at += i
			a := s.address + uint64(at+len(cpuidCode)-1)
			if _, err := unix.PtracePokeText(pid, uintptr(a), []byte{breakpoint}); err != nil {
				return nil, fmt.Errorf("process %d: breakpoint at %#x: %w", pid, a, err)
			}
			sites[a] = true
		}
	}
	if len(sites) == 0 {
		return sites, nil
	}
	return sites, roundInPlace(pid, program, code)
}

// returnFromCPUID adds AMX-TILE, AMX-BF16 and AVX512-BF16 to what CPUID said and
// does the RET that the breakpoint took the place of.
func returnFromCPUID(r *unix.PtraceRegs, m *memory) error {
	const amxBF16, amxTile, avx512BF16 = 1 << 22, 1 << 24, 1 << 5
	var frame [32]byte // return address, 2 arguments, 4 results
	if err := m.read(r.Rsp, frame[:]); err != nil {
		return err
	}
	word := func(i int) uint32 { return binary.LittleEndian.Uint32(frame[i:]) }
	put := func(i int, x uint32) { binary.LittleEndian.PutUint32(frame[i:], x) }
	eax, edx := word(16), word(28)
	switch leaf, sub := word(8), word(12); {
	case leaf == 7 && sub == 0:
		put(16, max(eax, 1)) // the last subleaf
		put(28, edx|amxBF16|amxTile)
	case leaf == 7 && sub == 1:
		put(16, eax|avx512BF16)
	}
	if err := m.write(r.Rsp, 0, frame[:]); err != nil {
		return err
	}
	r.Rip = binary.LittleEndian.Uint64(frame[:])
	r.Rsp += 8
	return nil
}

// arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) asks for the use of
// tiles (Documentation/arch/x86/xstate.rst).
const (
	archReqXcompPerm = 0x1023
	xtileData        = 18
)

// askPermission does so for this process; a kernel may be too old for AMX.
func askPermission() unix.Errno {
	_, _, errno := unix.RawSyscall(unix.SYS_ARCH_PRCTL, archReqXcompPerm, xtileData, 0)
	return errno
}

// reportPermission makes the kernel stop this thread, and what it becomes and
// starts, for the tracer when it asks for tiles; other calls pass untouched.
func reportPermission() error {
	const ( // struct seccomp_data
		nr, arch, arg0 = 0, 4, 16
		load           = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		jumpIfEqual    = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		give           = unix.BPF_RET | unix.BPF_K
		allow          = 0x7fff0000
	)
	filter := []unix.SockFilter{
		{Code: load, K: arch},
		{Code: jumpIfEqual, K: unix.AUDIT_ARCH_X86_64, Jf: 5},
		{Code: load, K: nr},
		{Code: jumpIfEqual, K: unix.SYS_ARCH_PRCTL, Jf: 3},
		{Code: load, K: arg0},
		{Code: jumpIfEqual, K: archReqXcompPerm, Jf: 1},
		{Code: give, K: unix.SECCOMP_RET_TRACE},
		{Code: give, K: allow},
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	// A filter needs it of who has no privileges; a program such as sudo gains none then.
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	return unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&prog)), 0, 0)
}

// permitted answers arch_prctl with success and says whether tiles were asked for.
func permitted(r *unix.PtraceRegs) bool {
	if r.Orig_rax != unix.SYS_ARCH_PRCTL || uint32(r.Rdi) != archReqXcompPerm || r.Rsi != xtileData {
		return false
	}
	r.Orig_rax = ^uint64(0) // no system call
	r.Rax = 0
	return true
}
