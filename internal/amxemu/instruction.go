//go:build linux && amd64

package main

import "encoding/binary"

type operation int

// The instructions of AMX, then those of AVX512-BF16, then others: these are done
// only between the first ones, to save a stop; see machine.run.
const (
	ldtilecfg operation = iota + 1
	sttilecfg
	tilerelease
	tilezero
	tileloadd
	tilestored
	tdpbf16ps

	vdpbf16ps
	vcvtneps2bf16
	vcvtne2ps2bf16

	vmovups // from memory
	vpbroadcastd
	movqToX
	movqFromX
	addq
	subq
	cmpq
	movq
	decq
	testq
	shlq
	shrq
	jmp
	jnz
	jle
	prefetch
)

func (o operation) ofAMX() bool  { return o <= tdpbf16ps }
func (o operation) ofBF16() bool { return vdpbf16ps <= o && o <= vcvtne2ps2bf16 }

// instruction is one that is emulated.
type instruction struct {
	op      operation
	length  int
	reg     int // the tile, vector or general register that it writes, or stores
	a, b    int // those that it reads beside; of general registers b, and -1 for a number
	address operand
	number  int64 // how far a jump goes
	vector  vector
}

// operand is base + index<<scale + disp; -1: no such register. The index of
// TILELOADD and TILESTORED is the distance of their rows.
type operand struct {
	base, index int
	scale       uint
	disp        int64
}

const rip = 16 // as a base register

// decode reads the instruction that code begins with, if it is emulated. What it
// does not know of AMX and AVX512-BF16, the CPU did not either: it stays illegal.
func decode(code []byte) (instruction, bool) {
	switch {
	case len(code) == 0:
		return instruction{}, false
	case code[0] == 0xc4:
		return decodeVEX(code)
	case code[0] == 0x62:
		return decodeEVEX(code)
	}
	return decodeGeneral(code)
}

// decodeVEX reads an instruction of AMX. TILELOADD without an index, tiles above 7 and
// other prefixes before VEX are not known.
//
//	C4 | R X B m m m m m | W v v v v L p p | opcode | ModRM | SIB | disp
func decodeVEX(code []byte) (instruction, bool) {
	if len(code) < 5 {
		return instruction{}, false
	}
	const noW, L128 = 0, 0
	p0, p1, opcode, modrm := code[1], code[2], code[3], code[4]
	r, x, b := ^p0>>7&1, ^p0>>6&1, ^p0>>5&1
	v, pp := int(^p1>>3&15), p1&3
	if p0&31 != map0F38 || p1>>7 != noW || p1>>2&1 != L128 {
		return instruction{}, false
	}
	mod, reg, rm := modrm>>6, int(modrm>>3&7), int(modrm&7)
	in := instruction{length: 5, reg: reg}
	inMemory := mod != 3
	switch {
	case opcode == 0x5c && pp == pF3 && !inMemory && r == 0 && b == 0 && v < 8:
		in.op, in.a, in.b = tdpbf16ps, rm, v
		return in, true
	case v != 0 || r != 0:
		return in, false
	case opcode == 0x49 && pp == pNone && modrm == 0xc0:
		in.op = tilerelease
		return in, true
	case opcode == 0x49 && pp == pF2 && !inMemory && rm == 0:
		in.op = tilezero
		return in, true
	case opcode == 0x49 && pp == pNone && inMemory && reg == 0:
		in.op = ldtilecfg
	case opcode == 0x49 && pp == p66 && inMemory && reg == 0:
		in.op = sttilecfg
	case opcode == 0x4b && (pp == pF2 || pp == p66) && inMemory && rm == 4:
		in.op = tileloadd // and TILELOADDT1, which differs in the caches only
	case opcode == 0x4b && pp == pF3 && inMemory && rm == 4:
		in.op = tilestored
	default:
		return in, false
	}
	n, ok := in.address.decode(code[4:], x, b, 1)
	in.length = 4 + n
	return in, ok && (opcode != 0x4b || in.address.index >= 0)
}

// The opcode's map and the prefix that VEX and EVEX hold.
const (
	map0F   = 1
	map0F38 = 2

	pNone = 0
	p66   = 1
	pF3   = 2
	pF2   = 3
)

// decode reads an operand in memory from its ModRM byte on; x and b are the fourth
// bits of index and base, and a displacement of a byte counts in units. It returns
// how many bytes it took.
func (o *operand) decode(code []byte, x, b byte, unit int) (int, bool) {
	mod, rm, n := code[0]>>6, code[0]&7, 1
	*o = operand{base: int(rm | b<<3), index: -1}
	low := rm
	if rm == 4 {
		if len(code) < 2 {
			return 0, false
		}
		n, low = 2, code[1]&7
		o.base, o.scale = int(low|b<<3), uint(code[1]>>6)
		if i := int(code[1]>>3&7 | x<<3); i != 4 {
			o.index = i
		}
	}
	size := [4]int{0, 1, 4, 0}[mod]
	if mod == 0 && low == 5 {
		size, o.base = 4, -1
		if rm == 5 {
			o.base = rip
		}
	}
	if len(code) < n+size {
		return 0, false
	}
	switch size {
	case 1:
		o.disp = int64(int8(code[n])) * int64(unit)
	case 4:
		o.disp = int64(int32(binary.LittleEndian.Uint32(code[n:])))
	}
	return n + size, true
}

// start is the address without the index, stride the index.
func (o *operand) start(r *[17]uint64) uint64 {
	a := uint64(o.disp)
	if o.base >= 0 {
		a += r[o.base]
	}
	return a
}

func (o *operand) stride(r *[17]uint64) uint64 {
	if o.index < 0 {
		return 0
	}
	return r[o.index] << o.scale
}

func (o *operand) at(r *[17]uint64) uint64 { return o.start(r) + o.stride(r) }
