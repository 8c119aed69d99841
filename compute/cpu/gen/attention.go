package main

// horizontal folds register reg's 16 lanes with op in the order of sumLanes and
// leaves the result in every lane of register 0. Clobbers 1.
func horizontal(op string, reg int) {
	p("\tVEXTRACTF64X4 $1, Z%d, Y0\n\t%s Y0, Y%d, Y0", reg, op, reg)
	p("\tVEXTRACTF128 $1, Y0, X1\n\t%s X1, X0, X0", op)
	p("\tVPERMILPS $0x4e, X0, X1\n\t%s X1, X0, X0", op)
	p("\tVPERMILPS $0xb1, X0, X1\n\t%s X1, X0, X0", op)
	p("\tVBROADCASTSS X0, Z0")
}

// softmax is one step of the online softmax over a tile of scores; see softmaxGo.
// The rows' maxima come first: with nothing else between them, one need not wait
// for the other. Columns that are not seen become the lowest number, whose
// exponential is 0. One variant for each width spares the loops.
func softmax() {
	z := sets[1].hold(8)
	p("\n// func softmaxAVX512(t *softTile[float32])\nTEXT ·softmaxAVX512(SB), NOSPLIT, $0-8")
	p("\tMOVQ t+0(FP), DI\n\tVBROADCASTSS 216(DI), Z20\n\tMOVBQZX 220(DI), DX\n\tVBROADCASTSS ·lowest(SB), Z19")
	z.loadHeld()
	p("\tMOVQ 200(DI), AX")
	for n := 2; n < 8; n += 2 {
		p("\tCMPQ AX, $%d\n\tJEQ width%d", 16*n, n)
	}
	start := func() {
		for i, r := range []string{"SI", "R8", "R9", "R10", "R11", "R12", "R13"} {
			p("\tMOVQ %d(DI), %s", 24*i, r)
		}
		p("\tMOVQ 192(DI), CX")
	}
	p("\tJMP width8")
	for n := 2; n <= 8; n += 2 {
		p("\nwidth%d:", n)
		start()
		p("max%d:\n\tVPBROADCASTD (R10), Z21\n\tVPBROADCASTD (R11), Z22\n\tVBROADCASTSS (R12), Z5\n\tVMOVAPS Z5, Z4\n\tVMOVAPS Z5, Z6", n)
		for v := range n {
			p("\tVPCMPD $2, ·laneNumbers+%d(SB), Z21, K1\n\tVPCMPD $6, ·laneNumbers+%d(SB), Z22, K1, K1", 64*v, 64*v)
			p("\tVMOVAPS Z19, Z%d\n\tVMOVUPS %d(SI), K1, Z%d\n\tVMOVUPS Z%d, %d(SI)", 24+v, 64*v, 24+v, 24+v, 64*v)
			p("\tVMAXPS Z%d, Z%d, Z%d // NaN: the maximum stays", 4+v%2*2, 24+v, 4+v%2*2)
		}
		p("\tVMAXPS Z6, Z4, Z4")
		horizontal("VMAXPS", 4)
		p("\tVMOVSS X0, (R12)\n\tTESTQ DX, DX\n\tJNE kept%d\n\tVUCOMISS X0, X5\n\tJEQ kept%d", n, n)
		p("\tVSUBPS Z0, Z5, Z0\n\tVMULPS Z20, Z0, Z0")
		z.expNegative()
		p("\tVMULSS (R13), X1, X0\n\tVMOVSS X0, (R13) // sum\n\tMOVQ R9, AX\n\tMOVQ 208(DI), BX")
		p("fade%d:\n\tVMULPS (AX), Z1, Z0\n\tVMOVUPS Z0, (AX)\n\tADDQ $64, AX\n\tSUBQ $16, BX\n\tJNZ fade%d", n, n)
		p("kept%d:\n\tMOVQ 168(DI), AX\n\tLEAQ (SI)(AX*4), SI\n\tMOVQ 184(DI), AX\n\tLEAQ (R9)(AX*4), R9", n)
		p("\tADDQ $4, R10\n\tADDQ $4, R11\n\tADDQ $4, R12\n\tADDQ $4, R13\n\tDECQ CX\n\tJNZ max%d", n)
		start()
		p("exp%d:\n\tMOVL (R10), AX\n\tCMPL AX, (R11)\n\tJEQ unseen%d\n\tVBROADCASTSS (R12), Z23", n, n)
		for v := 0; v < n; v += 4 {
			interleaved(min(4, n-v), func(i int) {
				x := 24 + v + i
				p("\tVMOVUPS %d(SI), Z%d\n\tVSUBPS Z23, Z%d, Z%d\n\tVMULPS Z20, Z%d, Z%d", 64*(v+i), x, x, x, x, x)
				z.expChain(x, i, 4+i, x, 1+i)
				p("\tVMOVAPS Z%d, Z%d", i, x)
			})
		}
		p("\tVMOVAPS Z24, Z5\n\tVMOVAPS Z25, Z6")
		for v := 2; v < n; v++ {
			p("\tVADDPS Z%d, Z%d, Z%d", 24+v, 5+v%2, 5+v%2)
		}
		p("\tVADDPS Z6, Z5, Z5")
		horizontal("VADDPS", 5)
		p("\tVADDSS (R13), X0, X0\n\tVMOVSS X0, (R13)")
		p("store%d:\n\tTESTQ R8, R8\n\tJNZ half%d", n, n)
		for v := range n {
			p("\tVMOVUPS Z%d, %d(SI)", 24+v, 64*v)
		}
		p("\tJMP next%d\nhalf%d:", n, n)
		for v := range n {
			vcvtneps2bf16(0, 24+v)
			p("\tVMOVUPS Y0, %d(R8)", 32*v)
		}
		p("\tMOVQ 176(DI), AX\n\tLEAQ (R8)(AX*2), R8")
		p("next%d:\n\tMOVQ 168(DI), AX\n\tLEAQ (SI)(AX*4), SI", n)
		p("\tADDQ $4, R10\n\tADDQ $4, R11\n\tADDQ $4, R12\n\tADDQ $4, R13\n\tDECQ CX\n\tJNZ exp%d\n\tVZEROUPPER\n\tRET", n)
		p("unseen%d:", n)
		for v := range n {
			p("\tVPXORD Z%d, Z%d, Z%d", 24+v, 24+v, 24+v)
		}
		p("\tJMP store%d", n)
	}
}

// attend divides by the sum: out = o / sum in float32 or bfloat16.
func attend() {
	p("\n// func attendAVX512(t *softTile[float32], out *float32, half *uint16, ld int)\nTEXT ·attendAVX512(SB), NOSPLIT, $0-32")
	p("\tMOVQ t+0(FP), DI\n\tMOVQ out+8(FP), R8\n\tMOVQ half+16(FP), R10\n\tMOVQ ld+24(FP), R11")
	p("\tMOVQ 48(DI), SI\n\tMOVQ 144(DI), R13\n\tMOVQ 192(DI), CX\n\tMOVQ 184(DI), R12")
	p("\tMOVL $0x3f800000, AX\n\tVPBROADCASTD AX, Z4\n\tSUBQ 208(DI), R12 // behind a row")
	p("row:\n\tVBROADCASTSS (R13), Z5\n\tVDIVPS Z5, Z4, Z5\n\tMOVQ 208(DI), BX\n\tMOVQ R8, AX\n\tMOVQ R10, DX")
	p("column:\n\tVMULPS (SI), Z5, Z0\n\tADDQ $64, SI\n\tTESTQ R10, R10\n\tJNZ half")
	p("\tVMOVUPS Z0, (AX)\n\tADDQ $64, AX\n\tJMP next")
	p("half:")
	vcvtneps2bf16(0, 0)
	p("\tVMOVUPS Y0, (DX)\n\tADDQ $32, DX")
	p("next:\n\tSUBQ $16, BX\n\tJNZ column")
	p("\tLEAQ (SI)(R12*4), SI\n\tLEAQ (R8)(R11*4), R8\n\tTESTQ R10, R10\n\tJEQ single\n\tLEAQ (R10)(R11*2), R10")
	p("single:\n\tADDQ $4, R13\n\tDECQ CX\n\tJNZ row\n\tVZEROUPPER\n\tRET")
}

// softmaxBack is the softmax's backward pass over a tile; see softmaxBackGo.
func softmaxBack() {
	z := sets[1].hold(8)
	p("\n// func softmaxBackAVX512(t *softBackTile[float32])\nTEXT ·softmaxBackAVX512(SB), NOSPLIT, $0-8")
	p("\tMOVQ t+0(FP), DI")
	for i, r := range []string{"SI", "R8", "R9", "DX", "R10", "R11", "R12", "R13"} {
		p("\tMOVQ %d(DI), %s", 24*i, r)
	}
	z.loadHeld()
	p("\tMOVQ 208(DI), CX\n\tVBROADCASTSS 224(DI), Z20\n\tMOVL $32, AX\n\tVPBROADCASTD AX, Z19")
	p("row:\n\tVPBROADCASTD (R10), Z21\n\tVPBROADCASTD (R11), Z22\n\tVBROADCASTSS (R12), Z4 // lse\n\tVBROADCASTSS (R13), Z5 // delta")
	p("\tVMOVUPS ·laneNumbers(SB), Z6\n\tVMOVUPS ·laneNumbers+64(SB), Z7\n\tXORQ AX, AX")
	p("column:")
	interleaved(2, func(i int) {
		x, y, n, r, lane, seen := 24+4*i, 25+4*i, 26+4*i, 27+4*i, 6+i, 1+i
		p("\tVPCMPD $5, Z21, Z%d, K%d\n\tVPCMPD $1, Z22, Z%d, K%d, K%d", lane, seen, lane, seen, seen)
		p("\tVMOVUPS %d(SI)(AX*4), Z%d\n\tVFMSUB213PS Z4, Z20, Z%d", 64*i, x, x)
		p("\tVMOVUPS %s, Z%d\n\tVMINPS Z%d, Z%d, Z%d", expc(1), n, x, n, x)
		z.expChain(x, y, n, r, 3+i)
		p("\tVMOVAPS.Z Z%d, K%d, Z%d", y, seen, y)
		p("\tVMOVUPS %d(R8)(AX*4), Z%d\n\tVSUBPS Z5, Z%d, Z%d\n\tVMULPS Z%d, Z%d, Z%d\n\tVMULPS.Z Z20, Z%d, K%d, Z%d", 64*i, x, x, x, y, x, x, x, seen, x)
		p("\tVPADDD Z19, Z%d, Z%d", lane, lane)
	})
	p("\tTESTQ R9, R9\n\tJNZ half\n\tVMOVUPS Z25, (SI)(AX*4)\n\tVMOVUPS Z29, 64(SI)(AX*4)\n\tVMOVUPS Z24, (R8)(AX*4)\n\tVMOVUPS Z28, 64(R8)(AX*4)\n\tJMP next")
	p("half:")
	for i := range 2 {
		vcvtneps2bf16(0, 25+4*i)
		vcvtneps2bf16(1, 24+4*i)
		p("\tVMOVUPS Y0, %d(R9)(AX*2)\n\tVMOVUPS Y1, %d(DX)(AX*2)", 32*i, 32*i)
	}
	p("next:\n\tADDQ $32, AX\n\tCMPQ AX, 216(DI)\n\tJNE column")
	p("\tMOVQ 192(DI), AX\n\tLEAQ (SI)(AX*4), SI\n\tLEAQ (R8)(AX*4), R8")
	p("\tTESTQ R9, R9\n\tJEQ single\n\tMOVQ 200(DI), AX\n\tLEAQ (R9)(AX*2), R9\n\tLEAQ (DX)(AX*2), DX")
	p("single:\n\tADDQ $4, R10\n\tADDQ $4, R11\n\tADDQ $4, R12\n\tADDQ $4, R13\n\tDECQ CX\n\tJNZ row\n\tVZEROUPPER\n\tRET")
}

// dotsHalf is the product of each pair of heads, widened: a row's head lies in a
// multiple of 16; the bits are dot's.
func dotsHalf() {
	p("\n// func dotsHalfAVX512(dst *float32, a, b *uint16, n, heads int)\nTEXT ·dotsHalfAVX512(SB), NOSPLIT, $0-40")
	p("\tMOVQ dst+0(FP), DI\n\tMOVQ a+8(FP), SI\n\tMOVQ b+16(FP), R8\n\tMOVQ n+24(FP), DX\n\tMOVQ heads+32(FP), CX")
	p("head:\n\tVPXORD Z4, Z4, Z4\n\tMOVQ DX, AX")
	p("loop:\n\tVPMOVZXWD (SI), Z2\n\tVPSLLD $16, Z2, Z2\n\tVPMOVZXWD (R8), Z3\n\tVPSLLD $16, Z3, Z3\n\tVFMADD231PS Z2, Z3, Z4")
	p("\tADDQ $32, SI\n\tADDQ $32, R8\n\tSUBQ $16, AX\n\tJNZ loop")
	horizontal("VADDPS", 4)
	p("\tVMOVSS X0, (DI)\n\tADDQ $4, DI\n\tDECQ CX\n\tJNZ head\n\tVZEROUPPER\n\tRET")
}

func attentionKernels() {
	header()
	softmax()
	attend()
	softmaxBack()
	dotsHalf()
	save("attention_amd64.s")
}
