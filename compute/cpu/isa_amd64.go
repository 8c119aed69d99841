package cpu

import (
	"unsafe"

	"golang.org/x/sys/cpu"
)

//go:noescape
func microAVX2(t *tile[float32])

//go:noescape
func microAVX512(t *tile[float32])

//go:noescape
func expSumAVX2(x *float32, n int, shift float32, sum *[lanes]float32)

//go:noescape
func expSumAVX512(x *float32, n int, shift float32, sum *[lanes]float32)

//go:noescape
func headRowAVX2(s *headState[float32], x *float32, n, first int, val *float32, id *int32) int

//go:noescape
func headRowAVX512(s *headState[float32], x *float32, n, first int, val *float32, id *int32) int

func headRowWith(f func(s *headState[float32], x *float32, n, first int, val *float32, id *int32) int) func(*headState[float32], []float32, int, []float32, []int32) int {
	return func(s *headState[float32], x []float32, first int, val []float32, id []int32) int {
		if len(val) < len(x)+lanes || len(id) < len(x)+lanes {
			panic("cpu: headRow: no room for the candidates")
		}
		return f(s, &x[0], len(x)/lanes, first, &val[0], &id[0])
	}
}

// expSumWith runs whole 16s in place and the rest in a padded copy.
func expSumWith(f func(x *float32, n int, shift float32, sum *[lanes]float32)) func([]float32, float32) float32 {
	return func(x []float32, shift float32) float32 {
		var s [lanes]float32
		full := len(x) &^ (lanes - 1)
		if full > 0 {
			f(&x[0], full, shift, &s)
		}
		if rest := x[full:]; len(rest) > 0 {
			var pad, more [lanes]float32
			copy(pad[:], rest)
			f(&pad[0], lanes, shift, &more)
			for i := range rest {
				rest[i] = pad[i]
				s[i] += pad[i]
			}
		}
		return sumLanes(&s)
	}
}

//go:noescape
func softmaxAVX512(t *softTile[float32])

//go:noescape
func attendAVX512(t *softTile[float32], out *float32, half *uint16, ld int)

//go:noescape
func softmaxBackAVX512(t *softBackTile[float32])

//go:noescape
func dotsHalfAVX512(dst *float32, a, b *uint16, n, heads int)

// attentionAVX512 rounds in a pass of its own what is asked for in bfloat16.
func attentionAVX512(k *kernels[float32]) {
	k.softmax = func(ker *kernels[float32], t *softTile[float32]) {
		half := t.half
		t.half = nil
		softmaxAVX512(t)
		t.half = half
		for r := 0; half != nil && r < t.rows; r++ {
			ker.narrow(half[r*t.ldh:], t.x[r*t.ldx:][:t.width])
		}
	}
	k.softmaxBack = func(ker *kernels[float32], t *softBackTile[float32]) {
		p := t.p
		t.p = nil
		softmaxBackAVX512(t)
		t.p = p
		for r := 0; p != nil && r < t.rows; r++ {
			ker.narrow(p[r*t.ldh:], t.x[r*t.ldx:][:t.width])
			ker.narrow(t.ds[r*t.ldh:], t.y[r*t.ldx:][:t.width])
		}
	}
	k.attend = func(ker *kernels[float32], t *softTile[float32], out []float32, half []uint16, ld, n int) {
		if n != t.depth || half != nil {
			attendGo(ker, t, out, half, ld, n)
			return
		}
		attendAVX512(t, &out[0], nil, ld)
	}
	k.dotsHalf = func(dst []float32, a, b []uint16, n int) {
		_, _ = a[len(dst)*n-1], b[len(dst)*n-1]
		dotsHalfAVX512(&dst[0], &a[0], &b[0], n, len(dst))
	}
}

// attentionBF16 rounds on the way.
func attentionBF16(k *kernels[float32]) {
	k.softmax = func(_ *kernels[float32], t *softTile[float32]) { softmaxAVX512(t) }
	k.softmaxBack = func(_ *kernels[float32], t *softBackTile[float32]) { softmaxBackAVX512(t) }
	k.attend = func(ker *kernels[float32], t *softTile[float32], out []float32, half []uint16, ld, n int) {
		if n != t.depth {
			attendGo(ker, t, out, half, ld, n)
			return
		}
		attendAVX512(t, unsafe.SliceData(out), unsafe.SliceData(half), ld)
	}
}

// available lists the instruction sets of this CPU, the best one last.
func available() []*kernels[float32] {
	have := []*kernels[float32]{portable[float32]()}
	if cpu.X86.HasAVX2 && cpu.X86.HasFMA {
		k := portable[float32]()
		k.isa, k.mr, k.nr, k.vector = "avx2", 6, 16, vectorAVX2()
		k.micro, k.expSum = microAVX2, expSumWith(expSumAVX2)
		k.headRow = headRowWith(headRowAVX2)
		wideAVX2(k)
		have = append(have, k)
	}
	if cpu.X86.HasAVX512F && cpu.X86.HasPOPCNT {
		k := portable[float32]()
		k.isa, k.mr, k.nr, k.vector = "avx512", 14, 32, vectorAVX512()
		k.micro, k.expSum = microAVX512, expSumWith(expSumAVX512)
		k.headRow = headRowWith(headRowAVX512)
		attentionAVX512(k)
		wideAVX512(k)
		have = append(have, k)
		if hasBF16() {
			k := *k
			k.isa = "avx512bf16"
			withHalf(&k)
			have = append(have, &k)
			if hasAMX() {
				k := k
				k.isa = "amx"
				withAMX(&k)
				have = append(have, &k)
			}
		}
	}
	return have
}
