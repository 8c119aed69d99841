package weights

import (
	"encoding/binary"
	"fmt"
	"math"
)

// format says how values are stored: blocks of `values` values in `bytes` bytes.
type format struct {
	values, bytes int
	// read dequantises whole blocks: len(dst)/values == len(src)/bytes.
	read func(dst []float32, src []byte)
}

// formats of tensors. The quantised ones are ggml's (ggml-quants.c,
// dequantize_row_q4_0 and its siblings): d and m are float16.
var formats = map[string]format{
	"F32":  {1, 4, readF32},
	"F16":  {1, 2, readF16},
	"BF16": {1, 2, readBF16},
	"Q4_0": {32, 18, readQ4_0},
	"Q4_1": {32, 20, readQ4_1},
	"Q8_0": {32, 34, readQ8_0},
}

func readF32(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
	}
}

func readF16(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = halfToFloat(binary.LittleEndian.Uint16(src[2*i:]))
	}
}

func readBF16(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(src[2*i:])) << 16)
	}
}

// readQ4_0: d, 16 bytes; value i is the low nibble of byte i, value i+16 the
// high one, less 8, times d.
func readQ4_0(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[32:], src[18:] {
		d := halfToFloat(binary.LittleEndian.Uint16(src))
		for i, q := range src[2:18] {
			dst[i] = float32(int(q&15)-8) * d
			dst[i+16] = float32(int(q>>4)-8) * d
		}
	}
}

// readQ4_1: d, m, 16 bytes; nibbles as in Q4_0, times d, plus m.
func readQ4_1(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[32:], src[20:] {
		d := halfToFloat(binary.LittleEndian.Uint16(src))
		m := halfToFloat(binary.LittleEndian.Uint16(src[2:]))
		for i, q := range src[4:20] {
			// The conversions keep compilers from fusing product and sum.
			dst[i] = float32(float32(q&15)*d) + m
			dst[i+16] = float32(float32(q>>4)*d) + m
		}
	}
}

// readQ8_0: d, 32 signed bytes times d.
func readQ8_0(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[32:], src[34:] {
		d := halfToFloat(binary.LittleEndian.Uint16(src))
		for i, q := range src[2:34] {
			dst[i] = float32(int8(q)) * d
		}
	}
}

// halfToFloat widens an IEEE 754 binary16; every value is exact in float32.
func halfToFloat(h uint16) float32 {
	sign, exp, frac := uint32(h>>15)<<31, uint32(h>>10)&31, uint32(h)&1023
	switch exp {
	case 0: // zero and subnormals: frac * 2^-24
		f := float32(frac) * (1.0 / (1 << 24))
		return math.Float32frombits(math.Float32bits(f) | sign)
	case 31:
		return math.Float32frombits(sign | 0x7f800000 | frac<<13)
	}
	return math.Float32frombits(sign | (exp+112)<<23 | frac<<13)
}

// floatToBF16 rounds to nearest even; a NaN stays one.
func floatToBF16(x float32) uint16 {
	b := math.Float32bits(x)
	if x != x {
		return uint16(b>>16) | 64
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

// Round is x as a file holds it in dtype F32, BF16 or F16.
func Round(dtype string, x float32) float32 {
	switch dtype {
	case "BF16":
		return math.Float32frombits(uint32(floatToBF16(x)) << 16)
	case "F16":
		return halfToFloat(floatToHalf(x))
	}
	return x
}

// maxElements bounds a tensor's size, so that products of shapes cannot overflow.
const maxElements = 1 << 40

// sizeOf is the bytes that a tensor takes.
func sizeOf(info Info) (int, error) {
	f, ok := formats[info.DType]
	if !ok {
		return 0, fmt.Errorf("dtype %s is not supported: use F32, F16, BF16, Q4_0, Q4_1 or Q8_0", info.DType)
	}
	n := 1
	for _, d := range info.Shape {
		if d < 1 || d > maxElements || n > maxElements/d {
			return 0, fmt.Errorf("shape %v is not possible", info.Shape)
		}
		n *= d
	}
	if last := len(info.Shape) - 1; f.values > 1 && (last < 0 || info.Shape[last]%f.values != 0) {
		return 0, fmt.Errorf("shape %v: rows of %s are blocks of %d values", info.Shape, info.DType, f.values)
	}
	return n / f.values * f.bytes, nil
}
