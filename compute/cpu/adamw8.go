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
	mid   [256]float32 // of value i and the next; the last is above all
	zero  byte         // the code of 0
	// first is the lowest code of the floats that begin with these bits: sign,
	// exponent and five bits more. The search goes up from it.
	first  [1 << 14]byte
	signed bool
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
		t.mid[i] = float32((float64(t.value[i]) + float64(t.value[i+1])) / 2)
	}
	t.mid[255] = float32(math.Inf(1))
	for k := range t.first {
		low := math.Float32frombits(uint32(k) << 18)
		if k >= len(t.first)/2 { // negative: the lowest has all other bits set
			low = math.Float32frombits(uint32(k)<<18 | (1<<18 - 1))
		}
		for low > t.mid[t.first[k]] {
			t.first[k]++
		}
	}
	return t
}

// code is that of the value nearest to x, |x| <= 1.
func (t *codeTable) code(x float32) byte {
	c := t.first[math.Float32bits(x)>>18]
	for x > t.mid[c] {
		c++
	}
	if !t.signed && c == t.zero && x > 0 {
		c++
	}
	return c
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
	var s float32
	for _, x := range src {
		s = max(s, float32(x), -float32(x))
	}
	b.scales.data[i] = F(s)
	codes := b.codes[i*compute.BlockSize:][:len(src)]
	if s == 0 {
		for j := range codes {
			codes[j] = b.t.zero
		}
		return
	}
	for j, x := range src {
		codes[j] = b.t.code(float32(x) / s)
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
