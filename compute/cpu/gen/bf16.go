package main

import "fmt"

// Go's assembler knows neither AVX512_BF16 nor AMX, so their instructions are
// raw bytes. Register numbers of the base and index of an address:
const (
	dx  = 2
	si  = 6
	r8  = 8
	r10 = 10
	r11 = 11
	r12 = 12
	r14 = 14
	r15 = 15
)

const halfRows = 14 // rows of the AVX512_BF16 tile: 14 x 32 = 28 accumulators

func inv(v, bit int) byte { return byte(^v >> bit & 1) }

// evex is a register-to-register EVEX.512.F3.0F38.W0 instruction. R, X, B, R',
// vvvv and V' are stored inverted; X extends rm because rm is a vector register.
//
//	62 | R X B R' 0 m m m | W v v v v 1 p p | z L'L b V' a a a | opcode | modrm
func evex(opcode byte, dst, src1, src2 int) string {
	p0 := inv(dst, 3)<<7 | inv(src2, 4)<<6 | inv(src2, 3)<<5 | inv(dst, 4)<<4 | 0b010
	p1 := byte(^src1&15)<<3 | 1<<2 | 0b10
	p2 := byte(0b10<<5) | inv(src1, 4)<<3
	modrm := byte(0b11<<6 | dst&7<<3 | src2&7)
	return fmt.Sprintf("LONG $0x%02x%02x%02x62; WORD $0x%02x%02x", p2, p1, p0, modrm, opcode)
}

// vdpbf16ps: dst.f32[i] += a.bf16[2i+1]*b.bf16[2i+1], then += a.bf16[2i]*b.bf16[2i].
func vdpbf16ps(dst, a, b int) {
	p("\t%s // VDPBF16PS Z%d, Z%d, Z%d", evex(0x52, dst, a, b), b, a, dst)
}

// vcvtneps2bf16: 16 floats of src to 16 bf16 in the low half (a Y register).
func vcvtneps2bf16(dst, src int) {
	p("\t%s // VCVTNEPS2BF16 Z%d, Y%d", evex(0x72, dst, 0, src), src, dst)
}

// prefix of a VEX.128.0F38.W0 instruction, by its mandatory prefix.
const (
	vexNP = 0
	vex66 = 1
	vexF3 = 2
	vexF2 = 3
)

// vex is C4 | R X B m m m m m | W v v v v L p p | opcode, R X B vvvv inverted.
func vex(pp, reg, index, base, vvvv int, opcode byte) string {
	return fmt.Sprintf("BYTE $0xc4; BYTE $0x%02x; BYTE $0x%02x; BYTE $0x%02x",
		inv(reg, 3)<<7|inv(index, 3)<<6|inv(base, 3)<<5|2, byte(^vvvv&15)<<3|byte(pp), opcode)
}

// tileMemory is the address base + index*1 + disp of a tile's rows.
func tileMemory(pp, opcode, tmm, base, index, disp int) string {
	return fmt.Sprintf("%s; BYTE $0x%02x; BYTE $0x%02x; LONG $0x%08x",
		vex(pp, tmm, index, base, 0, byte(opcode)), 0b10<<6|tmm<<3|4, index&7<<3|base&7, disp)
}

func tileload(tmm, base, index, disp int) {
	p("\t%s // TILELOADD", tileMemory(vexF2, 0x4b, tmm, base, index, disp))
}

// tileloadT1 is tileload of what will not be read again soon: it leaves the first cache alone.
func tileloadT1(tmm, base, index, disp int) {
	p("\t%s // TILELOADDT1", tileMemory(vex66, 0x4b, tmm, base, index, disp))
}

func tilestore(tmm, base, index, disp int) {
	p("\t%s // TILESTORED", tileMemory(vexF3, 0x4b, tmm, base, index, disp))
}

func tilezero(tmm int) {
	p("\t%s; BYTE $0x%02x // TILEZERO", vex(vexF2, tmm, 0, 0, 0, 0x49), 0xc0|tmm<<3)
}

func tilerelease() { p("\t%s; BYTE $0xc0 // TILERELEASE", vex(vexNP, 0, 0, 0, 0, 0x49)) }

// ldtilecfg reads 64 bytes at (DI).
func ldtilecfg() { p("\t%s; BYTE $0x07 // LDTILECFG (DI)", vex(vexNP, 0, 0, 7, 0, 0x49)) }

// tdpbf16ps: c += a b for 16x16 floats and 32 bf16 of the inner dimension.
func tdpbf16ps(c, a, b int) {
	p("\t%s; BYTE $0x%02x // TDPBF16PS", vex(vexF3, c, 0, a, b, 0x5c), 0xc0|c<<3|a)
}

// halfFields loads a halfTile from DI.
func halfFields() {
	p("\tMOVQ t+0(FP), DI")
	for i, r := range []string{"SI", "BX", "DX", "CX", "R8", "R10", "R12", "R13", "R9", "AX", "R11"} {
		p("\tMOVQ %d(DI), %s", 8*i, r)
	}
}

// halfTile writes the rows x 32 kernel for AVX512_BF16. SI, DI: A row 0 and row
// 7; BX: B panel; DX: C; CX: k pairs; R8, R12, R13: 1, 3, 5 row strides; R10: C
// stride; R11: address to prefetch, one line for each pair; R14: pairs of a panel;
// R15: panels left; R9: from the end of a panel to the next.
func halfTile(rows int) {
	mul := [7]string{"", "(R8*1)", "(R8*2)", "(R12*1)", "(R8*4)", "(R13*1)", "(R12*2)"}
	p("\nstart%d:", rows)
	p("\tLEAQ (R8)(R8*2), R12\n\tLEAQ (R8)(R8*4), R13")
	p("\tLEAQ (SI)(R12*2), DI\n\tADDQ R8, DI // row 7")
	p("panel%d:\n\tMOVQ t+0(FP), AX\n\tCMPQ 72(AX), $0\n\tMOVQ DX, AX\n\tJNE load%d", rows, rows)
	for i := range 2 * rows {
		p("\tVPXORD Z%d, Z%d, Z%d", i, i, i)
	}
	for i := range rows {
		p("\tBYTE $0x0f; BYTE $0x0d; BYTE $0x08 // PREFETCHW (AX)")
		p("\tBYTE $0x0f; BYTE $0x0d; BYTE $0x48; BYTE $0x40 // PREFETCHW 64(AX)")
		if i < rows-1 {
			p("\tADDQ R10, AX")
		}
	}
	p("\tJMP loop%d\nload%d:", rows, rows)
	for i := range rows {
		p("\tVMOVUPS (AX), Z%d\n\tVMOVUPS 64(AX), Z%d", 2*i, 2*i+1)
		if i < rows-1 {
			p("\tADDQ R10, AX")
		}
	}
	p("\tPCALIGN $64\nloop%d:\n\tPREFETCHT1 (R11)\n\tADDQ $64, R11", rows)
	p("\tVMOVUPS (BX), Z28\n\tVMOVUPS 64(BX), Z29")
	for i := range rows {
		base, t := "SI", 30+i%2
		if i >= 7 {
			base = "DI"
		}
		p("\tVPBROADCASTD (%s)%s, Z%d", base, mul[i%7], t)
		vdpbf16ps(2*i, t, 28)
		vdpbf16ps(2*i+1, t, 29)
	}
	p("\tADDQ $4, SI\n\tADDQ $4, DI\n\tADDQ $128, BX\n\tDECQ CX\n\tJNZ loop%d\n\tMOVQ DX, AX", rows)
	for i := range rows {
		p("\tVMOVUPS Z%d, (AX)\n\tVMOVUPS Z%d, 64(AX)", 2*i, 2*i+1)
		if i < rows-1 {
			p("\tADDQ R10, AX")
		}
	}
	p("\tMOVQ R14, CX\n\tLEAQ (R14*4), AX\n\tSUBQ AX, SI\n\tSUBQ AX, DI\n\tADDQ R9, BX\n\tADDQ $128, DX\n\tDECQ R15\n\tJNZ panel%d", rows)
	p("\tVZEROUPPER\n\tRET")
}

// microBF16 computes up to 14 rows against R13 panels.
func microBF16() {
	p("\n// func microBF16(t *halfTile)\nTEXT ·microBF16(SB), NOSPLIT, $0-8")
	halfFields()
	p("\tMOVQ R13, R15\n\tMOVQ CX, R14\n\tMOVQ CX, R13\n\tSHLQ $7, R13\n\tSUBQ R13, R9")
	for r := halfRows; r >= 1; r-- {
		p("\tCMPQ R12, $%d\n\tJEQ start%d", r, r)
	}
	p("\tRET")
	for r := halfRows; r >= 1; r-- {
		halfTile(r)
	}
}

// rowBF16 computes 4 panels of one row: the sums of microBF16 in its order, but
// eight of them at once, so that memory and not the latency of one sum is the limit.
func rowBF16() {
	p("\n// func rowBF16(t *halfTile)\nTEXT ·rowBF16(SB), NOSPLIT, $0-8")
	halfFields()
	p("\tLEAQ (BX)(R9*2), DI // panel 2")
	for i := range 8 {
		p("\tVPXORD Z%d, Z%d, Z%d", i, i, i)
	}
	p("\tPCALIGN $64\nloop:\n\tVPBROADCASTD (SI), Z8")
	for i := range 8 {
		at := [4]string{"(BX)", "(BX)(R9*1)", "(DI)", "(DI)(R9*1)"}[i/2]
		if i%2 == 1 {
			at = "64" + at
		}
		p("\tVMOVUPS %s, Z%d", at, 16+i)
	}
	for i, at := range [4]string{"(BX)", "(BX)(R9*1)", "(DI)", "(DI)(R9*1)"} {
		_ = i
		p("\tPREFETCHT0 2048%s\n\tPREFETCHT0 2112%s", at, at)
	}
	for i := range 8 {
		vdpbf16ps(i, 8, 16+i)
	}
	p("\tADDQ $4, SI\n\tADDQ $128, BX\n\tADDQ $128, DI\n\tDECQ CX\n\tJNZ loop")
	for i := range 8 {
		p("\tVMOVUPS Z%d, %d(DX)", i, 64*i)
	}
	p("\tVZEROUPPER\n\tRET")
}

// microAMX computes up to 32 rows against R13 panels: C tiles 0 1 / 2 3, A tiles
// 4 / 5, B tiles 6 7. The tile configuration, which gives the rows of each
// tile, is loaded on entry and released on exit: no tile state outlives a call.
// The rows of A stay in the first cache; B passes it by, and what is read soon is
// brought to the second, two lines in each step. X0 holds its address.
func microAMX() {
	p("\n// func microAMX(t *halfTile)\nTEXT ·microAMX(SB), NOSPLIT, $0-8")
	halfFields()
	p("\tMOVQ R11, X0\n\tMOVQ 88(DI), DI")
	ldtilecfg()
	p("\tMOVQ CX, DI\n\tSHRQ $4, DI // steps of 16 pairs")
	p("\tSHLQ $4, R8\n\tMOVQ R8, R11\n\tSHRQ $4, R8 // R11: 16 rows of A")
	p("\tADDQ SI, R11")
	p("\tCMPQ R12, $16\n\tJLE panel1")
	for _, two := range []int{2, 1} {
		p("\npanel%d:\n\tMOVQ DX, R12\n\tTESTQ AX, AX\n\tJNZ load%d", two, two)
		for i := range 2 * two {
			tilezero(i)
		}
		p("\tJMP start%d\nload%d:", two, two)
		tileload(0, dx, r10, 0)
		tileload(1, dx, r10, 64)
		if two == 2 {
			p("\tSHLQ $4, R10\n\tADDQ R10, R12\n\tSHRQ $4, R10")
			tileload(2, r12, r10, 0)
			tileload(3, r12, r10, 64)
		}
		p("start%d:\n\tMOVQ DI, CX\n\tMOVQ $128, R15\n\tMOVQ BX, R14\n\tMOVQ X0, R12\n\tPCALIGN $64\nloop%d:", two, two)
		tileload(4, si, r8, 0)
		tileloadT1(6, r14, r15, 0)
		tdpbf16ps(0, 4, 6)
		p("\tPREFETCHT1 (R12)")
		tileloadT1(7, r14, r15, 64)
		tdpbf16ps(1, 4, 7)
		p("\tPREFETCHT1 64(R12)\n\tADDQ R15, R12")
		if two == 2 {
			tileload(5, r11, r8, 0)
			tdpbf16ps(2, 5, 6)
			tdpbf16ps(3, 5, 7)
		}
		p("\tADDQ $64, SI\n\tADDQ $64, R11\n\tADDQ $2048, R14\n\tDECQ CX\n\tJNZ loop%d\n\tMOVQ R12, X0", two)
		tilestore(0, dx, r10, 0)
		tilestore(1, dx, r10, 64)
		if two == 2 {
			p("\tMOVQ R10, R12\n\tSHLQ $4, R12\n\tADDQ DX, R12")
			tilestore(2, r12, r10, 0)
			tilestore(3, r12, r10, 64)
		}
		p("\tMOVQ DI, R12\n\tSHLQ $6, R12\n\tSUBQ R12, SI\n\tSUBQ R12, R11")
		p("\tADDQ $128, DX\n\tADDQ R9, BX\n\tDECQ R13\n\tJNZ panel%d", two)
		tilerelease()
		p("\tRET")
	}
}

// Register-only loops that give the machine's limit.
func peaks() {
	p("\n// func peakBF16(n int)\nTEXT ·peakBF16(SB), NOSPLIT, $0-8\n\tMOVQ n+0(FP), CX")
	for i := range 32 {
		p("\tVPXORD Z%d, Z%d, Z%d", i, i, i)
	}
	p("\tPCALIGN $64\nloop:")
	for i := range 28 {
		vdpbf16ps(i, 30+i/2%2, 28+i%2)
	}
	p("\tDECQ CX\n\tJNZ loop\n\tVZEROUPPER\n\tRET")

	p("\n// func peakAMX(n int, cfg *tileConfig, data *uint16)\nTEXT ·peakAMX(SB), NOSPLIT, $0-24\n\tMOVQ n+0(FP), CX\n\tMOVQ cfg+8(FP), DI\n\tMOVQ data+16(FP), SI\n\tMOVQ $64, R8")
	ldtilecfg()
	for i := range 4 {
		tilezero(i)
		tileload(4+i, si, r8, 1024*i)
	}
	p("\tPCALIGN $64\nloop:")
	for i := range 4 {
		tdpbf16ps(i, 4+i/2, 6+i%2)
	}
	p("\tDECQ CX\n\tJNZ loop")
	tilerelease()
	p("\tRET")
}

// interleave turns pairs of rows of bf16 into rows of pairs, 32 columns wide:
// the packing of a product that reduces over the row index. The same rows' next 32
// columns come next and are fetched.
func interleave() {
	for i := range 64 {
		p("DATA ·perm<>+%d(SB)/2, $%d", 2*i, i/2+i%2*32)
	}
	p("GLOBL ·perm<>(SB), RODATA|NOPTR, $128")
	p("\n// func interleaveAVX512(dst, src *uint16, stride, pairs int)")
	p("TEXT ·interleaveAVX512(SB), NOSPLIT, $0-32")
	p("\tMOVQ dst+0(FP), DI\n\tMOVQ src+8(FP), SI\n\tMOVQ stride+16(FP), R8\n\tMOVQ pairs+24(FP), CX")
	p("\tADDQ R8, R8\n\tVMOVUPS ·perm<>+0(SB), Z4\n\tVMOVUPS ·perm<>+64(SB), Z5")
	p("loop:\n\tVMOVDQU16 (SI), Z0\n\tVMOVDQU16 (SI)(R8*1), Z1\n\tPREFETCHT0 64(SI)\n\tPREFETCHT0 64(SI)(R8*1)")
	p("\tVMOVDQA64 Z0, Z2\n\tVPERMT2W Z1, Z4, Z0\n\tVPERMT2W Z1, Z5, Z2")
	p("\tVMOVUPS Z0, (DI)\n\tVMOVUPS Z2, 64(DI)")
	p("\tLEAQ (SI)(R8*2), SI\n\tADDQ $128, DI\n\tDECQ CX\n\tJNZ loop\n\tVZEROUPPER\n\tRET")
}

// transpose turns blocks of 16 x 16 pairs over: row j, pair i becomes row i,
// pair j. Strides and steps (from one block to the next) in bytes.
func transpose() {
	p("\n// func transposeAVX512(dst, src unsafe.Pointer, dstStride, srcStride, dstStep, srcStep, blocks int)")
	p("TEXT ·transposeAVX512(SB), NOSPLIT, $0-56")
	p("\tMOVQ dst+0(FP), DI\n\tMOVQ src+8(FP), SI\n\tMOVQ dstStride+16(FP), R8\n\tMOVQ srcStride+24(FP), R9")
	p("\tMOVQ dstStep+32(FP), R10\n\tMOVQ srcStep+40(FP), R11\n\tMOVQ blocks+48(FP), CX")
	p("loop:\n\tMOVQ SI, AX")
	for i := range 16 {
		p("\tVMOVUPS (AX), Z%d", i)
		if i < 15 {
			p("\tADDQ R9, AX")
		}
	}
	// 32-bit, then 64-bit unpacks: quads of rows within each 128-bit lane.
	for i := 0; i < 16; i += 2 {
		p("\tVUNPCKLPS Z%d, Z%d, Z%d\n\tVUNPCKHPS Z%d, Z%d, Z%d", i+1, i, 16+i, i+1, i, 17+i)
	}
	for i := 0; i < 16; i += 4 {
		for j := range 2 {
			a, b := 16+i+j, 18+i+j
			p("\tVUNPCKLPD Z%d, Z%d, Z%d\n\tVUNPCKHPD Z%d, Z%d, Z%d", b, a, i+2*j, b, a, i+2*j+1)
		}
	}
	// Register 4q+c now holds, in lane l, column 4l+c of rows 4q..4q+3.
	for c := range 4 {
		p("\tVSHUFF32X4 $0x88, Z%d, Z%d, Z%d\n\tVSHUFF32X4 $0xdd, Z%d, Z%d, Z%d", 4+c, c, 16+4*c, 4+c, c, 17+4*c)
		p("\tVSHUFF32X4 $0x88, Z%d, Z%d, Z%d\n\tVSHUFF32X4 $0xdd, Z%d, Z%d, Z%d", 12+c, 8+c, 18+4*c, 12+c, 8+c, 19+4*c)
	}
	for c := range 4 {
		lo0, hi0, lo1, hi1 := 16+4*c, 17+4*c, 18+4*c, 19+4*c // lanes 0 2 and 1 3 of rows 0-7, of rows 8-15
		p("\tVSHUFF32X4 $0x88, Z%d, Z%d, Z%d", lo1, lo0, c)
		p("\tVSHUFF32X4 $0x88, Z%d, Z%d, Z%d", hi1, hi0, 4+c)
		p("\tVSHUFF32X4 $0xdd, Z%d, Z%d, Z%d", lo1, lo0, 8+c)
		p("\tVSHUFF32X4 $0xdd, Z%d, Z%d, Z%d", hi1, hi0, 12+c)
	}
	p("\tMOVQ DI, AX")
	for i := range 16 {
		p("\tVMOVUPS Z%d, (AX)", i)
		if i < 15 {
			p("\tADDQ R8, AX")
		}
	}
	p("\tADDQ R10, DI\n\tADDQ R11, SI\n\tDECQ CX\n\tJNZ loop\n\tVZEROUPPER\n\tRET")
}

// repack turns 32 x 32 bf16 of each panel over: row i, pair (2j, 2j+1) of column c
// becomes row j, of the pair (2c, 2c+1). In 64 bits lie the pairs of two columns;
// their inner words are exchanged, and then blocks of 8 x 8 such turned over.
func repack() {
	for l := range 8 { // of the bytes 0 to 15, in each half of 16
		p("DATA ·exchange<>+%d(SB)/8, $0x%016x", 8*l, []uint64{0x0706030205040100, 0x0f0e0b0a0d0c0908}[l%2])
	}
	p("GLOBL ·exchange<>(SB), RODATA|NOPTR, $64")
	p("\n// func repackAVX512(dst, src *uint16, step, panels int)\nTEXT ·repackAVX512(SB), NOSPLIT, $0-32")
	p("\tMOVQ dst+0(FP), DI\n\tMOVQ src+8(FP), SI\n\tMOVQ step+16(FP), AX\n\tMOVQ panels+24(FP), CX\n\tVMOVUPS ·exchange<>(SB), Z31")
	p("loop:")
	for block := range 4 {
		half, group := block/2, block%2 // of the columns, of the rows
		for i := range 8 {
			at := fmt.Sprintf("%d(SI)", 64*half+128*(8*group+i))
			p("\tVMOVUPS %s, Z%d\n\tPREFETCHT0 %s(AX*1)\n\tVPSHUFB Z31, Z%d, Z%d", at, i, at, i, i)
		}
		for i := 0; i < 8; i += 2 {
			p("\tVPUNPCKLQDQ Z%d, Z%d, Z%d\n\tVPUNPCKHQDQ Z%d, Z%d, Z%d", i+1, i, 8+i, i+1, i, 9+i)
		}
		// Register 8+2q+o holds, in lane l, column 2l+o of rows 2q and 2q+1.
		for o := range 2 {
			for q := range 2 {
				for i, lanes := range []int{0x44, 0xee} {
					p("\tVSHUFI64X2 $0x%x, Z%d, Z%d, Z%d", lanes, 10+4*q+o, 8+4*q+o, 16+4*o+2*q+i)
				}
			}
			for l := range 4 {
				t := 16 + 4*o + l/2
				p("\tVSHUFI64X2 $0x%x, Z%d, Z%d, Z%d", []int{0x88, 0xdd}[l%2], t+2, t, 2*l+o)
			}
		}
		for c := range 8 {
			p("\tVMOVUPS Z%d, %d(DI)", c, 128*(8*half+c)+64*group)
		}
	}
	p("\tADDQ AX, SI\n\tADDQ $2048, DI\n\tDECQ CX\n\tJNZ loop\n\tVZEROUPPER\n\tRET")
}

// narrowBF16 rounds n floats, a multiple of 16, to bfloat16; denormal ones to 0.
func narrowBF16() {
	p("\n// func narrowBF16(dst *uint16, src *float32, n int)\nTEXT ·narrowBF16(SB), NOSPLIT, $0-24")
	p("\tMOVQ dst+0(FP), DI\n\tMOVQ src+8(FP), SI\n\tMOVQ n+16(FP), CX")
	p("loop:\n\tVMOVUPS (SI), Z0")
	vcvtneps2bf16(0, 0)
	p("\tVMOVUPS Y0, (DI)\n\tADDQ $64, SI\n\tADDQ $32, DI\n\tSUBQ $16, CX\n\tJNZ loop\n\tVZEROUPPER\n\tRET")
}

// streamBF16 is narrowBF16 past the caches, of n floats, a multiple of 32, to whole
// cache lines.
func streamBF16() {
	p("\n// func streamBF16(dst *uint16, src *float32, n int)\nTEXT ·streamBF16(SB), NOSPLIT, $0-24")
	p("\tMOVQ dst+0(FP), DI\n\tMOVQ src+8(FP), SI\n\tMOVQ n+16(FP), CX")
	p("loop:\n\tVMOVUPS (SI), Z0\n\tVMOVUPS 64(SI), Z1")
	vcvtneps2bf16(0, 0)
	vcvtneps2bf16(1, 1)
	p("\tVINSERTF64X4 $1, Y1, Z0, Z0\n\tVMOVNTPS Z0, (DI)\n\tADDQ $128, SI\n\tADDQ $64, DI\n\tSUBQ $32, CX\n\tJNZ loop")
	p("\tVZEROUPPER\n\tRET")
}

// swigluBF16 is swiglu with its result rounded as narrowBF16 does, of a tile: rows
// of n, a multiple of 16, whose distances are in bytes; four registers at once.
func swigluBF16() {
	z := isa{"BF16", "Z", 64, 14, 16}
	p("\n// func swigluBF16(dst *uint16, gate, up *float32, n, rows, ldd, ld int)\nTEXT ·swigluBF16(SB), NOSPLIT, $0-56")
	p("\tMOVQ dst+0(FP), R8\n\tMOVQ gate+8(FP), R9\n\tMOVQ up+16(FP), R10\n\tMOVQ rows+32(FP), DX")
	z.sigmoidConstants()
	p("row:\n\tMOVQ R8, DI\n\tMOVQ R9, SI\n\tMOVQ R10, BX\n\tMOVQ n+24(FP), CX")
	atOnce("loop", []int{4, 1}, 16, func(n int) {
		interleaved(n, func(i int) {
			c := z.chain(i, n)
			z.swiglu(fmt.Sprintf("%d(SI)", 64*i), fmt.Sprintf("%d(BX)", 64*i), c, 1+i)
			vcvtneps2bf16(c[1], c[1])
			p("\tVMOVUPS Y%d, %d(DI)", c[1], 32*i)
		})
		p("\tADDQ $%d, SI\n\tADDQ $%d, BX\n\tADDQ $%d, DI", 64*n, 64*n, 32*n)
	})
	p("\tADDQ ldd+40(FP), R8\n\tADDQ ld+48(FP), R9\n\tADDQ ld+48(FP), R10\n\tDECQ DX\n\tJNZ row")
	ret()
}

// ropeBF16 is rope of the heads of a row, one behind another, each of two halves of
// n, a multiple of 16, its result rounded as narrowBF16 does.
func ropeBF16() {
	p("\n// func ropeBF16(dst *uint16, x, cos, sin *float32, n, heads int)\nTEXT ·ropeBF16(SB), NOSPLIT, $0-48")
	p("\tMOVQ dst+0(FP), R8\n\tMOVQ x+8(FP), R9\n\tMOVQ cos+16(FP), R10\n\tMOVQ sin+24(FP), R11\n\tMOVQ n+32(FP), BX\n\tMOVQ BX, CX")
	p("column:\n\tVMOVUPS (R10), Z2\n\tVMOVUPS (R11), Z3\n\tMOVQ R8, DI\n\tMOVQ R9, SI\n\tMOVQ heads+40(FP), DX")
	p("head:\n\tVMOVUPS (SI), Z0\n\tVMOVUPS (SI)(BX*4), Z1")
	sets[1].turn()
	vcvtneps2bf16(0, 0)
	vcvtneps2bf16(1, 1)
	p("\tVMOVUPS Y0, (DI)\n\tVMOVUPS Y1, (DI)(BX*2)\n\tLEAQ (SI)(BX*8), SI\n\tLEAQ (DI)(BX*4), DI\n\tDECQ DX\n\tJNZ head")
	p("\tADDQ $32, R8\n\tADDQ $64, R9\n\tADDQ $64, R10\n\tADDQ $64, R11\n\tSUBQ $16, CX\n\tJNZ column")
	ret()
}

// swigluBackBF16 is swigluBack of factors in bfloat16, all its results rounded.
func swigluBackBF16() {
	z := isa{"BF16", "Z", 64, 14, 16}
	z.chains("swigluBack", "dgate, dup, act *uint16, dy *float32, gate, up *uint16", ", ahead int", 64, []int{2, 2, 2, 4, 2, 2}, func() {
		z.sigmoidConstants()
		p("\tMOVQ ahead+56(FP), AX")
	}, 2, func(c []int, k int, o func(i int) string) {
		p("\tPREFETCHT0 %s(AX*1)\n\tPREFETCHT0 %s(AX*1)", o(4), o(5))
		z.load(o(3), c[6])
		for i, reg := range []int{c[0], c[5]} {
			p("\tVPMOVZXWD %s, Z%d\n\tVPSLLD $16, Z%d, Z%d", o(4+i), reg, reg, reg)
		}
		dgate, dup, act := z.swigluBack(c, k)
		for i, reg := range []int{dgate, dup, act} {
			vcvtneps2bf16(reg, reg)
			p("\tVMOVUPS Y%d, %s", reg, o(i))
		}
	})
	ret()
}

func bf16Kernels() {
	header()
	microBF16()
	rowBF16()
	microAMX()
	peaks()
	interleave()
	transpose()
	repack()
	narrowBF16()
	streamBF16()
	swigluBF16()
	ropeBF16()
	swigluBackBF16()
	save("bf16_amd64.s")
}
