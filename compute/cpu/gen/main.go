// gen writes ../*_amd64.s: the inner loops for AVX2 with FMA and for
// AVX-512. Run it with "go generate ./compute/cpu".
package main

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"strings"
)

var w bytes.Buffer

func p(format string, a ...any) { fmt.Fprintf(&w, format+"\n", a...) }

// isa is an instruction set: R is the letter of its registers.
type isa struct {
	name  string
	r     string
	bytes int // of a register
	rows  int // of the largest tile; its columns are two registers
	held  int // of the registers that hold what expNegative needs, the first; 0: it lies in memory
}

var sets = []isa{{"AVX2", "Y", 32, 6, 0}, {"AVX512", "Z", 64, 14, 0}}

func (s isa) zero(reg int) {
	if s.r == "Z" {
		p("\tVPXORD Z%d, Z%d, Z%d", reg, reg, reg)
	} else {
		p("\tVXORPS Y%d, Y%d, Y%d", reg, reg, reg)
	}
}

// tile writes the rows x 2 registers kernel. SI, DI: row 0 and 7 of A; BX: B;
// DX: C; CX: k; R8, R12, R13: 1, 3, 5 row strides; R9: k stride; R10: C stride.
func (s isa) tile(rows int) {
	mul := [7]string{"", "(R8*1)", "(R8*2)", "(R12*1)", "(R8*4)", "(R13*1)", "(R12*2)"}
	b := 2 * s.rows
	p("\nstart%d:", rows)
	p("\tLEAQ (R8)(R8*2), R12\n\tLEAQ (R8)(R8*4), R13")
	p("\tLEAQ (SI)(R12*2), DI\n\tADDQ R8, DI // row 7")
	p("\tTESTQ AX, AX\n\tJNZ load%d", rows)
	for i := range 2 * rows {
		s.zero(i)
	}
	p("\tJMP loop%d\nload%d:\n\tMOVQ DX, AX", rows, rows)
	for i := range rows {
		p("\tVMOVUPS (AX), %s%d\n\tVMOVUPS %d(AX), %s%d", s.r, 2*i, s.bytes, s.r, 2*i+1)
		if i < rows-1 {
			p("\tADDQ R10, AX")
		}
	}
	p("\tPCALIGN $64\nloop%d:", rows)
	p("\tVMOVUPS (BX), %s%d\n\tVMOVUPS %d(BX), %s%d", s.r, b, s.bytes, s.r, b+1)
	for i := range rows {
		base, t := "SI", b+2+i%2
		if i >= 7 {
			base = "DI"
		}
		p("\tVBROADCASTSS (%s)%s, %s%d", base, mul[i%7], s.r, t)
		p("\tVFMADD231PS %s%d, %s%d, %s%d", s.r, b, s.r, t, s.r, 2*i)
		p("\tVFMADD231PS %s%d, %s%d, %s%d", s.r, b+1, s.r, t, s.r, 2*i+1)
	}
	p("\tADDQ R9, SI\n\tADDQ R9, DI\n\tADDQ $%d, BX\n\tDECQ CX\n\tJNZ loop%d", 2*s.bytes, rows)
	for i := range rows {
		p("\tVMOVUPS %s%d, (DX)\n\tVMOVUPS %s%d, %d(DX)", s.r, 2*i, s.r, 2*i+1, s.bytes)
		if i < rows-1 {
			p("\tADDQ R10, DX")
		}
	}
	p("\tVZEROUPPER\n\tRET")
}

func (s isa) micro() {
	p("\n// func micro%s(t *tile[float32])\nTEXT ·micro%s(SB), NOSPLIT, $0-8", s.name, s.name)
	p("\tMOVQ t+0(FP), DI")
	for _, f := range []struct {
		at  int
		reg string
	}{{0, "SI"}, {24, "BX"}, {48, "DX"}, {72, "CX"}, {80, "R8"}, {88, "R9"}, {96, "R10"}, {104, "R12"}, {112, "AX"}} {
		p("\tMOVQ %d(DI), %s", f.at, f.reg)
	}
	p("\tSHLQ $2, R8\n\tSHLQ $2, R9\n\tSHLQ $2, R10")
	for r := s.rows; r >= 1; r-- {
		p("\tCMPQ R12, $%d\n\tJEQ start%d", r, r)
	}
	p("\tRET")
	for r := s.rows; r >= 1; r-- {
		s.tile(r)
	}
}

// expConst: low and high clamp, what added rounds to an integer, log2 e, ln 2 in
// two, the polynomial from degree 6 down (see exp32), each filling 64 bytes so
// that it can be a memory operand.
var expConst = []float32{-87, 89, 3 << 22, math.Log2E, 0.693359375, -2.12194440e-4,
	0x1.6b6e18p-10, 0x1.122fc2p-7, 0x1.555688p-5, 0x1.5554a4p-3, 0.5, 1, 1}

// constants writes the data that the kernels of all files read.
func constants() {
	header()
	for i, c := range expConst {
		for l := range 16 {
			p("DATA ·expConst+%d(SB)/4, $0x%08x", 64*i+4*l, math.Float32bits(c))
		}
	}
	n := 64 * len(expConst)
	for l := range 16 {
		p("DATA ·expConst+%d(SB)/4, $127", n+4*l)
	}
	p("GLOBL ·expConst(SB), RODATA|NOPTR, $%d", n+64)
	for l := range 128 { // the columns of a tile of scores
		p("DATA ·laneNumbers+%d(SB)/4, $%d", 4*l, l)
	}
	p("GLOBL ·laneNumbers(SB), RODATA|NOPTR, $512")
	p("DATA ·lowest(SB)/4, $0xff7fffff\nGLOBL ·lowest(SB), RODATA|NOPTR, $4")
	for i, c := range sigmoidConst {
		for l := range 16 {
			p("DATA ·sigmoidConst+%d(SB)/4, $0x%08x", 64*i+4*l, c)
		}
	}
	p("GLOBL ·sigmoidConst(SB), RODATA|NOPTR, $%d", 64*len(sigmoidConst))
	save("constants_amd64.s")
}

// expc is the address of a constant of exp.
func expc(i int) string { return fmt.Sprintf("·expConst+%d(SB)", 64*i) }

// hold keeps the constants of expNegative in 11 registers from reg on, where there
// are so many: to load them again is as slow as the arithmetic.
func (s isa) hold(reg int) isa {
	if s.r == "Z" {
		s.held = reg
	}
	return s
}

// loadHeld loads the registers of hold.
func (s isa) loadHeld() {
	for i := range len(expConst) - 1 {
		if s.held != 0 && i != 1 { // 1: the upper clamp
			p("\tVMOVUPS %s, %s", expc(i), s.expc(i))
		}
	}
}

// expc is a constant of exp as an operand; the last two are equal.
func (s isa) expc(i int) string {
	switch {
	case s.held == 0 || i == 1:
		return expc(i)
	case i == 0:
		return fmt.Sprintf("%s%d", s.r, s.held)
	}
	return fmt.Sprintf("%s%d", s.r, s.held+min(i, len(expConst)-2)-1)
}

// expNegative is exp of what is not above 0.
func (s isa) expNegative() { s.expChain(0, 1, 2, 3, 3) }

// expChain is expNegative in other registers: y = e^x, x clamped, n and r
// clobbered, and of AVX-512 the mask k. r may be x.
func (s isa) expChain(x, y, n, r, k int) {
	c := s.expc
	if s.held != 0 {
		s.op("VMAXPS", x, c(0), x)
	} else {
		s.load(c(0), n)
		s.op("VMAXPS", x, n, x)
	}
	if s.r == "Z" {
		p("\tVCMPPS $22, %s, Z%d, K%d // not <=: NaN passes", c(0), x, k)
	}
	set := func(i, reg int) {
		if s.held != 0 {
			s.op("VMOVAPS", c(i), reg)
		} else {
			s.load(c(i), reg)
		}
	}
	set(2, n) // the rounding instructions take two steps, and the chain is as long as what a core looks ahead at
	s.op("VFMADD231PS", c(3), x, n)
	s.op("VSUBPS", c(2), n, n)
	if r != x {
		s.op("VMOVAPS", x, r)
	}
	s.op("VFNMADD231PS", c(4), n, r)
	s.op("VFNMADD231PS", c(5), n, r)
	set(6, y)
	for i := 7; i <= 12; i++ {
		s.op("VFMADD213PS", c(i), r, y)
	}
	if s.r == "Z" {
		// A result below the normal numbers would be made by microcode, 150 cycles long.
		p("\tVSCALEFPS.Z Z%d, Z%d, K%d, Z%d", n, y, k, y)
		return
	}
	bias := c(len(expConst)) // in two factors: 2^n alone may overflow
	p("\tVCVTPS2DQ Y%d, Y%d\n\tVPSRAD $1, Y%d, Y%d\n\tVPSUBD Y%d, Y%d, Y%d", n, n, n, r, r, n, n)
	for _, f := range []int{r, n} {
		p("\tVPADDD %s, Y%d, Y%d\n\tVPSLLD $23, Y%d, Y%d\n\tVMULPS Y%d, Y%d, Y%d", bias, f, f, f, f, f, y, y)
	}
	p("\tVCMPPS $22, %s, Y%d, Y%d\n\tVANDPS Y%d, Y%d, Y%d // not <=: NaN passes", c(0), x, n, n, y, y)
}

// interleaved writes f(0) to f(n-1), which depend on nothing of each other, line
// by line in turn: in a row, one chain of dependent instructions fills what a
// core can look ahead at.
func interleaved(n int, f func(i int)) {
	before := bytes.Clone(w.Bytes())
	chains := make([][]string, n)
	for i := range chains {
		w.Reset()
		f(i)
		chains[i] = strings.Split(strings.TrimSuffix(w.String(), "\n"), "\n")
	}
	w.Reset()
	w.Write(before)
	for l := range chains[0] {
		for _, c := range chains {
			p("%s", c[l])
		}
	}
}

// expSum writes the loop x = e^(x - shift) over whole 16s, adding to 16 lanes. NaN
// comes through because it is the second source of the clamps.
func (s isa) expSum() {
	s = s.hold(16)
	shift, top, sums := 4, 7, 5
	if s.r == "Z" {
		shift, top, sums = 27, 28, 29
	}
	p("\n// func expSum%s(x *float32, n int, shift float32, sum *[16]float32)", s.name)
	p("TEXT ·expSum%s(SB), NOSPLIT, $0-32", s.name)
	p("\tMOVQ x+0(FP), SI\n\tMOVQ n+8(FP), CX\n\tVBROADCASTSS shift+16(FP), %s%d\n\tMOVQ sum+24(FP), DI", s.r, shift)
	s.load(expc(1), top)
	s.loadHeld()
	regs := 64 / s.bytes
	for i := range regs {
		p("\tVMOVUPS %d(DI), %s%d", i*s.bytes, s.r, sums+i)
	}
	steps := []int{4, 1} // registers at once
	free := []int{0, 4, 8, 12}
	if s.r == "Y" {
		steps, free = []int{2}, []int{0, 8}
	}
	atOnce("loop", steps, s.bytes/4, func(n int) {
		interleaved(n, func(i int) {
			x := free[i]
			p("\tVMOVUPS %d(SI), %s%d", i*s.bytes, s.r, x)
			s.op("VSUBPS", shift, x, x)
			s.op("VMINPS", x, top, x)
			s.expChain(x, x+1, x+2, x+3, 1+i)
			p("\tVMOVUPS %s%d, %d(SI)", s.r, x+1, i*s.bytes)
		})
		for i := range n {
			s.op("VADDPS", free[i]+1, sums+i%regs, sums+i%regs)
		}
		p("\tADDQ $%d, SI", n*s.bytes)
	})
	for i := range regs {
		p("\tVMOVUPS %s%d, %d(DI)", s.r, sums+i, i*s.bytes)
	}
	p("\tVZEROUPPER\n\tRET")
}

// headRow folds 16 n logits into a headState and returns the number of
// candidates; see headRowGo. AVX2 has two halves of 8 lanes: the state's halves
// are passed over one after another, and ids interleave.
func (s isa) headRow() {
	r := s.r
	p("\n// func headRow%s(s *headState[float32], x *float32, n, first int, val *float32, id *int32) int", s.name)
	p("TEXT ·headRow%s(SB), NOSPLIT, $0-56", s.name)
	p("\tMOVQ s+0(FP), DI\n\tVBROADCASTSS 256(DI), %s6 // target\n\tVBROADCASTSS 260(DI), %s7 // least", r, r)
	p("\tMOVQ val+32(FP), R8\n\tMOVQ id+40(FP), R9\n\tMOVQ first+24(FP), R10\n\tXORQ BX, BX")
	p("\tMOVQ x+8(FP), SI\n\tMOVQ n+16(FP), CX")
	if r == "Z" {
		p("\tVPTERNLOGD $255, Z10, Z10, Z10 // -1\n\tVMOVUPS 192(DI), Z5\n\tVBROADCASTSS ·lowest(SB), Z4")
		for i := range 3 {
			p("\tVMOVAPS Z4, Z%d", 12+i)
		}
		atOnce("first", []int{4, 1}, 1, func(n int) { // a maximum waits for itself: four of them
			for i, top := range []int{4, 12, 13, 14}[:n] {
				p("\tVMOVUPS %d(SI), Z%d\n\tVMAXPS Z%d, Z%d, Z%d // NaN: the maximum stays", 64*i, i, top, i, top)
				p("\tVCMPPS $14, Z6, Z%d, K%d\n\tVPSUBD Z10, Z5, K%d, Z5", i, 2+i, 2+i)
			}
			p("\tADDQ $%d, SI", 64*n)
		})
		p("\tVMAXPS Z12, Z4, Z4\n\tVMAXPS Z13, Z14, Z14\n\tVMAXPS Z14, Z4, Z4")
		p("\tVMOVUPS (DI), Z11\n\tVCMPPS $14, Z7, Z4, K1\n\tVMAXPS Z4, Z11, Z4\n\tKORTESTW K1, K1\n\tJEQ sums // as for most tiles")
		p("\tVPBROADCASTD R10, Z8\n\tVPADDD ·laneNumbers(SB), Z8, Z8\n\tMOVL $16, AX\n\tVPBROADCASTD AX, Z9")
		p("\tMOVQ x+8(FP), SI\n\tMOVQ n+16(FP), CX\nnext:\n\tVMOVUPS (SI), Z0\n\tVCMPPS $14, Z7, Z0, K1\n\tKORTESTW K1, K1\n\tJEQ none")
		// To a register, then to memory: the memory form is microcoded on some CPUs.
		p("\tVCOMPRESSPS Z0, K1, Z1\n\tVPCOMPRESSD Z8, K1, Z2\n\tVMOVUPS Z1, (R8)(BX*4)\n\tVMOVUPS Z2, (R9)(BX*4)")
		p("\tKMOVW K1, AX\n\tPOPCNTL AX, AX\n\tADDQ AX, BX")
		p("none:\n\tVPADDD Z9, Z8, Z8\n\tADDQ $64, SI\n\tDECQ CX\n\tJNZ next\nsums:")
	} else {
		p("\tVMOVUPS (DI), Y4\n\tVMOVUPS 192(DI), Y5\n\tVMOVUPS 32(DI), Y8\n\tVMOVUPS 224(DI), Y9")
		p("first:")
		for half, reg := range [2][2]int{{4, 5}, {8, 9}} {
			p("\tVMOVUPS %d(SI), Y%d\n\tVMAXPS Y%d, Y%d, Y%d // NaN: the maximum stays", 32*half, half, reg[0], half, reg[0])
			p("\tVCMPPS $14, Y6, Y%d, Y2\n\tVPSUBD Y2, Y%d, Y%d", half, reg[1], reg[1])
			p("\tVCMPPS $14, Y7, Y%d, Y3\n\tVMOVMSKPS Y3, %s", half, [2]string{"AX", "DX"}[half])
		}
		p("\tSHLL $8, DX\n\tORL DX, AX\n\tJEQ none")
		p("next:\n\tBSFL AX, DX\n\tMOVL (SI)(DX*4), R11\n\tMOVL R11, (R8)(BX*4)\n\tADDL R10, DX\n\tMOVL DX, (R9)(BX*4)\n\tINCQ BX")
		p("\tLEAL -1(AX), DX\n\tANDL DX, AX\n\tJNE next")
		p("none:\n\tADDQ $16, R10\n\tADDQ $64, SI\n\tDECQ CX\n\tJNZ first")
		p("\tVMOVUPS Y5, 192(DI)\n\tVMOVUPS Y9, 224(DI)\n\tVMOVAPS Y4, Y12\n\tVMOVAPS Y8, Y13 // new maxima")
	}
	if r == "Z" {
		s.headSums()
		return
	}
	for g := 0; g < 64; g += s.bytes {
		p("\tVMOVUPS %d(DI), Y11\n\tVMOVAPS Y%d, Y4", g, 12+g/32)
		p("\tVMOVUPS %d(DI), %s8 // sum\n\tVMOVUPS %d(DI), %s9 // weighted sum\n\tVSUBPS %s4, %s11, %s0", 64+g, r, 128+g, r, r, r, r)
		s.expNegative()
		p("\tVFMADD231PS %s0, %s8, %s9\n\tVMULPS %s1, %s8, %s8\n\tVMULPS %s1, %s9, %s9", r, r, r, r, r, r, r, r, r)
		p("\tMOVQ x+8(FP), SI\n\tMOVQ n+16(FP), CX\nsecond%d:\n\tVMOVUPS %d(SI), %s0\n\tVSUBPS %s4, %s0, %s0", g, g, r, r, r, r)
		s.expNegative()
		p("\tVADDPS %s1, %s8, %s8\n\tVFMADD231PS %s0, %s1, %s9\n\tADDQ $64, SI\n\tDECQ CX\n\tJNZ second%d", r, r, r, r, r, r, g)
		p("\tVMOVUPS %s4, %d(DI)\n\tVMOVUPS %s8, %d(DI)\n\tVMOVUPS %s9, %d(DI)", r, g, r, 64+g, r, 128+g)
	}
	p("\tMOVQ BX, ret+48(FP)\n\tVZEROUPPER\n\tRET")
}

// headSums is headRow's second pass: four exponentials at once, added in order.
// Z11 and Z4 hold the old and the new maxima.
func (s isa) headSums() {
	s = s.hold(16)
	s.loadHeld()
	p("\tVMOVUPS Z5, 192(DI)\n\tVMOVAPS Z4, Z27\n\tVMOVUPS Z27, (DI)")
	p("\tVMOVUPS 64(DI), Z28 // sum\n\tVMOVUPS 128(DI), Z29 // weighted sum\n\tVSUBPS Z27, Z11, Z0")
	s.expNegative()
	p("\tVFMADD231PS Z0, Z28, Z29\n\tVMULPS Z1, Z28, Z28\n\tVMULPS Z1, Z29, Z29")
	p("\tMOVQ x+8(FP), SI\n\tMOVQ n+16(FP), CX")
	atOnce("sums", []int{4, 1}, 1, func(n int) {
		interleaved(n, func(i int) {
			p("\tVMOVUPS %d(SI), Z%d\n\tVSUBPS Z27, Z%d, Z%d", 64*i, 4*i, 4*i, 4*i)
			s.expChain(4*i, 4*i+1, 4*i+2, 4*i+3, 1+i)
		})
		for i := range n {
			p("\tVADDPS Z%d, Z28, Z28\n\tVFMADD231PS Z%d, Z%d, Z29", 4*i+1, 4*i, 4*i+1)
		}
		p("\tADDQ $%d, SI", 64*n)
	})
	p("\tVMOVUPS Z28, 64(DI)\n\tVMOVUPS Z29, 128(DI)\n\tMOVQ BX, ret+48(FP)\n\tVZEROUPPER\n\tRET")
}

// save writes what has been emitted since the last call.
func save(name string) {
	if err := os.WriteFile(name, w.Bytes(), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	w.Reset()
}

func header() { p("// Code generated by gen; DO NOT EDIT.\n\n#include \"textflag.h\"\n") }

func main() {
	constants()
	header()
	for _, s := range sets {
		s.micro()
		s.expSum()
		s.headRow()
	}
	save("kernels_amd64.s")
	bf16Kernels()
	wideKernels()
	packKernels()
	attentionKernels()
	vectorKernels()
	peakKernels()
}
