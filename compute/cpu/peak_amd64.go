package cpu

import (
	"strings"

	"eaft/compute"
)

func peakAVX2(n int)

func peakAVX512(n int)

//go:noescape
func readAVX2(x *float32, blocks int)

//go:noescape
func readAVX512(x *float32, blocks int)

// peakLoopOf is the best instruction that the kernels multiply dtype with.
func peakLoopOf(k *kernels[float32], dtype compute.DType) peakLoop {
	switch {
	case k.isa == "amx" && dtype == compute.BF16:
		cfg, tiles := &tileConfigs[32], newHalf(4*512)
		for i := range tiles { // the power that numbers draw is part of the limit
			tiles[i] = toBF16(float32(i*7919%512)/256 - 1)
		}
		return peakLoop{"TDPBF16PS", 4 * 16 * 16 * 64, func(n int) { peakAMX(n, cfg, &tiles[0]) }}
	case k.isa == "avx512bf16" && dtype == compute.BF16:
		return peakLoop{"VDPBF16PS", 28 * 64, peakBF16}
	case wide(k):
		return peakLoop{"AVX-512 VFMADD231PS", 28 * 32, peakAVX512}
	case k.isa == "avx2":
		return peakLoop{"AVX2 VFMADD231PS", 12 * 16, peakAVX2}
	}
	return peakScalar
}

func readLoopOf(k *kernels[float32]) readLoop {
	switch {
	case wide(k):
		return func(x []float32, blocks int) { readAVX512(&x[0], blocks) }
	case k.isa == "avx2":
		return func(x []float32, blocks int) { readAVX2(&x[0], blocks) }
	}
	return readGo
}

func wide(k *kernels[float32]) bool { return strings.HasPrefix(k.isa, "avx512") || k.isa == "amx" }
