//go:build linux && amd64

package main

import (
	"encoding/binary"
	"math/bits"
)

// decodeGeneral reads ADDQ of a register or a number to a register, DECQ of a
// register, JNZ and PREFETCH.
//
//	REX: 0100 W R X B | opcode | ModRM | SIB | disp or number
func decodeGeneral(code []byte) (instruction, bool) {
	var rex byte
	length := 0
	if code[0]>>4 == 4 {
		rex, length = code[0], 1
	}
	w, r, x, b := rex>>3&1, rex>>2&1, rex>>1&1, rex&1
	code = code[length:]
	if len(code) < 2 {
		return instruction{}, false
	}
	if code[0] == 0x0f && code[1] == 0x18 {
		if len(code) < 3 || code[2]>>6 == 3 || code[2]>>3&7 > 3 {
			return instruction{}, false
		}
		in := instruction{op: prefetch}
		n, ok := in.address.decode(code[2:], x, b, 1)
		in.length = length + 2 + n
		return in, ok
	}
	if rex == 0 && code[0] == 0x75 {
		return instruction{op: jnz, length: 2, number: int64(int8(code[1]))}, true
	}
	if rex == 0 && code[0] == 0x0f && code[1] == 0x85 && len(code) >= 6 {
		return instruction{op: jnz, length: 6, number: int64(int32(binary.LittleEndian.Uint32(code[2:])))}, true
	}
	if w == 0 || code[1]>>6 != 3 {
		return instruction{}, false
	}
	reg := code[1] >> 3 & 7
	in := instruction{length: length + 2, reg: int(code[1]&7 | b<<3), b: -1}
	numberBytes := 0
	switch opcode := code[0]; {
	case opcode == 0x01:
		in.op, in.b = addq, int(reg|r<<3)
	case opcode == 0xff && reg == 1:
		in.op = decq
	case opcode == 0x83 && reg == 0:
		in.op, numberBytes = addq, 1
	case opcode == 0x81 && reg == 0:
		in.op, numberBytes = addq, 4
	default:
		return in, false
	}
	in.length += numberBytes
	if len(code) < 2+numberBytes {
		return in, false
	}
	switch numberBytes {
	case 1:
		in.number = int64(int8(code[2]))
	case 4:
		in.number = int64(int32(binary.LittleEndian.Uint32(code[2:])))
	}
	return in, true
}

// Where RFLAGS has what ADDQ and DECQ set.
const (
	carry    = 1 << 0
	parity   = 1 << 2
	adjust   = 1 << 4
	zero     = 1 << 6
	sign     = 1 << 7
	overflow = 1 << 11
)

// executeGeneral does what decodeGeneral reads; RIP is behind the instruction.
func (m *machine) executeGeneral(in *instruction) {
	switch in.op {
	case jnz:
		if m.flags&zero == 0 {
			m.general[rip] += uint64(in.number)
		}
		return
	case prefetch:
		return
	}
	x, y := m.general[in.reg], uint64(in.number)
	if in.b >= 0 {
		y = m.general[in.b]
	}
	var z, out, set uint64
	switch in.op {
	case addq:
		z, out = bits.Add64(x, y, 0)
		set = (x ^ z) & (y ^ z) >> 63 * overflow
	case decq: // it leaves the carry
		y = 1
		z, out = x-1, m.flags&carry
		set = (x ^ y) & (x ^ z) >> 63 * overflow
	}
	set |= out*carry | (x^y^z)&adjust | z>>63*sign
	if z == 0 {
		set |= zero
	}
	if bits.OnesCount8(uint8(z))%2 == 0 {
		set |= parity
	}
	m.general[in.reg] = z
	m.flags = m.flags&^(carry|parity|adjust|zero|sign|overflow) | set
}
