package cpu

import (
	"math"
	"unsafe"
)

// The constants of exp, shared with the assembly: e^x = 2^n e^r with
// n = round(x log2 e) and r = x - n ln 2 in two steps (Cody and Waite), |r| <= ln2/2.
// The polynomial of degree 6 is the one of least relative error, 4e-9, of those
// that begin with 1 + r + r^2/2.
const (
	expLow  = -87 // up to here: 0, so that no result is denormal, which some CPUs make by microcode
	expHigh = 89  // above: +Inf
	ln2High = 0.693359375
	ln2Low  = -2.12194440e-4
)

// exp32 is e^x within 2 ulp; NaN gives NaN.
func exp32(x float32) float32 {
	if x <= expLow {
		return 0
	}
	if x > expHigh {
		x = expHigh
	}
	const magic = 3 << 22 // adding it rounds to an integer, nearest even
	n := float32(x*float32(math.Log2E)) + magic
	n -= magic
	r := x - float32(n*ln2High)
	r -= float32(n * ln2Low)
	p := float32(0x1.6b6e18p-10)
	p = float32(p*r) + 0x1.122fc2p-7
	p = float32(p*r) + 0x1.555688p-5
	p = float32(p*r) + 0x1.5554a4p-3
	p = float32(p*r) + 0.5
	p = float32(p*r) + 1
	p = float32(p*r) + 1
	i := int32(n)
	h := i >> 1 // in two factors: 2^n alone may overflow
	return p * math.Float32frombits(uint32(h+127)<<23) * math.Float32frombits(uint32(i-h+127)<<23)
}

// expOf is exp32 in float32 and math.Exp in float64.
func expOf[F real](x F) F {
	if unsafe.Sizeof(x) == 8 {
		return F(math.Exp(float64(x)))
	}
	return F(exp32(float32(x)))
}

func expSumGo[F real](x []F, shift F) F {
	var s [lanes]F
	for i, v := range x {
		p := expOf(v - shift)
		x[i] = p
		s[i%lanes] += p
	}
	return sumLanes(&s)
}
