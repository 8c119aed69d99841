package cpu

import (
	"sync"
	"unsafe"

	"golang.org/x/sys/cpu"
)

//go:noescape
func microWideAVX2(t *halfTile)

//go:noescape
func microWideAVX512(t *halfTile)

//go:noescape
func widenRowsAVX2(dst *float32, src *uint16, lines, rows, dstRow, srcRow, ahead int)

//go:noescape
func widenRowsAVX512(dst *float32, src *uint16, lines, rows, dstRow, srcRow, ahead int)

const (
	widePairs = 144 // pairs that a kernel takes at once, so that its rows of A stay in the first cache
	wideRows  = 14  // of a kernel, at most
	wideRow   = 2*widePairs + lanes
)

// wideA lends room for the rows of A in float32.
var wideA = sync.Pool{New: func() any { return new([wideRows * wideRow]float32) }}

// withWide gives k the products of bfloat16 by float32 instructions: B is widened
// in registers, A, of which single numbers are broadcast, before, with the rows
// behind read ahead. A call of rows is cut into tiles of at most tile.
func withWide(k *kernels[float32], rows, tile int, micro func(t halfTile), widenRows func(dst *float32, src *uint16, lines, rows, dstRow, srcRow, ahead int)) {
	h, widen := &k.half, k.widen
	h.rows, h.even, h.step, h.panels, h.least, h.ahead, h.tile = rows, true, widePairs, 8, 8, 16, 256<<10
	h.micro = func(t halfTile) {
		wide := wideA.Get().(*[wideRows * wideRow]float32)
		a, c, rs, m, lines := t.a, t.c, t.rs, t.rows, 2*t.pairs/lineHalf
		tiles := (m + tile - 1) / tile
		for i := range tiles {
			lo, hi := cut(i, tiles, m, 1), cut(i+1, tiles, m, 1)
			widenRows(&wide[0], (*uint16)(unsafe.Add(a, lo*rs)), lines, hi-lo, 4*wideRow, rs, (hi-lo)*rs)
			t.a, t.rs, t.rows = unsafe.Pointer(wide), 4*wideRow, hi-lo
			t.c = unsafe.Add(c, lo*t.ldc)
			micro(t)
		}
		wideA.Put(wide)
	}
	h.row = func(t halfTile) {
		wide := wideA.Get().(*[wideRows * wideRow]float32)
		a, b, pairs := t.a, t.b, t.pairs
		t.rows, t.panels, t.next = 1, 4, uintptr(unsafe.Add(b, 4*t.bs))
		for at := 0; at < pairs; at += len(wide) / 2 {
			t.pairs = min(len(wide)/2, pairs-at)
			n := 2 * t.pairs
			widen(wide[:n], unsafe.Slice((*uint16)(unsafe.Add(a, 4*at)), n))
			t.a, t.b, t.acc = unsafe.Pointer(wide), unsafe.Add(b, 4*halfPanel*at), min(at, 1)
			micro(t)
		}
		wideA.Put(wide)
	}
}

func wideAVX2(k *kernels[float32]) {
	withWide(k, 24, 6, func(t halfTile) { microWideAVX2(&t) }, widenRowsAVX2)
	packAVX2(&k.half)
}

func wideAVX512(k *kernels[float32]) {
	withWide(k, 14, 14, func(t halfTile) { microWideAVX512(&t) }, widenRowsAVX512)
	if cpu.X86.HasAVX512BW {
		packAVX512(&k.half)
	}
}
