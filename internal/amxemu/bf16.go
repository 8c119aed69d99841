//go:build linux && amd64

package main

import "encoding/binary"

// executeVector does an instruction of AVX512-BF16, as Intel 64 and IA-32
// Architectures Software Developer's Manual, volume 2, has it in "Operation", or one
// of AVX-512 that stands between them. On an error nothing has changed.
func (m *machine) executeVector(in *instruction) error {
	if !m.vectors.known {
		if err := m.vectors.get(m.memory.tid); err != nil {
			return err
		}
	}
	v := &in.vector
	var out line
	switch z := &m.vectors.z; in.op {
	case vmovups:
		if err := m.memory.read(in.address.at(&m.general), out[:v.bytes]); err != nil {
			return err
		}
		m.put(in, &out, v.bytes, 4)
	case vpbroadcastd:
		if err := m.memory.read(in.address.at(&m.general), out[:4]); err != nil {
			return err
		}
		out.fill(v.bytes)
		m.put(in, &out, v.bytes, 4)
	case movqToX: // it leaves what lies above 16 bytes
		binary.LittleEndian.PutUint64(z[in.reg][:], m.general[in.a])
		clear(z[in.reg][8:16])
		m.vectors.changed = true
	case movqFromX:
		m.general[in.reg] = binary.LittleEndian.Uint64(z[in.a][:])
	case vdpbf16ps:
		b, err := m.source(in, true)
		if err != nil {
			return err
		}
		out = z[in.reg]
		addPairs(&out, &z[in.a], b)
		m.put(in, &out, v.bytes, 4)
	case vcvtneps2bf16:
		b, err := m.source(in, true)
		if err != nil {
			return err
		}
		out.narrow(b, v.bytes)
		m.put(in, &out, v.bytes/2, 2)
	case vcvtne2ps2bf16:
		b, err := m.source(in, false)
		if err != nil {
			return err
		}
		var high line
		out.narrow(b, v.bytes)
		high.narrow(&z[in.a], v.bytes)
		copy(out[v.bytes/2:], high[:v.bytes/2])
		m.put(in, &out, v.bytes, 2)
	}
	return nil
}

// source is the last operand, of 4 bytes an element. With masked, those that the
// mask leaves out are not read from memory.
func (m *machine) source(in *instruction, masked bool) (*line, error) {
	v := &in.vector
	if !v.inMemory {
		return &m.vectors.z[in.b], nil
	}
	var b line
	at := in.address.at(&m.general)
	if v.mask == 0 || !masked {
		n := v.bytes
		if v.broadcast {
			n = 4
		}
		if err := m.memory.read(at, b[:n]); err != nil {
			return nil, err
		}
		if v.broadcast {
			b.fill(v.bytes)
		}
		return &b, nil
	}
	for i := 0; i < v.bytes; i += 4 {
		if m.vectors.k[v.mask]>>(i/4)&1 == 0 {
			continue
		}
		from := at + uint64(i)
		if v.broadcast {
			from = at
		}
		if err := m.memory.read(from, b[i:i+4]); err != nil {
			return nil, err
		}
	}
	return &b, nil
}

// put writes the first bytes of out to the register, of elements of size that the
// mask lets through, and 0 to the rest of it.
func (m *machine) put(in *instruction, out *line, bytes, size int) {
	reg := &m.vectors.z[in.reg]
	if in.vector.mask != 0 {
		k := m.vectors.k[in.vector.mask]
		for i := 0; i < bytes; i += size {
			switch {
			case k>>(i/size)&1 != 0:
			case in.vector.zeroing:
				clear(out[i : i+size])
			default:
				copy(out[i:i+size], reg[i:])
			}
		}
	}
	clear(out[bytes:])
	*reg = *out
	m.vectors.changed = true
}

// fill repeats the first 4 bytes.
func (l *line) fill(bytes int) {
	for i := 4; i < bytes; i *= 2 {
		copy(l[i:bytes], l[:i])
	}
}

// narrow rounds float32 of that many bytes to bfloat16.
func (l *line) narrow(x *line, bytes int) {
	for i := 0; i < bytes; i += 4 {
		binary.LittleEndian.PutUint16(l[i/2:], narrow(binary.LittleEndian.Uint32(x[i:])))
	}
}

// narrow rounds a float32 to the nearest bfloat16, of two the even one; a denormal
// one to 0, NaN to a quiet one.
func narrow(x uint32) uint16 {
	switch exponent, fraction := x>>23&255, x&(1<<23-1); {
	case exponent == 0:
		return uint16(x>>16) & 0x8000
	case exponent == 255 && fraction != 0:
		return uint16(x>>16) | 0x40
	}
	return uint16((x + 0x7fff + x>>16&1) >> 16)
}
