package cpu

import (
	"unsafe"

	"golang.org/x/sys/cpu"
)

//go:noescape
func microBF16(t *halfTile)

//go:noescape
func rowBF16(t *halfTile)

//go:noescape
func microAMX(t *halfTile)

func peakBF16(n int)

//go:noescape
func peakAMX(n int, cfg *tileConfig, data *uint16)

//go:noescape
func streamBF16(dst *uint16, src *float32, n int)

//go:noescape
func ropeBF16(dst *uint16, x, cos, sin *float32, n, heads int)

//go:noescape
func swigluBF16(dst *uint16, gate, up *float32, n, rows, ldd, ld int)

//go:noescape
func swigluBackBF16(dgate, dup, act *uint16, dy *float32, gate, up *uint16, n, ahead int)

//go:noescape
func narrowBF16(dst *uint16, src *float32, n int)

// hasBF16 names what bf16_amd64.s uses beside AMX: VDPBF16PS and
// VCVTNEPS2BF16, and VPERMT2W and VMOVDQU16 of AVX512BW.
func hasBF16() bool {
	return cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512BF16
}

// hasAMX says whether the CPU has AMX with bfloat16 and this process may use it.
func hasAMX() bool { return cpu.X86.HasAMXTile && cpu.X86.HasAMXBF16 && permitTiles() }

// withHalf adds AVX512_BF16's kernels to those of AVX-512.
func withHalf(k *kernels[float32]) {
	k.narrow = narrowWith(narrowBF16)
	k.narrowStream = narrowStreamWith(streamBF16, k.narrow)
	k.ropeHalf = ropeHalfWith(ropeBF16, ropeHalf(k.rope, k.narrow))
	k.swigluHalf = swigluHalfWith(swigluBF16)
	k.swigluBackHalf = swigluBackHalfWith(swigluBackBF16)
	k.half = halfKernels{
		rows: halfTileRows, even: true, nextRows: true, least: 4, step: 768, panels: 16, ahead: 16, tile: 256 << 10,
		micro: func(t halfTile) { microBF16(&t) }, row: func(t halfTile) { rowBF16(&t) },
	}
	packAVX512(&k.half)
	attentionBF16(k)
}

const halfTileRows = 14

// withAMX puts AMX in the place of VDPBF16PS.
func withAMX(k *kernels[float32]) {
	k.half.rows, k.half.even, k.half.step, k.half.panels, k.half.ahead, k.half.row = 32, false, 288, 16, 2, nil
	k.half.nextRows = false
	k.half.tile = 640 << 10 // its machines have second caches of 2 MiB
	k.half.micro = func(t halfTile) {
		t.cfg = unsafe.Pointer(&tileConfigs[t.rows])
		microAMX(&t)
	}
}

// tileConfig is LDTILECFG's operand.
type tileConfig struct {
	palette, start uint8
	_              [14]uint8
	colBytes       [16]uint16
	rows           [16]uint8
}

// tileConfigs has one for each height of a block, of at most 32 rows: tiles 0 1
// and A in 4 for its first 16, 2 3 and 5 for the rest; B in 6 7.
var tileConfigs = func() (cfgs [33]tileConfig) {
	for m := range cfgs {
		c := &cfgs[m]
		c.palette = 1
		for t, rows := range [8]int{min(m, 16), min(m, 16), max(m-16, 1), max(m-16, 1), min(m, 16), max(m-16, 1), 16, 16} {
			c.rows[t], c.colBytes[t] = uint8(max(rows, 1)), lineBytes
		}
	}
	return cfgs
}()
