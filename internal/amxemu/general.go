//go:build linux && amd64

package main

import (
	"encoding/binary"
	"math/bits"
)

// decodeGeneral reads, of general registers, ADDQ and MOVQ of a register or a number,
// SUBQ and TESTQ of a register, CMPQ of a number, DECQ, SHLQ and SHRQ by 2 and more;
// JMP, JNZ, JLE and PREFETCH; and MOVQ between a general register and an X register.
//
//	REX: 0100 W R X B | opcode | ModRM | SIB | disp or number
func decodeGeneral(code []byte) (instruction, bool) {
	length, prefixed := 0, code[0] == 0x66
	if prefixed {
		length = 1
	}
	var rex byte
	if len(code) > length && code[length]>>4 == 4 {
		rex, length = code[length], length+1
	}
	w, r, x, b := rex>>3&1, rex>>2&1, rex>>1&1, rex&1
	code = code[length:]
	if len(code) < 2 {
		return instruction{}, false
	}
	opcode, next := code[0], code[1]
	switch {
	case prefixed:
		if len(code) < 3 || w == 0 || opcode != 0x0f || code[2]>>6 != 3 {
			return instruction{}, false
		}
		vector, general := int(code[2]>>3&7|r<<3), int(code[2]&7|b<<3)
		switch next {
		case 0x6e:
			return instruction{op: movqToX, length: length + 3, reg: vector, a: general}, true
		case 0x7e:
			return instruction{op: movqFromX, length: length + 3, reg: general, a: vector}, true
		}
		return instruction{}, false
	case opcode == 0x0f && next == 0x18:
		if len(code) < 3 || code[2]>>6 == 3 || code[2]>>3&7 > 3 {
			return instruction{}, false
		}
		in := instruction{op: prefetch}
		n, ok := in.address.decode(code[2:], x, b, 1)
		in.length = length + 2 + n
		return in, ok
	case rex == 0 && opcode == 0x75:
		return instruction{op: jnz, length: 2, number: int64(int8(next))}, true
	case rex == 0 && opcode == 0xeb:
		return instruction{op: jmp, length: 2, number: int64(int8(next))}, true
	case rex == 0 && opcode == 0x0f && next == 0x85 && len(code) >= 6:
		return instruction{op: jnz, length: 6, number: number(code[2:6])}, true
	case rex == 0 && opcode == 0x0f && next == 0x8e && len(code) >= 6:
		return instruction{op: jle, length: 6, number: number(code[2:6])}, true
	case w == 0 || next>>6 != 3:
		return instruction{}, false
	}
	reg := next >> 3 & 7
	in := instruction{reg: int(next&7 | b<<3), b: int(reg | r<<3)}
	numberBytes := 0
	switch opcode {
	case 0x01:
		in.op = addq
	case 0x29:
		in.op = subq
	case 0x89:
		in.op = movq
	case 0x85:
		in.op = testq
	default:
		form, known := numbered[[2]byte{opcode, reg}]
		if !known {
			return in, false
		}
		in.op, in.b, numberBytes = form.op, -1, form.bytes
	}
	in.length = length + 2 + numberBytes
	if len(code) < 2+numberBytes {
		return in, false
	}
	in.number = number(code[2 : 2+numberBytes])
	if in.op == shlq || in.op == shrq {
		return in, in.number > 1 && in.number < 64
	}
	return in, true
}

// numbered are the operations on a register and a number of some bytes, by opcode and
// ModRM's reg.
var numbered = map[[2]byte]struct {
	op    operation
	bytes int
}{
	{0x83, 0}: {addq, 1},
	{0x81, 0}: {addq, 4},
	{0x83, 7}: {cmpq, 1},
	{0xc7, 0}: {movq, 4},
	{0xc1, 4}: {shlq, 1},
	{0xc1, 5}: {shrq, 1},
	{0xff, 1}: {decq, 0},
}

// number is that of 0, 1 or 4 bytes.
func number(code []byte) int64 {
	switch len(code) {
	case 1:
		return int64(int8(code[0]))
	case 4:
		return int64(int32(binary.LittleEndian.Uint32(code)))
	}
	return 0
}

// What RFLAGS has of a result.
const (
	carry    = 1 << 0
	parity   = 1 << 2
	adjust   = 1 << 4
	zero     = 1 << 6
	sign     = 1 << 7
	overflow = 1 << 11
)

// executeGeneral does what decodeGeneral reads, but for X registers; RIP is behind the
// instruction. Flags that the manual calls undefined stay.
func (m *machine) executeGeneral(in *instruction) {
	x, y := m.general[in.reg], uint64(in.number)
	if in.b >= 0 {
		y = m.general[in.b]
	}
	switch in.op {
	case jmp:
		m.general[rip] += uint64(in.number)
	case jnz:
		if m.flags&zero == 0 {
			m.general[rip] += uint64(in.number)
		}
	case jle:
		if m.flags&zero != 0 || (m.flags&sign != 0) != (m.flags&overflow != 0) {
			m.general[rip] += uint64(in.number)
		}
	case movq:
		m.general[in.reg] = y
	case testq:
		m.setFlags(x&y, carry|overflow, 0)
	case shlq:
		m.general[in.reg] = x << y
		m.setFlags(x<<y, carry, x>>(64-y)&1*carry)
	case shrq:
		m.general[in.reg] = x >> y
		m.setFlags(x>>y, carry, x>>(y-1)&1*carry)
	case addq:
		z, out := bits.Add64(x, y, 0)
		m.general[in.reg] = z
		m.setFlags(z, carry|adjust|overflow, out*carry|(x^y^z)&adjust|(x^z)&(y^z)>>63*overflow)
	case subq, cmpq:
		z, out := bits.Sub64(x, y, 0)
		if in.op == subq {
			m.general[in.reg] = z
		}
		m.setFlags(z, carry|adjust|overflow, out*carry|(x^y^z)&adjust|(x^y)&(x^z)>>63*overflow)
	case decq: // it leaves the carry
		z := x - 1
		m.general[in.reg] = z
		m.setFlags(z, adjust|overflow, (x^1^z)&adjust|x&^z>>63*overflow)
	}
}

// setFlags sets those that a result decides by itself, and others as given.
func (m *machine) setFlags(result, others, set uint64) {
	set |= result >> 63 * sign
	if result == 0 {
		set |= zero
	}
	if bits.OnesCount8(uint8(result))%2 == 0 {
		set |= parity
	}
	m.flags = m.flags&^(others|parity|zero|sign) | set
}
