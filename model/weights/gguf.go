package weights

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
)

// ggmlTypes are the tensor types that are read (ggml.h, enum ggml_type).
var ggmlTypes = map[uint32]string{0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 8: "Q8_0", 30: "BF16"}

// Metadata is the key-value part of a GGUF file.
type Metadata struct{ values map[string]any }

// Has says whether a key is there, with a value of whatever type.
func (m *Metadata) Has(key string) bool {
	_, ok := m.values[key]
	return ok
}

// String returns a text.
func (m *Metadata) String(key string) (string, bool) {
	v, ok := m.values[key].(string)
	return v, ok
}

// Uint returns a number of any integer type that is not negative.
func (m *Metadata) Uint(key string) (uint64, bool) {
	switch v := m.values[key].(type) {
	case uint64:
		return v, true
	case int64:
		return uint64(v), v >= 0
	}
	return 0, false
}

// Float returns a number of any type.
func (m *Metadata) Float(key string) (float64, bool) {
	switch v := m.values[key].(type) {
	case float64:
		return v, true
	case uint64:
		return float64(v), true
	case int64:
		return float64(v), true
	}
	return 0, false
}

// Bool returns a truth value.
func (m *Metadata) Bool(key string) (value, ok bool) {
	value, ok = m.values[key].(bool)
	return value, ok
}

// Strings returns an array of texts.
func (m *Metadata) Strings(key string) ([]string, bool) {
	v, ok := m.values[key].([]string)
	return v, ok
}

// Int32s returns an array of integers that fit.
func (m *Metadata) Int32s(key string) ([]int32, bool) {
	v, ok := m.values[key].([]int32)
	return v, ok
}

// Float32s returns an array of float32.
func (m *Metadata) Float32s(key string) ([]float32, bool) {
	v, ok := m.values[key].([]float32)
	return v, ok
}

// Bytes returns an array of 8-bit integers.
func (m *Metadata) Bytes(key string) ([]byte, bool) {
	v, ok := m.values[key].([]byte)
	return v, ok
}

// ggufReader reads a GGUF file; the first failure sticks.
type ggufReader struct {
	data []byte
	at   int
	err  error
}

func (r *ggufReader) fail(format string, a ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("at byte %d: "+format, append([]any{r.at}, a...)...)
	}
}

// bytes takes n bytes; n is compared with what is left before anything else.
func (r *ggufReader) bytes(n uint64) []byte {
	if r.err == nil && n > uint64(len(r.data)-r.at) {
		r.fail("%d bytes wanted, %d are left: the file is truncated; download it again", n, len(r.data)-r.at)
	}
	if r.err != nil {
		return nil
	}
	b := r.data[r.at : r.at+int(n)]
	r.at += int(n)
	return b
}

func (r *ggufReader) u32() uint32 {
	if b := r.bytes(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (r *ggufReader) u64() uint64 {
	if b := r.bytes(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (r *ggufReader) string() string { return string(r.bytes(r.u64())) }

// Types of values (ggml/docs/gguf.md, enum gguf_metadata_value_type).
const (
	typeU8, typeI8, typeU16, typeI16, typeU32, typeI32, typeF32, typeBool, typeString, typeArray, typeU64, typeI64, typeF64 = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12
)

// scalarSize is the bytes of a value of fixed size, 0 for the others.
func scalarSize(typ uint32) uint64 {
	switch typ {
	case typeU8, typeI8, typeBool:
		return 1
	case typeU16, typeI16:
		return 2
	case typeU32, typeI32, typeF32:
		return 4
	case typeU64, typeI64, typeF64:
		return 8
	}
	return 0
}

func (r *ggufReader) scalar(typ uint32) any {
	b := r.bytes(scalarSize(typ))
	if b == nil {
		return nil
	}
	switch typ {
	case typeU8:
		return uint64(b[0])
	case typeI8:
		return int64(int8(b[0]))
	case typeBool:
		return b[0] != 0
	case typeU16:
		return uint64(binary.LittleEndian.Uint16(b))
	case typeI16:
		return int64(int16(binary.LittleEndian.Uint16(b)))
	case typeU32:
		return uint64(binary.LittleEndian.Uint32(b))
	case typeI32:
		return int64(int32(binary.LittleEndian.Uint32(b)))
	case typeF32:
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))
	case typeU64:
		return binary.LittleEndian.Uint64(b)
	case typeI64:
		return int64(binary.LittleEndian.Uint64(b))
	}
	return math.Float64frombits(binary.LittleEndian.Uint64(b))
}

// array keeps texts, 8-bit and 32-bit integers and float32, which something reads, and
// skips the rest.
func (r *ggufReader) array() any {
	typ, n := r.u32(), r.u64()
	switch {
	case typ == typeString:
		if n > uint64(len(r.data)-r.at)/8 { // a text takes at least its length
			r.fail("an array of %d texts does not fit into the file", n)
			return nil
		}
		out := make([]string, 0, n)
		for range n {
			out = append(out, r.string())
			if r.err != nil {
				return nil
			}
		}
		return out
	case typ == typeI32 || typ == typeU32:
		if n > uint64(len(r.data)-r.at)/4 {
			r.fail("an array of %d numbers does not fit into the file", n)
			return nil
		}
		b := r.bytes(4 * n)
		out := make([]int32, n)
		for i := range out {
			out[i] = int32(binary.LittleEndian.Uint32(b[4*i:]))
		}
		return out
	case typ == typeF32:
		if n > uint64(len(r.data)-r.at)/4 {
			r.fail("an array of %d numbers does not fit into the file", n)
			return nil
		}
		b := r.bytes(4 * n)
		out := make([]float32, n)
		for i := range out {
			out[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		}
		return out
	case typ == typeU8 || typ == typeI8:
		return bytes.Clone(r.bytes(n))
	case scalarSize(typ) > 0:
		if n > uint64(len(r.data)) {
			r.fail("an array of %d values does not fit into the file", n)
			return nil
		}
		r.bytes(n * scalarSize(typ))
		return nil
	}
	r.fail("arrays of type %d are not known", typ)
	return nil
}

// readGGUF reads versions 2 and 3, little-endian (ggml/docs/gguf.md).
func readGGUF(file string, data []byte) (*Metadata, map[string]tensor, error) {
	r := &ggufReader{data: data}
	if string(r.bytes(4)) != "GGUF" {
		return nil, nil, fmt.Errorf("%s: no GGUF file (its first bytes are not GGUF)", file)
	}
	if v := r.u32(); v != 2 && v != 3 {
		return nil, nil, fmt.Errorf("%s: GGUF version %d is not supported: 2 and 3 are", file, v)
	}
	tensors, keys := r.u64(), r.u64()
	md := &Metadata{values: map[string]any{}}
	for i := uint64(0); i < keys && r.err == nil; i++ {
		key := r.string()
		if _, twice := md.values[key]; twice {
			r.fail("key %q stands twice", key)
		}
		switch typ := r.u32(); {
		case typ == typeString:
			md.values[key] = r.string()
		case typ == typeArray:
			md.values[key] = r.array()
		case scalarSize(typ) > 0:
			md.values[key] = r.scalar(typ)
		default:
			r.fail("key %q has the unknown type %d", key, typ)
		}
	}
	type entry struct {
		name   string
		info   Info
		offset uint64
	}
	var entries []entry
	for i := uint64(0); i < tensors && r.err == nil; i++ {
		e := entry{name: r.string()}
		dims := r.u32()
		if dims > 4 {
			r.fail("tensor %q has %d dimensions", e.name, dims)
			break
		}
		e.info.Shape = make([]int, dims)
		for d := range e.info.Shape { // innermost first
			n := r.u64()
			if n > maxElements {
				r.fail("tensor %q: a dimension of %d", e.name, n)
			}
			e.info.Shape[int(dims)-1-d] = int(n)
		}
		typ := r.u32()
		e.offset = r.u64()
		if e.info.DType = ggmlTypes[typ]; e.info.DType == "" && r.err == nil {
			r.fail("tensor %q: ggml type %d is not supported: convert the model to F32, F16, BF16, Q4_0, Q4_1 or Q8_0", e.name, typ)
		}
		entries = append(entries, e)
	}
	if r.err != nil {
		return nil, nil, fmt.Errorf("%s: %w", file, r.err)
	}
	align, ok := md.Uint("general.alignment")
	if !ok {
		align = 32
	}
	if align == 0 || align > 1<<20 {
		return nil, nil, fmt.Errorf("%s: general.alignment: %d is not possible", file, align)
	}
	start := (uint64(r.at) + align - 1) / align * align
	out := make(map[string]tensor, len(entries))
	extents := make([]extent, 0, len(entries))
	for _, e := range entries {
		size, err := sizeOf(e.info)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: tensor %q: %w", file, e.name, err)
		}
		total := uint64(len(data))
		if start > total || e.offset > total-start || uint64(size) > total-start-e.offset {
			return nil, nil, fmt.Errorf("%s: tensor %q lies outside the file's %d bytes: the file is truncated; download it again", file, e.name, total)
		}
		if _, twice := out[e.name]; twice {
			return nil, nil, fmt.Errorf("%s: tensor %q stands twice", file, e.name)
		}
		lo := start + e.offset
		out[e.name] = tensor{e.info, data[lo : lo+uint64(size)], file}
		extents = append(extents, extent{lo, lo + uint64(size), e.name})
	}
	if err := disjoint(extents); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", file, err)
	}
	return md, out, nil
}
