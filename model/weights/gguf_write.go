package weights

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
)

// KeyValue is an entry of a GGUF's metadata: a string, uint32, float32, bool,
// []string, []int32 or []float32.
type KeyValue struct {
	Key   string
	Value any
}

// ggufAlignment is where tensors begin (general.alignment's default).
const ggufAlignment = 32

// WriteGGUF writes version 3 of the format (ggml/docs/gguf.md), one row of a
// tensor in memory at a time. A tensor's DType is F32, F16 or BF16. The file
// appears whole or not at all.
func WriteGGUF(path string, metadata []KeyValue, tensors []Named) error {
	header, err := ggufHeader(metadata, tensors)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return writeFile(path, header, tensors, ggufAlignment)
}

func aligned(n int) int { return (n + ggufAlignment - 1) / ggufAlignment * ggufAlignment }

// ggmlType is the inverse of ggmlTypes for what is written.
var ggmlType = map[string]uint32{"F32": 0, "F16": 1, "BF16": 30}

func ggufHeader(metadata []KeyValue, tensors []Named) ([]byte, error) {
	le := binary.LittleEndian
	text := func(b []byte, s string) []byte { return append(le.AppendUint64(b, uint64(len(s))), s...) }
	b := append([]byte("GGUF"), 3, 0, 0, 0)
	b = le.AppendUint64(b, uint64(len(tensors)))
	b = le.AppendUint64(b, uint64(len(metadata)))
	seen := map[string]bool{}
	for _, kv := range metadata {
		if seen[kv.Key] {
			return nil, fmt.Errorf("key %q: the name is taken", kv.Key)
		}
		seen[kv.Key] = true
		b = text(b, kv.Key)
		list := func(typ uint32, n int) {
			b = le.AppendUint32(b, typeArray)
			b = le.AppendUint32(b, typ)
			b = le.AppendUint64(b, uint64(n))
		}
		switch v := kv.Value.(type) {
		case string:
			b = text(le.AppendUint32(b, typeString), v)
		case uint32:
			b = le.AppendUint32(le.AppendUint32(b, typeU32), v)
		case float32:
			b = le.AppendUint32(le.AppendUint32(b, typeF32), math.Float32bits(v))
		case bool:
			b = le.AppendUint32(b, typeBool)
			if v {
				b = append(b, 1)
			} else {
				b = append(b, 0)
			}
		case []string:
			list(typeString, len(v))
			for _, s := range v {
				b = text(b, s)
			}
		case []int32:
			list(typeI32, len(v))
			for _, x := range v {
				b = le.AppendUint32(b, uint32(x))
			}
		case []float32:
			list(typeF32, len(v))
			for _, x := range v {
				b = le.AppendUint32(b, math.Float32bits(x))
			}
		default:
			return nil, fmt.Errorf("key %q: values of type %T are not written", kv.Key, v)
		}
	}
	names, at := map[string]bool{}, 0
	for _, t := range tensors {
		typ, ok := ggmlType[t.DType]
		if !ok {
			return nil, fmt.Errorf("tensor %q: dtype %s is not written", t.Name, t.DType)
		}
		if names[t.Name] {
			return nil, fmt.Errorf("tensor %q: the name is taken", t.Name)
		}
		names[t.Name] = true
		size, err := sizeOf(Info{t.DType, t.Shape})
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		b = le.AppendUint32(text(b, t.Name), uint32(len(t.Shape)))
		for _, n := range slices.Backward(t.Shape) { // innermost first
			b = le.AppendUint64(b, uint64(n))
		}
		b = le.AppendUint64(le.AppendUint32(b, typ), uint64(at))
		at += aligned(size)
	}
	return append(b, make([]byte, aligned(len(b))-len(b))...), nil
}

// floatToHalf rounds to the nearest IEEE 754 binary16, ties to even; what is too
// large becomes infinite.
func floatToHalf(x float32) uint16 {
	b := math.Float32bits(x)
	sign, exp, frac := uint16(b>>16&0x8000), int(b>>23&255)-127+15, b&0x7fffff
	switch {
	case x != x:
		return sign | 0x7e00
	case exp >= 31:
		return sign | 0x7c00
	case exp <= 0: // subnormal: a multiple of 2^-24
		if exp < -10 {
			return sign
		}
		frac |= 0x800000
		shift := uint(14 - exp)
		half := frac >> shift
		if rest, tie := frac&(1<<shift-1), uint32(1)<<(shift-1); rest > tie || rest == tie && half&1 == 1 {
			half++
		}
		return sign | uint16(half)
	}
	half := uint32(exp)<<10 | frac>>13
	if rest := frac & 0x1fff; rest > 0x1000 || rest == 0x1000 && half&1 == 1 {
		half++ // may carry into the exponent, up to infinity
	}
	return sign | uint16(half)
}
