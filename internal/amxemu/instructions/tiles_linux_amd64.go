package instructions

import "unsafe"

// config is the operand of LDTILECFG and STTILECFG.
type config struct {
	palette uint8
	_       [15]uint8
	bytes   [16]uint16
	rows    [16]uint8
}

// matrix is what TILELOADD and TILESTORED read and write: the first row, and the
// bytes from one to the next.
type matrix struct {
	data   unsafe.Pointer
	stride uintptr
}

// multiply loads c, a and b into tiles 0 to 2, adds a b to c and stores it.
//
//go:noescape
func multiply(cfg *config, c, a, b matrix)

// zero loads tile 3 from m, makes it 0 and stores it, loads it again and stores that.
//
//go:noescape
func zero(cfg *config, m matrix)

// move loads tile 3 from 64 bytes behind from, whose stride counts four times,
// with a PREFETCH between that and storing it.
//
//go:noescape
func move(cfg *config, to, from matrix)

// configuration stores what LDTILECFG made of cfg, and then what TILERELEASE left.
//
//go:noescape
func configuration(cfg, loaded, released *config)

// integer is TDPBSSD, of AMX-INT8.
//
//go:noescape
func integer(cfg *config)

// unconfigured is TDPBF16PS after TILERELEASE.
func unconfigured()

// same is TDPBF16PS whose factors are one tile.
//
//go:noescape
func same(cfg *config)
