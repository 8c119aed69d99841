package main

import "fmt"

// interleaveAVX2 is interleave, 16 columns at once.
func interleaveAVX2() {
	p("\n// func interleaveAVX2(dst, src *uint16, stride, pairs int)\nTEXT ·interleaveAVX2(SB), NOSPLIT, $0-32")
	p("\tMOVQ dst+0(FP), DI\n\tMOVQ src+8(FP), SI\n\tMOVQ stride+16(FP), R8\n\tMOVQ pairs+24(FP), CX\n\tADDQ R8, R8\nloop:")
	for at := 0; at < 64; at += 32 {
		p("\tVMOVDQU %d(SI), Y0\n\tVMOVDQU %d(SI)(R8*1), Y1", at, at)
		p("\tVPUNPCKLWD Y1, Y0, Y2\n\tVPUNPCKHWD Y1, Y0, Y3") // of each 128 bits
		p("\tVPERM2I128 $0x20, Y3, Y2, Y0\n\tVPERM2I128 $0x31, Y3, Y2, Y1")
		p("\tVMOVDQU Y0, %d(DI)\n\tVMOVDQU Y1, %d(DI)", 2*at, 2*at+32)
	}
	p("\tLEAQ (SI)(R8*2), SI\n\tADDQ $128, DI\n\tDECQ CX\n\tJNZ loop\n\tVZEROUPPER\n\tRET")
}

// transposeAVX2 is transpose in four parts of 8 x 8 pairs.
func transposeAVX2() {
	p("\n// func transposeAVX2(dst, src unsafe.Pointer, dstStride, srcStride, dstStep, srcStep, blocks int)")
	p("TEXT ·transposeAVX2(SB), NOSPLIT, $0-56")
	p("\tMOVQ dst+0(FP), DI\n\tMOVQ src+8(FP), SI\n\tMOVQ dstStride+16(FP), R8\n\tMOVQ srcStride+24(FP), R9")
	p("\tMOVQ dstStep+32(FP), R10\n\tMOVQ srcStep+40(FP), R11\n\tMOVQ blocks+48(FP), CX\n\tLEAQ (R8*8), R12")
	p("loop:\n\tMOVQ SI, AX")
	for rows := range 2 {
		p("\tMOVQ AX, BX")
		for cols := range 2 {
			p("\tMOVQ BX, AX")
			for i := range 8 {
				p("\tVMOVUPS %d(AX), Y%d\n\tADDQ R9, AX", 32*cols, i)
			}
			for i := 0; i < 8; i += 2 {
				p("\tVUNPCKLPS Y%d, Y%d, Y%d\n\tVUNPCKHPS Y%d, Y%d, Y%d", i+1, i, 8+i, i+1, i, 9+i)
			}
			// Registers 0 to 3: columns 0 to 3 of rows 0 to 3, and 4 to 7 behind; 4 to 7: of rows 4 to 7.
			for i := range 4 {
				a := 8 + i/2*4 + i%2
				p("\tVUNPCKLPD Y%d, Y%d, Y%d\n\tVUNPCKHPD Y%d, Y%d, Y%d", a+2, a, 2*i, a+2, a, 2*i+1)
			}
			p("\tMOVQ DI, DX")
			if cols == 1 {
				p("\tADDQ R12, DX")
			}
			for c := range 8 {
				p("\tVPERM2F128 $0x%x, Y%d, Y%d, Y8\n\tVMOVUPS Y8, %d(DX)\n\tADDQ R8, DX", []int{0x20, 0x31}[c/4], 4+c%4, c%4, 32*rows)
			}
		}
	}
	p("\tADDQ R10, DI\n\tADDQ R11, SI\n\tDECQ CX\n\tJNZ loop\n\tVZEROUPPER\n\tRET")
}

// repackAVX2 is repack: pairs of columns, their numbers exchanged so that rows
// come first, are turned over 4 x 4 at a time.
func repackAVX2() {
	for l := range 4 {
		p("DATA ·rowsFirst<>+%d(SB)/8, $0x%016x", 8*l, []uint64{0x0706030205040100, 0x0f0e0b0a0d0c0908}[l%2])
	}
	p("GLOBL ·rowsFirst<>(SB), RODATA|NOPTR, $32")
	p("\n// func repackAVX2(dst, src *uint16, step, panels int)\nTEXT ·repackAVX2(SB), NOSPLIT, $0-32")
	p("\tMOVQ dst+0(FP), DI\n\tMOVQ src+8(FP), SI\n\tMOVQ step+16(FP), AX\n\tMOVQ panels+24(FP), CX\n\tVMOVDQU ·rowsFirst<>(SB), Y15")
	p("loop:")
	for cols := 0; cols < 16; cols += 4 {
		for rows := 0; rows < 16; rows += 4 {
			for i := range 4 {
				at := fmt.Sprintf("%d(SI)", 128*(rows+i)+8*cols)
				p("\tVMOVDQU %s, Y%d\n\tVPSHUFB Y15, Y%d, Y%d", at, i, i, i)
				if cols%8 == 0 {
					p("\tPREFETCHT0 %s(AX*1)", at)
				}
			}
			for i := 0; i < 4; i += 2 {
				p("\tVPUNPCKLQDQ Y%d, Y%d, Y%d\n\tVPUNPCKHQDQ Y%d, Y%d, Y%d", i+1, i, 4+i, i+1, i, 5+i)
			}
			for c := range 4 {
				p("\tVPERM2I128 $0x%x, Y%d, Y%d, Y%d\n\tVMOVDQU Y%d, %d(DI)", []int{0x20, 0x31}[c/2], 6+c%2, 4+c%2, 8+c, 8+c, 128*(cols+c)+8*rows)
			}
		}
	}
	p("\tADDQ AX, SI\n\tADDQ $2048, DI\n\tDECQ CX\n\tJNZ loop\n\tVZEROUPPER\n\tRET")
}

func packKernels() {
	header()
	interleaveAVX2()
	transposeAVX2()
	repackAVX2()
	save("pack_amd64.s")
}
