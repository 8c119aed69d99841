//go:build linux && amd64

package main

import (
	"encoding/binary"
	"errors"
)

// Palette 1: 8 tiles of at most 16 rows of 64 bytes.
const (
	tileCount = 8
	tileRows  = 16
	lineBytes = 64
)

// line is what a row of a tile holds, or a vector register.
type line [lineBytes]byte

// tile is a register; bytes outside its configured shape are 0.
type tile struct {
	rows, bytes int // 0: it may not be used
	data        [tileRows]line
}

// tiles is a thread's TILECFG and TILEDATA. Without a configuration, as at the
// beginning and after TILERELEASE, no tile has a shape.
type tiles struct {
	palette byte
	tile    [tileCount]tile
}

// errUndefined is #UD, which the kernel answers with SIGILL.
var errUndefined = errors.New("undefined instruction")

// execute does one instruction: Intel 64 and IA-32 Architectures Software
// Developer's Manual, volume 2, each instruction's "Operation", and volume 1,
// chapter 18. r are the registers with RIP behind the instruction. On an error
// nothing has changed, but what TILESTORED wrote before it. A CPU would go on at
// the row that failed (TILECFG.start_row) and here starts over, to the same end.
func (t *tiles) execute(in *instruction, r *[17]uint64, m *memory) error {
	at := in.address.at(r)
	switch in.op {
	case tilerelease:
		*t = tiles{}
		return nil
	case ldtilecfg:
		var c line
		if err := m.read(at, c[:]); err != nil {
			return err
		}
		return t.configure(&c)
	case sttilecfg:
		c := t.configuration()
		return m.write(at, 0, c[:])
	case tdpbf16ps:
		c, a, b := &t.tile[in.reg], &t.tile[in.a], &t.tile[in.b]
		if !fit(c, a, b) {
			return errUndefined
		}
		product(&c.data, &a.data, &b.data, c.rows, b.rows, 1<<(c.bytes/4)-1)
		return nil
	}
	reg := &t.tile[in.reg]
	if reg.rows == 0 {
		return errUndefined
	}
	start, stride := in.address.start(r), in.address.stride(r)
	switch {
	case in.op == tilezero:
		reg.data = [tileRows]line{}
		return nil
	case reg.bytes%4 != 0:
		return errUndefined
	case in.op == tilestored:
		pieces := make([][]byte, reg.rows)
		for i := range pieces {
			pieces[i] = reg.data[i][:reg.bytes]
		}
		return m.write(start, stride, pieces...)
	}
	var rows [tileRows]line
	if err := m.readRows(rows[:reg.rows], reg.bytes, start, stride); err != nil {
		return err
	}
	reg.data = rows
	return nil
}

// Where TILECFG has its fields.
const (
	cfgPalette = 0
	cfgStart   = 1
	cfgBytes   = 16 // uint16 for each tile
	cfgRows    = 48 // a byte
)

// configure is LDTILECFG: palette 0 releases the tiles, 1 gives them shapes and
// zeros; anything else is #GP.
func (t *tiles) configure(c *line) error {
	wrong := &fault{code: fromKernel}
	if c[cfgPalette] > 1 {
		return wrong
	}
	next := tiles{palette: c[cfgPalette]}
	if next.palette == 1 {
		left := *c
		left[cfgPalette], left[cfgStart] = 0, 0
		for i := range next.tile {
			b := binary.LittleEndian.Uint16(c[cfgBytes+2*i:])
			rows := c[cfgRows+i]
			if b > lineBytes || rows > tileRows || (b == 0) != (rows == 0) {
				return wrong
			}
			next.tile[i] = tile{rows: int(rows), bytes: int(b)}
			left[cfgBytes+2*i], left[cfgBytes+2*i+1], left[cfgRows+i] = 0, 0, 0
		}
		if left != (line{}) { // reserved
			return wrong
		}
	}
	*t = next
	return nil
}

// configuration is what STTILECFG writes; all 0 without one.
func (t *tiles) configuration() (c line) {
	c[cfgPalette] = t.palette
	for i := range t.tile {
		binary.LittleEndian.PutUint16(c[cfgBytes+2*i:], uint16(t.tile[i].bytes))
		c[cfgRows+i] = byte(t.tile[i].rows)
	}
	return c
}

// fit says whether c (m x n floats), a (m x k pairs) and b (k x n pairs) are
// three tiles of shapes that can be multiplied.
func fit(c, a, b *tile) bool {
	return c != a && c != b && a != b && c.rows > 0 && a.rows > 0 && b.rows > 0 &&
		c.bytes%4 == 0 && a.bytes%4 == 0 && b.bytes%4 == 0 &&
		c.bytes == b.bytes && c.rows == a.rows && a.bytes/4 == b.rows
}
