package main

import (
	"fmt"
	"math"
)

// Element-wise loops over whole 16s; Go handles what is left in a padded copy.
// In a body, o is the offset of the current register's part of the 16 elements.

// op writes "OP src2, src1, dst" with register numbers, or a memory operand as string.
func (s isa) op(name string, regs ...any) {
	p("\t%s", s.line(name, regs...))
}

func (s isa) line(name string, regs ...any) string {
	if s.r == "Z" && (name == "VPAND" || name == "VPOR") {
		name += "D" // of 512 bits they name the width of an element
	}
	out := name
	for i, r := range regs {
		sep := ", "
		if i == 0 {
			sep = " "
		}
		if n, ok := r.(int); ok {
			out += fmt.Sprintf("%s%s%d", sep, s.r, n)
		} else {
			out += fmt.Sprintf("%s%v", sep, r)
		}
	}
	return out
}

var pointers = []string{"SI", "DI", "R8", "R9", "R10", "R11"}

// loop declares name<ISA>(args, n int, more) and runs body for each register of
// each 16 elements; sizes are the bytes of an element of each pointer, in order.
func (s isa) loop(name, args, more string, frame int, sizes []int, setup func(), body func(o func(i int) string)) {
	s.enter(name, args, more, frame, sizes)
	setup()
	p("loop:")
	for g := 0; g < 64; g += s.bytes {
		body(func(i int) string { return fmt.Sprintf("%d(%s)", g*sizes[i]/4, pointers[i]) })
	}
	for i, size := range sizes {
		p("\tADDQ $%d, %s", 16*size, pointers[i])
	}
	p("\tSUBQ $16, CX\n\tJNZ loop")
}

// enter declares a function and loads its arguments: n is in CX.
func (s isa) enter(name, args, more string, frame int, sizes []int) {
	p("\n// func %s%s(%s, n int%s)\nTEXT ·%s%s(SB), NOSPLIT, $0-%d", name, s.name, args, more, name, s.name, frame)
	names := argNames(args)
	for i := range sizes {
		p("\tMOVQ %s+%d(FP), %s", names[i], 8*i, pointers[i])
	}
	p("\tMOVQ n+%d(FP), CX", 8*len(sizes))
}

// chains is loop where the instructions of a register wait for each other: of
// AVX-512, most registers at once and the rest one by one. c and k are the
// registers and the mask that the body may use.
func (s isa) chains(name, args, more string, frame int, sizes []int, setup func(), most int, body func(c []int, k int, o func(i int) string)) {
	if s.r == "Y" {
		s.loop(name, args, more, frame, sizes, setup, func(o func(i int) string) { body(s.chain(0, 1), 0, o) })
		return
	}
	s.enter(name, args, more, frame, sizes)
	setup()
	atOnce("loop", []int{most, 1}, 16, func(n int) {
		interleaved(n, func(j int) {
			body(s.chain(j, n), 1+j, func(i int) string { return fmt.Sprintf("%d(%s)", 16*j*sizes[i], pointers[i]) })
		})
		for i, size := range sizes {
			p("\tADDQ $%d, %s", 16*n*size, pointers[i])
		}
	})
}

// atOnce writes a loop for each of steps, which takes so many registers at once, of
// per elements each, while CX says that there are as many. What is left goes to
// the next loop.
func atOnce(label string, steps []int, per int, f func(n int)) {
	for _, n := range steps {
		p("\tSUBQ $%d, CX\n\tJLT %sdone%d\n\tPCALIGN $32\n%s%d:", per*n, label, n, label, n)
		f(n)
		p("\tSUBQ $%d, CX\n\tJGE %s%d\n%sdone%d:\n\tADDQ $%d, CX", per*n, label, n, label, n, per*n)
	}
}

func argNames(args string) (names []string) {
	word := ""
	for _, c := range args + "," {
		switch c {
		case ',', ' ':
			if word != "" && word[0] != '*' {
				names = append(names, word)
			}
			word = ""
		default:
			word += string(c)
		}
	}
	return names
}

func ret() { p("\tVZEROUPPER\n\tRET") }

func (s isa) load(mem string, reg int)  { s.op("VMOVUPS", mem, reg) }
func (s isa) store(reg int, mem string) { s.op("VMOVUPS", reg, mem) }

// reductions keep 16 lanes, so that a sum does not depend on the register's width.
func (s isa) reduce(name, args string, sizes []int, f func(o func(i int) string, acc int)) {
	p("\n// func %s%s(%s, n int, lane *[16]float32)\nTEXT ·%s%s(SB), NOSPLIT, $0-%d", name, s.name, args, name, s.name, 8*len(sizes)+16)
	names := argNames(args)
	for i := range sizes {
		p("\tMOVQ %s+%d(FP), %s", names[i], 8*i, pointers[i])
	}
	p("\tMOVQ n+%d(FP), CX\n\tMOVQ lane+%d(FP), DX", 8*len(sizes), 8*len(sizes)+8)
	for g := 0; g < 64; g += s.bytes {
		s.load(fmt.Sprintf("%d(DX)", g), 8+g/s.bytes)
	}
	p("loop:")
	for g := 0; g < 64; g += s.bytes {
		f(func(i int) string { return fmt.Sprintf("%d(%s)", g*sizes[i]/4, pointers[i]) }, 8+g/s.bytes)
	}
	for i, size := range sizes {
		p("\tADDQ $%d, %s", 16*size, pointers[i])
	}
	p("\tSUBQ $16, CX\n\tJNZ loop")
	for g := 0; g < 64; g += s.bytes {
		s.store(8+g/s.bytes, fmt.Sprintf("%d(DX)", g))
	}
	ret()
}

func (s isa) broadcast(arg string, reg int) { s.op("VBROADCASTSS", arg, reg) }

// roundInt rounds the floats of reg to bfloat16, nearest even, leaving 32-bit
// integers below 2^16 in reg; a NaN keeps its upper half with the quiet bit.
// Registers 12 to 14 hold 0x7fff, 1 and 64. Clobbers 2, 3 and 4.
func (s isa) roundInt(reg int) {
	s.op("VPSRLD", "$16", reg, 2)
	s.op("VPAND", 13, 2, 3) // the lowest bit that stays
	s.op("VPADDD", 12, 3, 3)
	s.op("VPADDD", reg, 3, 3)
	s.op("VPSRLD", "$16", 3, 3)
	s.op("VPOR", 14, 2, 2)
	if s.r == "Z" {
		s.op("VCMPPS", "$3", reg, reg, "K1") // unordered
		s.op("VMOVDQA32", 2, "K1", 3)
		s.op("VMOVDQA64", 3, reg)
		return
	}
	s.op("VCMPPS", "$3", reg, reg, 4)
	s.op("VBLENDVPS", 4, 2, 3, reg)
}

func (s isa) roundConstants() {
	for i, c := range []string{"0x7fff", "1", "64"} {
		p("\tMOVL $%s, AX\n\tMOVQ AX, X%d", c, 12+i)
		s.op("VPBROADCASTD", fmt.Sprintf("X%d", 12+i), 12+i)
	}
}

// sigmoidConst: the sign of a float, and the quadratic that is closest to 1/x in
// [1, 2] by relative error, from degree 2 down: 1 - x p(x) = T3(3 - 2x) / T3(3),
// with T3 Chebyshev's polynomial.
var sigmoidConst = []uint32{1 << 31, math.Float32bits(32. / 99), math.Float32bits(-144. / 99), math.Float32bits(210. / 99)}

// sigmoidConstants: registers 8 and 10 to 12, and 1 in 9.
func (s isa) sigmoidConstants() {
	for i, reg := range []int{8, 10, 11, 12} {
		s.load(fmt.Sprintf("·sigmoidConst+%d(SB)", 64*i), reg)
	}
	s.load(expc(12), 9)
	s.loadHeld()
}

// chain are registers beside sigmoidConstants and those of hold: of AVX-512 the
// i-th of n sets, of AVX2 the only one.
func (s isa) chain(i, n int) []int {
	if s.r == "Y" {
		return []int{7, 4, 0, 1, 3, 6, 13}
	}
	free := []int{0, 1, 2, 3, 4, 5, 6, 7, 13, 14, 15, 27, 28, 29, 30, 31}
	size := len(free) / n
	return free[i*size:][:size]
}

// sigmoid: register y = 1 / (1 + e^-g). With t = e^-|g| and d = 1 + t in [1, 2]
// it is 1/d or t/d, which neither overflows nor is denormal. 1/d =
// z (1 + e + e^2 + ...) with e = 1 - d z is off by e^4 < 2e-8: a division takes
// three times as long, and hardware's approximations differ. In the
// registers c of a chain: g, y, two more, of AVX2 a third, of AVX-512 the mask k.
func (s isa) sigmoid(c []int, k int) {
	g, y, x, t := c[0], c[1], c[2], c[3]
	r := x
	if s.r == "Y" {
		r = c[4] // what blends
	}
	s.op("VPOR", 8, g, x)
	s.expChain(x, t, y, r, k)
	s.op("VADDPS", 9, t, y) // d
	s.op("VMOVAPS", 10, x)
	s.op("VFMADD213PS", 11, y, x)
	s.op("VFMADD213PS", 12, y, x) // z
	s.op("VFNMADD213PS", 9, x, y) // e
	s.op("VFMADD213PS", x, y, x)  // z (1 + e)
	s.op("VMULPS", y, y, y)
	s.op("VFMADD213PS", x, x, y) // z (1 + e) (1 + e^2)
	if s.r == "Z" {
		p("\tVPTESTMD Z8, Z%d, K%d\n\tVMULPS Z%d, Z%d, K%d, Z%d", g, k, t, y, k, y)
		return
	}
	s.op("VBLENDVPS", g, t, 9, r)
	s.op("VMULPS", r, y, y)
}

// swiglu: register c[1] = silu(gate) * up; see sigmoid.
func (s isa) swiglu(gate, up string, c []int, k int) {
	s.load(gate, c[0])
	s.sigmoid(c, k)
	s.op("VMULPS", c[1], c[0], c[1])
	s.op("VMULPS", up, c[1], c[1])
}

// swigluBack: of a chain's registers g, t, dy and x = dgate, dup and silu(gate) * up
// of the gate in g, dy and up in u.
func (s isa) swigluBack(c []int, k int) (t, dy, x int) {
	g, y, x, t, u, dy := c[0], c[1], c[2], c[3], c[5], c[6]
	s.sigmoid(c, k)
	s.op("VMULPS", y, g, x) // silu
	s.op("VMULPS", u, dy, t)
	s.op("VSUBPS", y, 9, g)
	s.op("VFMADD213PS", y, x, g) // s + silu (1 - s)
	s.op("VMULPS", x, dy, dy)
	s.op("VMULPS", g, t, t)
	s.op("VMULPS", u, x, x)
	return t, dy, x
}

// turn rotates registers 0 and 1 by the cosine in 2 and the sine in 3. Clobbers 5 and 6.
func (s isa) turn() {
	s.op("VMULPS", 3, 1, 5)
	s.op("VMULPS", 3, 0, 6)
	s.op("VFMSUB213PS", 5, 2, 0) // x1 c - x2 s
	s.op("VFMADD213PS", 6, 2, 1) // x2 c + x1 s
}

func (s isa) vectors() {
	f := 4 // bytes of a float32
	none := func() {}
	s.reduce("dot", "a, b *float32", []int{f, f}, func(o func(i int) string, acc int) {
		s.load(o(0), 0)
		s.op("VFMADD231PS", o(1), 0, acc)
	})
	s.reduce("dot3", "a, b, c *float32", []int{f, f, f}, func(o func(i int) string, acc int) {
		s.load(o(0), 0)
		s.op("VMULPS", o(1), 0, 0)
		s.op("VFMADD231PS", o(2), 0, acc)
	})
	s.reduce("max", "x *float32", []int{f}, func(o func(i int) string, acc int) {
		s.load(o(0), 0)
		s.op("VMAXPS", acc, 0, acc) // NaN: the maximum stays
	})
	s.loop("axpy", "dst, x *float32", ", a float32", 28, []int{f, f}, func() { s.broadcast("a+24(FP)", 4) }, func(o func(i int) string) {
		s.load(o(0), 0)
		s.op("VFMADD231PS", o(1), 4, 0)
		s.store(0, o(0))
	})
	ret()
	s.loop("addAhead", "dst, x *float32", ", ahead int", 32, []int{f, f}, func() { p("\tMOVQ ahead+24(FP), AX") }, func(o func(i int) string) {
		if o(0) == "0(SI)" { // once for a cache line
			p("\tBYTE $0x0f; BYTE $0x0d; BYTE $0x0c; BYTE $0x06 // PREFETCHW (SI)(AX*1)")
		}
		s.load(o(0), 0)
		s.op("VADDPS", o(1), 0, 0)
		s.store(0, o(0))
	})
	ret()
	s.loop("stream", "dst, src *float32", "", 24, []int{f, f}, none, func(o func(i int) string) {
		s.load(o(1), 0)
		s.op("VMOVNTPS", 0, o(0))
	})
	ret()
	s.loop("sumStream", "dst, x, y *float32", "", 32, []int{f, f, f}, none, func(o func(i int) string) {
		s.load(o(1), 0)
		s.op("VADDPS", o(2), 0, 0)
		s.op("VMOVNTPS", 0, o(0))
	})
	ret()
	s.loop("scale", "dst, x *float32", ", a float32", 28, []int{f, f}, func() { s.broadcast("a+24(FP)", 4) }, func(o func(i int) string) {
		s.op("VMULPS", o(1), 4, 0)
		s.store(0, o(0))
	})
	ret()
	s.loop("norm", "dst, x, w *float32", ", a float32", 36, []int{f, f, f}, func() { s.broadcast("a+32(FP)", 4) }, func(o func(i int) string) {
		s.op("VMULPS", o(1), 4, 0)
		s.op("VMULPS", o(2), 0, 0)
		s.store(0, o(0))
	})
	ret()
	// dst += a (y w - x b), the row part of RMSNorm's gradient.
	s.loop("normBack", "dst, y, x, w *float32", ", a, b float32", 48, []int{f, f, f, f}, func() { s.broadcast("a+40(FP)", 4); s.broadcast("b+44(FP)", 5) }, func(o func(i int) string) {
		s.load(o(1), 0)
		s.op("VMULPS", o(3), 0, 0)
		s.load(o(2), 1)
		s.op("VFNMADD231PS", 5, 1, 0)
		s.load(o(0), 1)
		s.op("VFMADD231PS", 4, 0, 1)
		s.store(1, o(0))
	})
	ret()
	// dst += a x y, its column part.
	s.loop("mulAdd", "dst, x, y *float32", ", a float32", 36, []int{f, f, f}, func() { s.broadcast("a+32(FP)", 4) }, func(o func(i int) string) {
		s.op("VMULPS", o(1), 4, 0)
		s.load(o(0), 1)
		s.op("VFMADD231PS", o(2), 0, 1)
		s.store(1, o(0))
	})
	ret()
	s.loop("rope", "x1, x2, cos, sin *float32", ", sign float32", 44, []int{f, f, f, f}, func() { s.broadcast("sign+40(FP)", 4) }, func(o func(i int) string) {
		s.load(o(0), 0)
		s.load(o(1), 1)
		s.load(o(2), 2)
		s.op("VMULPS", o(3), 4, 3)
		s.turn()
		s.store(0, o(0))
		s.store(1, o(1))
	})
	ret()
	s = s.hold(16)
	s.chains("swiglu", "dst, gate, up *float32", "", 32, []int{f, f, f}, s.sigmoidConstants, 4, func(c []int, k int, o func(i int) string) {
		s.swiglu(o(1), o(2), c, k)
		s.store(c[1], o(0))
	})
	ret()
	s.chains("swigluBack", "dgate, dup, dy, gate, up *float32", "", 48, []int{f, f, f, f, f}, s.sigmoidConstants, 2, func(c []int, k int, o func(i int) string) {
		s.load(o(3), c[0])
		s.load(o(4), c[5])
		s.load(o(2), c[6])
		dgate, dup, act := s.swigluBack(c, k)
		s.store(dgate, o(0))
		s.store(dup, o(1))
		s.store(act, o(2))
	})
	ret()
	s.loop("adamw", "p, dp, m, v *float32", ", c *adamwCoef[float32]", 48, []int{f, f, f, f}, func() {
		p("\tMOVQ c+40(FP), AX")
		for i := range 9 {
			s.op("VBROADCASTSS", fmt.Sprintf("%d(AX)", 4*i), 7+i)
		}
	}, func(o func(i int) string) {
		s.op("VMULPS", o(1), 7, 0) // scale g
		s.op("VMULPS", 0, 0, 1)
		s.op("VMULPS", 10, 0, 0)
		s.load(o(2), 2)
		s.op("VFMADD213PS", 0, 9, 2) // m
		s.store(2, o(2))
		s.op("VMULPS", 12, 1, 1)
		s.load(o(3), 3)
		s.op("VFMADD213PS", 1, 11, 3) // v
		s.store(3, o(3))
		s.op("VSQRTPS", 3, 3)
		s.op("VFMADD213PS", 15, 14, 3) // sqrt(v)/sqrt(bias) + eps
		s.op("VMULPS", 13, 2, 2)
		s.op("VDIVPS", 3, 2, 2)
		s.op("VMULPS", o(0), 8, 0)
		s.op("VSUBPS", 2, 0, 0)
		s.store(0, o(0))
	})
	ret()
	s.loop("widen", "dst *float32, src *uint16", "", 24, []int{f, 2}, none, func(o func(i int) string) {
		s.op("VPMOVZXWD", o(1), 0)
		s.op("VPSLLD", "$16", 0, 0)
		s.store(0, o(0))
	})
	ret()
	s.loop("round", "dst, src *float32", "", 24, []int{f, f}, s.roundConstants, func(o func(i int) string) {
		s.load(o(1), 0)
		s.roundInt(0)
		s.op("VPSLLD", "$16", 0, 0)
		s.store(0, o(0))
	})
	ret()
	s.loop("narrow", "dst *uint16, src *float32", "", 24, []int{2, f}, s.roundConstants, func(o func(i int) string) {
		s.load(o(1), 0)
		s.roundInt(0)
		if s.r == "Z" {
			p("\tVPMOVDW Z0, Y0\n\tVMOVDQU Y0, %s", o(0))
			return
		}
		p("\tVEXTRACTI128 $1, Y0, X1\n\tVPACKUSDW X1, X0, X0\n\tVMOVDQU X0, %s", o(0))
	})
	ret()
	s.sumSquares()
}

// sumSquares adds the squares of 16 n floats to 16 lanes of float64.
func (s isa) sumSquares() {
	p("\n// func sumSquares%s(x *float32, n int, lane *[16]float64)\nTEXT ·sumSquares%s(SB), NOSPLIT, $0-24", s.name, s.name)
	p("\tMOVQ x+0(FP), SI\n\tMOVQ n+8(FP), CX\n\tMOVQ lane+16(FP), DX")
	regs := 128 / s.bytes
	for i := range regs {
		s.load(fmt.Sprintf("%d(DX)", i*s.bytes), 8+i)
	}
	p("loop:")
	for i := range regs {
		p("\tVCVTPS2PD %d(SI), %s0", i*s.bytes/2, s.r)
		s.op("VMULPD", 0, 0, 0)
		s.op("VADDPD", 0, 8+i, 8+i)
	}
	p("\tADDQ $64, SI\n\tSUBQ $16, CX\n\tJNZ loop")
	for i := range regs {
		s.store(8+i, fmt.Sprintf("%d(DX)", i*s.bytes))
	}
	ret()
}

func vectorKernels() {
	header()
	for _, s := range sets {
		s.vectors()
	}
	save("vector_amd64.s")
}
