//go:build linux && amd64

package main

// vector is what EVEX says beside the registers.
type vector struct {
	bytes     int // 16, 32 or 64 of a register
	mask      int // of K1 to K7; 0: every element
	zeroing   bool
	inMemory  bool // the last operand, which b is otherwise
	broadcast bool // of one element in memory
}

// What decodeEVEX knows by its map, W, prefix and opcode.
var evexOperations = map[[4]byte]operation{
	{map0F38, 0, pF3, 0x52}: vdpbf16ps,
	{map0F38, 0, pF3, 0x72}: vcvtneps2bf16,
	{map0F38, 0, pF2, 0x72}: vcvtne2ps2bf16,
	{map0F, 0, pNone, 0x10}: vmovups,
	{map0F38, 0, p66, 0x58}: vpbroadcastd,
}

// decodeEVEX reads an instruction of AVX512-BF16 in any of its forms, or VMOVUPS or
// VPBROADCASTD from memory to a register without a mask.
//
//	62 | R X B R' 0 m m m | W v v v v 1 p p | z L'L b V' a a a | opcode | ModRM | SIB | disp
func decodeEVEX(code []byte) (instruction, bool) {
	if len(code) < 6 {
		return instruction{}, false
	}
	p0, p1, p2, modrm := code[1], code[2], code[3], code[5]
	r, x, b := ^p0>>7&1, ^p0>>6&1, ^p0>>5&1
	v := vector{
		bytes: 16 << (p2 >> 5 & 3), mask: int(p2 & 7), zeroing: p2>>7 == 1,
		inMemory: modrm>>6 != 3, broadcast: p2>>4&1 == 1,
	}
	in := instruction{
		op:     evexOperations[[4]byte{p0 & 7, p1 >> 7, p1 & 3, code[4]}],
		length: 6,
		reg:    int(^p0>>4&1<<4 | r<<3 | modrm>>3&7),
		a:      int(^p2>>3&1<<4 | ^p1>>3&15),
		b:      int(x<<4 | b<<3 | modrm&7),
		vector: v,
	}
	if p0>>3&1 != 0 || p1>>2&1 != 1 || v.bytes > 64 || v.zeroing && v.mask == 0 || v.broadcast && !v.inMemory {
		return in, false
	}
	unit := v.bytes // of a displacement of a byte
	if v.broadcast || in.op == vpbroadcastd {
		unit = 4
	}
	switch in.op {
	case vdpbf16ps, vcvtne2ps2bf16:
	case vcvtneps2bf16:
		if in.a != 0 {
			return in, false
		}
	case vmovups, vpbroadcastd:
		if in.a != 0 || v.mask != 0 || v.broadcast || !v.inMemory {
			return in, false
		}
	default:
		return in, false
	}
	if !v.inMemory {
		return in, true
	}
	n, ok := in.address.decode(code[5:], x, b, unit)
	in.b, in.length = 0, 5+n
	return in, ok
}
