//go:build linux && amd64

package main

import (
	"encoding/binary"
	"math"
)

// product is TDPBF16PS: c (m x n float32) += a (m x k pairs of bfloat16) times b
// (k x n pairs). Its steps and their order are those of the manual's "Operation":
// for each element two sums start from 0, of the pairs' first and of their second
// halves, k ascending, each step a fused multiply-add; then the second sum is
// added to the first and the result to c. All round to nearest even, take
// denormal operands for 0, give 0 for a denormal result, and raise nothing. Of
// several NaN operands the manual does not say which counts: here the first, as in
// AVX's FMA. On Xeons the order is seen to be this one (compute/cpu's
// TestHalfProducts, normal numbers); the rest is the manual's word.
func product(c, a, b *tile) {
	x, y := a.operands(), b.operands()
	sums := slowSums
	if x.safe(y) {
		sums = fastSums
	}
	m, n, k := c.rows, c.bytes/4, b.rows
	var even, odd [tileRows]float32
	for i := range m {
		sums(&even, &odd, x, y, i, n, k)
		for j := range n {
			at := c.data[i][4*j:]
			was := math.Float32frombits(binary.LittleEndian.Uint32(at))
			binary.LittleEndian.PutUint32(at, math.Float32bits(add(was, add(even[j], odd[j]))))
		}
	}
	c.factors.ready = false
}

// operands is a tile as float32, the pairs' halves apart. Denormal values are 0.
type operands struct {
	ready     bool
	even, odd [tileRows][tileRows]float32
	low, high int // the exponents of what is not 0, biased by 127
}

// operands are made once for what was loaded.
func (t *tile) operands() *operands {
	o := &t.factors
	if o.ready {
		return o
	}
	*o = operands{ready: true, low: 255}
	for i := range t.rows {
		for j := range t.bytes / 4 {
			pair := binary.LittleEndian.Uint32(t.data[i][4*j:])
			o.even[i][j] = o.value(pair << 16)
			o.odd[i][j] = o.value(pair & 0xffff0000)
		}
	}
	return o
}

func (o *operands) value(bits uint32) float32 {
	e := int(bits >> 23 & 255)
	if e == 0 {
		return math.Float32frombits(bits & (1 << 31))
	}
	o.low, o.high = min(o.low, e), max(o.high, e)
	return math.Float32frombits(bits)
}

// safe says that no step of a sum can be denormal, infinite or NaN. A product is a
// multiple of 2^(e-14) for the sum e of its exponents, so each sum is one too, and
// it is below 16 2^(e+2).
func (o *operands) safe(p *operands) bool {
	return o.low+p.low-2*127-14 >= -126 && o.high+p.high-2*127+2+4 <= 127 && o.high < 255 && p.high < 255
}

// fastSums is slowSums where products are exact and everything is a normal number
// or 0, so that plain arithmetic does the same.
func fastSums(even, odd *[tileRows]float32, a, b *operands, i, n, k int) {
	ae, ao := a.even[i][:k], a.odd[i][:k]
	for j := 0; j < n; j += 4 { // past n are zeros
		j := j & 12
		var e0, e1, e2, e3, o0, o1, o2, o3 float32
		for l, x := range ae {
			y, be, bo := ao[l], b.even[l][j:j+4:j+4], b.odd[l][j:j+4:j+4]
			e0 += x * be[0]
			e1 += x * be[1]
			e2 += x * be[2]
			e3 += x * be[3]
			o0 += y * bo[0]
			o1 += y * bo[1]
			o2 += y * bo[2]
			o3 += y * bo[3]
		}
		even[j], even[j+1], even[j+2], even[j+3] = e0, e1, e2, e3
		odd[j], odd[j+1], odd[j+2], odd[j+3] = o0, o1, o2, o3
	}
}

func slowSums(even, odd *[tileRows]float32, a, b *operands, i, n, k int) {
	for j := range n {
		var e, o float32
		for l := range k {
			e = fma(a.even[i][l], b.even[l][j], e)
			o = fma(a.odd[i][l], b.odd[l][j], o)
		}
		even[j], odd[j] = e, o
	}
}

// fma is a b + c for a and b that are bfloat16. In float64 their product is exact,
// and a sum of two numbers of 24 bits that is rounded to 53 and then to 24 is
// rounded as if once (53 >= 2 x 24 + 2).
func fma(a, b, c float32) float32 {
	if nan, is := firstNaN(a, b, c); is {
		return nan
	}
	return round(float64(a)*float64(b) + float64(zeroDenormal(c)))
}

func add(a, b float32) float32 {
	if nan, is := firstNaN(a, b); is {
		return nan
	}
	return round(float64(zeroDenormal(a)) + float64(zeroDenormal(b)))
}

// firstNaN is the first operand that is NaN, made quiet.
func firstNaN(x ...float32) (float32, bool) {
	for _, v := range x {
		if v != v {
			return math.Float32frombits(math.Float32bits(v) | 1<<22), true
		}
	}
	return 0, false
}

func zeroDenormal(x float32) float32 {
	if bits := math.Float32bits(x); bits&0x7f800000 == 0 {
		return math.Float32frombits(bits & (1 << 31))
	}
	return x
}

// round is x in float32. It is 0 where 24 bits do not bring it to the smallest
// normal number: SSE and AVX detect an underflow after rounding.
func round(x float64) float32 {
	switch {
	case x != x: // of infinities: the default NaN
		return math.Float32frombits(0xffc00000)
	case math.Abs(x) < 0x1p-126-0x1p-151:
		return float32(math.Copysign(0, x))
	}
	return float32(x)
}
