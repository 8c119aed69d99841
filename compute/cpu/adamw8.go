package cpu

import (
	"math"
	"slices"

	"eaft/compute"
)

// blocks are 8-bit values; see compute.Blocks.
type blocks[F real] struct {
	t      *codeTable
	codes  []byte
	scales *matrix[F]
}

var signedCodes, unsignedCodes = newCodeTable(true), newCodeTable(false)

// NewBlocks makes n zeros.
func (e *engine[F]) NewBlocks(n int, signed bool) compute.Blocks {
	scales := (n + compute.BlockSize - 1) / compute.BlockSize
	b := &blocks[F]{unsignedCodes, make([]byte, n), dense(1, scales, make([]F, scales))}
	if signed {
		b.t = signedCodes
	}
	for i := range b.codes {
		b.codes[i] = b.t.zero
	}
	return b
}

func (b *blocks[F]) Len() int               { return len(b.codes) }
func (b *blocks[F]) Codes() []byte          { return b.codes }
func (b *blocks[F]) Scales() compute.Tensor { return b.scales }

// codeTable is the table of 256 values, ascending.
type codeTable struct {
	value [256]float32
	mid   [256]int32 // ordered, of the middle of value i and the next; the last is above all
	zero  byte       // the code of 0
	// first is the lowest code of the floats that begin with these 16 bits, ordered.
	// A cell of the table is wider than they are many, so that it or the next is right.
	first  [1 << 16]byte
	signed bool
}

// ordered maps floats to integers that compare as they do; but -0 is below 0.
func ordered(x float32) int32 {
	b := int32(math.Float32bits(x))
	return b ^ b>>31&math.MaxInt32
}

func newCodeTable(signed bool) *codeTable {
	t := &codeTable{signed: signed}
	values := []float64{0, 1}
	for e := range 7 {
		m := 1 << (6 - e)
		if !signed {
			m *= 2
		}
		for i := range m {
			v := (0.1 + 0.9*(float64(i)+0.5)/float64(m)) * math.Pow10(-e)
			values = append(values, v)
			if signed {
				values = append(values, -v)
			}
		}
	}
	slices.Sort(values)
	for i, v := range values {
		t.value[i] = float32(v)
		if v == 0 {
			t.zero = byte(i)
		}
	}
	for i := range 255 {
		t.mid[i] = ordered(t.between(i))
	}
	t.mid[255] = ordered(2)
	c := byte(0)
	for k := range t.first {
		low := int32(k-1<<15) << 16
		for c < 255 && low > t.mid[c] {
			c++
		}
		t.first[k] = c
	}
	return t
}

// between is the middle of value i and the next: what is above has a higher code.
func (t *codeTable) between(i int) float32 {
	return float32((float64(t.value[i]) + float64(t.value[i+1])) / 2)
}

// code is that of the value nearest to x, |x| <= 1.
func (t *codeTable) code(x float32) byte {
	o := ordered(x)
	c := t.first[uint16(o>>16)^1<<15]
	return c + byte(uint32(t.mid[c]-o)>>31) // a branch would be mispredicted
}

// load reads block i.
func (b *blocks[F]) load(dst []F, i int) {
	s := float32(b.scales.data[i])
	for j, c := range b.codes[i*compute.BlockSize:][:len(dst)] {
		dst[j] = F(s * b.t.value[c])
	}
}

// store writes block i.
func (b *blocks[F]) store(src []F, i int) {
	var most uint32 // magnitudes compare as their bits do
	for _, x := range src {
		most = max(most, math.Float32bits(float32(x))&math.MaxInt32)
	}
	s := math.Float32frombits(most)
	b.scales.data[i] = F(s)
	codes := b.codes[i*compute.BlockSize:][:len(src)]
	switch {
	case s == 0:
		for j := range codes {
			codes[j] = b.t.zero
		}
	case b.t.signed:
		for j, x := range src {
			codes[j] = b.t.code(float32(x) / s)
		}
	default:
		for j, x := range src {
			c := b.t.code(float32(x) / s)
			if c == 0 && x > 0 {
				c = 1
			}
			codes[j] = c
		}
	}
}

// AdamW8 is AdamW with 8-bit moments; a block's arithmetic is AdamW's.
func (e *engine[F]) AdamW8(p, g compute.Tensor, m, v compute.Blocks, s compute.AdamW) {
	pm, gm, mb, vb := mat[F](p), mat[F](g), m.(*blocks[F]), v.(*blocks[F])
	gm.shape("AdamW8", "g", pm.rows, pm.cols)
	if n := len(pm.data); mb.Len() != n || vb.Len() != n || !mb.t.signed || vb.t.signed {
		panic("cpu: AdamW8: m must be signed Blocks and v unsigned ones of p's size")
	}
	c := newAdamWCoef[F](s)
	e.spans(len(pm.data), func(lo, hi int) {
		var m, v [compute.BlockSize]F
		for at := lo; at < hi; at += compute.BlockSize {
			n, i := min(compute.BlockSize, hi-at), at/compute.BlockSize
			mb.load(m[:n], i)
			vb.load(v[:n], i)
			e.k.adamw(pm.data[at:at+n], gm.data[at:at+n], m[:n], v[:n], c)
			mb.store(m[:n], i)
			vb.store(v[:n], i)
		}
	})
}
