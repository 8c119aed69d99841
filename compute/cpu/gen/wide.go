package main

import "fmt"

// wideTile writes a kernel of rows for bfloat16 panels where no instruction
// multiplies bfloat16: A is float32, and B's pairs are widened in registers, the
// even k shifted up and the odd k masked. Each sum takes k in ascending order.
// SI, DI: A row 0 and row 7; BX: B panel; DX: C; CX: k pairs; R8, R12, R13: 1, 3,
// 5 row strides; R10: C stride; R11: address to prefetch, one line for each pair;
// R14: pairs of a panel; R15: panels left; R9: from the end of a panel to the next.
func (s isa) wideTile(rows int) {
	mul := [7]string{"", "(R8*1)", "(R8*2)", "(R12*1)", "(R8*4)", "(R13*1)", "(R12*2)"}
	panel := 128 / s.bytes // registers of a row of a panel
	cols := 2              // of them at once
	if rows == 1 {
		cols = panel // as many sums as there are: one waits for itself
	}
	b := rows * cols
	t, mask := b+cols, b+cols+1
	p("\nstart%d:", rows)
	p("\tLEAQ (R8)(R8*2), R12\n\tLEAQ (R8)(R8*4), R13")
	p("\tLEAQ (SI)(R12*2), DI\n\tADDQ R8, DI // row 7")
	s.ones(mask)
	s.op("VPSLLD", "$16", mask, mask)
	p("panel%d:", rows)
	for from := 0; from < panel; from += cols {
		p("\tMOVQ t+0(FP), AX\n\tCMPQ 72(AX), $0\n\tLEAQ %d(DX), AX\n\tJNE load%d_%d", from*s.bytes, rows, from)
		for i := range rows * cols {
			s.zero(i)
		}
		p("\tJMP loop%d_%d\nload%d_%d:", rows, from, rows, from)
		s.eachC(rows, cols, func(at string, reg int) { s.load(at, reg) })
		p("\tPCALIGN $64\nloop%d_%d:", rows, from)
		if from == 0 {
			p("\tPREFETCHT1 (R11)\n\tADDQ $64, R11")
		}
		for odd := range 2 {
			for c := range cols {
				s.widenPair(odd, (from+c)*s.bytes, b+c, mask)
			}
			for i := range rows {
				base := "SI"
				if i >= 7 {
					base = "DI"
				}
				p("\tVBROADCASTSS %d(%s)%s, %s%d", 4*odd, base, mul[i%7], s.r, t)
				for c := range cols {
					s.op("VFMADD231PS", b+c, t, i*cols+c)
				}
			}
		}
		p("\tADDQ $8, SI\n\tADDQ $8, DI\n\tADDQ $128, BX\n\tDECQ CX\n\tJNZ loop%d_%d\n\tLEAQ %d(DX), AX", rows, from, from*s.bytes)
		s.eachC(rows, cols, func(at string, reg int) { s.store(reg, at) })
		p("\tMOVQ R14, CX\n\tLEAQ (R14*8), AX\n\tSUBQ AX, SI\n\tSUBQ AX, DI\n\tSHLQ $4, AX\n\tSUBQ AX, BX")
	}
	p("\tADDQ R9, BX\n\tADDQ $128, DX\n\tDECQ R15\n\tJNZ panel%d\n\tVZEROUPPER\n\tRET", rows)
}

// ones sets every bit of a register.
func (s isa) ones(reg int) {
	if s.r == "Z" {
		s.op("VPTERNLOGD", "$0xff", reg, reg, reg)
	} else {
		s.op("VPCMPEQD", reg, reg, reg)
	}
}

// eachC names the registers of C, whose first row is at AX.
func (s isa) eachC(rows, cols int, f func(at string, reg int)) {
	for i := range rows {
		for c := range cols {
			f(fmt.Sprintf("%d(AX)", c*s.bytes), i*cols+c)
		}
		if i < rows-1 {
			p("\tADDQ R10, AX")
		}
	}
}

// widenPair: register reg = the even or odd k of the pairs at disp(BX).
func (s isa) widenPair(odd, disp, reg, mask int) {
	mem := fmt.Sprintf("%d(BX)", disp)
	switch {
	case odd == 1:
		s.op("VPAND", mem, mask, reg)
	case s.r == "Z":
		s.op("VPSLLD", "$16", mem, reg)
	default: // AVX2 shifts registers only
		s.load(mem, reg)
		s.op("VPSLLD", "$16", reg, reg)
	}
}

// microWide computes up to s.rows rows against R13 panels.
func (s isa) microWide() {
	p("\n// func microWide%s(t *halfTile)\nTEXT ·microWide%s(SB), NOSPLIT, $0-8", s.name, s.name)
	halfFields()
	p("\tMOVQ R13, R15\n\tMOVQ CX, R14")
	for r := s.rows; r >= 1; r-- {
		p("\tCMPQ R12, $%d\n\tJEQ start%d", r, r)
	}
	p("\tRET")
	for r := s.rows; r >= 1; r-- {
		s.wideTile(r)
	}
}

// widenRows writes rows of whole cache lines of bfloat16 as float32, and brings
// as much of the rows that lie ahead bytes behind to the second cache.
func (s isa) widenRows() {
	p("\n// func widenRows%s(dst *float32, src *uint16, lines, rows, dstRow, srcRow, ahead int)", s.name)
	p("TEXT ·widenRows%s(SB), NOSPLIT, $0-56", s.name)
	p("\tMOVQ dst+0(FP), DI\n\tMOVQ src+8(FP), SI\n\tMOVQ rows+24(FP), DX")
	p("\tMOVQ dstRow+32(FP), R8\n\tMOVQ srcRow+40(FP), R9\n\tMOVQ ahead+48(FP), R10")
	p("row:\n\tMOVQ lines+16(FP), CX\n\tMOVQ DI, AX\n\tMOVQ SI, BX\nline:\n\tPREFETCHT1 (BX)(R10*1)")
	for i := range 128 / s.bytes {
		p("\tVPMOVZXWD %d(BX), %s%d", i*s.bytes/2, s.r, i)
		s.op("VPSLLD", "$16", i, i)
		s.store(i, fmt.Sprintf("%d(AX)", i*s.bytes))
	}
	p("\tADDQ $64, BX\n\tADDQ $128, AX\n\tDECQ CX\n\tJNZ line")
	p("\tADDQ R8, DI\n\tADDQ R9, SI\n\tDECQ DX\n\tJNZ row\n\tVZEROUPPER\n\tRET")
}

func wideKernels() {
	header()
	for _, s := range sets {
		s.microWide()
		s.widenRows()
	}
	save("wide_amd64.s")
}
