package instructions

import (
	"math"
	"math/big"
)

// element is TDPBF16PS's of row i and column j, for k pairs, in exact arithmetic:
// "Operation" of TDPBF16PS in Intel 64 and IA-32 Architectures Software Developer's
// Manual, volume 2. Of the pairs' first halves and of their second ones a sum each,
// in ascending order, "FP32 FMA with DAZ=FTZ=1, RNE rounding"; then their sum is
// added to c.
func element(c, a, b *area, i, j, k int) float32 {
	var even, odd float32
	for l := range k {
		x, y := a.word(i, l), b.word(l, j)
		even = sum(half(x<<16), half(y<<16), even)
		odd = sum(half(x&0xffff0000), half(y&0xffff0000), odd)
	}
	return sum(math.Float32frombits(c.word(i, j)), 1, sum(even, 1, odd))
}

func half(bits uint32) float32 { return math.Float32frombits(bits) }

// sum is x y + z, rounded once.
func sum(x, y, z float32) float32 {
	x, y, z = daz(x), daz(y), daz(z)
	special := float64(x)*float64(y) + float64(z) // right where it is not finite, or a sum of zeros
	if math.IsNaN(special) || math.IsInf(special, 0) || (x == 0 || y == 0) && z == 0 {
		return float32(special)
	}
	const exact = 1000 // bits: from 2^255 down to 2^-266
	number := func(v float32) *big.Float { return new(big.Float).SetPrec(exact).SetFloat64(float64(v)) }
	s := new(big.Float).SetPrec(exact).Mul(number(x), number(y))
	s.Add(s, number(z))
	if s.Sign() == 0 { // x y = -z
		return 0
	}
	s.SetMode(big.ToNearestEven).SetPrec(24)
	if e := s.MantExp(nil) - 1; e < -126 { // FTZ, seen after rounding
		return float32(math.Copysign(0, float64(s.Sign())))
	}
	v, _ := s.Float32() // exact, or infinite
	return v
}

// daz is x, or a zero of its sign if it is denormal.
func daz(x float32) float32 {
	if math.Abs(float64(x)) < 0x1p-126 {
		return float32(math.Copysign(0, float64(x)))
	}
	return x
}

// pairs is VDPBF16PS's of an element, in exact arithmetic: the second halves first.
func pairs(c float32, a, b uint32) float32 {
	c = sum(half(a&0xffff0000), half(b&0xffff0000), c)
	return sum(half(a<<16), half(b<<16), c)
}

// nearest is VCVTNEPS2BF16's of an element: of the two bfloat16 numbers that enclose
// it the nearer one, or the even one of two as near; what lies behind the largest
// counts as 2^128. Denormal numbers are 0, and NaN is cut off and made quiet.
func nearest(x uint32) uint16 {
	v := half(x)
	below := uint16(x >> 16) // towards 0
	switch {
	case v != v:
		return below | 0x40
	case daz(v) == 0:
		return below & 0x8000
	case math.IsInf(float64(v), 0):
		return below
	}
	above := below + 1
	beyond := math.Abs(float64(half(uint32(above) << 16)))
	if math.IsInf(beyond, 0) {
		beyond = 0x1p128
	}
	size := math.Abs(float64(v))
	down, up := size-math.Abs(float64(half(uint32(below)<<16))), beyond-size
	if up < down || up == down && above%2 == 0 {
		return above
	}
	return below
}
