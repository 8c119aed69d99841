package cpu

import "unsafe"

// body is how many of n elements the assembly takes; the rest goes through
// padded copies of 16, so that nothing beside a slice is touched.
func body(n int) int { return n &^ (lanes - 1) }

func at(x []float32) *float32 { return unsafe.SliceData(x) }

type pad [lanes]float32

func padded(x []float32) (p pad) {
	copy(p[:], x)
	return p
}

func dotWith(f func(a, b *float32, n int, lane *pad)) func(a, b []float32) float32 {
	return func(a, b []float32) float32 {
		var s [lanes]float32
		n, b := body(len(a)), b[:len(a)]
		if n > 0 {
			f(at(a), at(b), n, (*pad)(&s))
		}
		if n < len(a) {
			p, q := padded(a[n:]), padded(b[n:])
			f(&p[0], &q[0], lanes, (*pad)(&s))
		}
		return sumLanes(&s)
	}
}

func dot3With(f func(a, b, c *float32, n int, lane *pad)) func(a, b, c []float32) float32 {
	return func(a, b, c []float32) float32 {
		var s [lanes]float32
		n, b, c := body(len(a)), b[:len(a)], c[:len(a)]
		if n > 0 {
			f(at(a), at(b), at(c), n, (*pad)(&s))
		}
		if n < len(a) {
			p, q, r := padded(a[n:]), padded(b[n:]), padded(c[n:])
			f(&p[0], &q[0], &r[0], lanes, (*pad)(&s))
		}
		return sumLanes(&s)
	}
}

func maxWith(f func(x *float32, n int, lane *pad)) func(x []float32) float32 {
	return func(x []float32) float32 {
		var s [lanes]float32
		for i := range s {
			s[i] = lowest[float32]()
		}
		n := body(len(x))
		if n > 0 {
			f(at(x), n, (*pad)(&s))
		}
		return max(maxGo(s[:]), maxGo(x[n:]))
	}
}

func scaleWith(f func(dst, x *float32, n int, a float32)) func(dst, x []float32, a float32) {
	return func(dst, x []float32, a float32) {
		n, x := body(len(dst)), x[:len(dst)]
		if n > 0 {
			f(at(dst), at(x), n, a)
		}
		if n < len(dst) {
			p, q := padded(dst[n:]), padded(x[n:])
			f(&p[0], &q[0], lanes, a)
			copy(dst[n:], p[:])
		}
	}
}

func addAheadWith(f func(dst, x *float32, n, ahead int)) func(dst, x []float32, ahead int) {
	return func(dst, x []float32, ahead int) {
		n, x := body(len(dst)), x[:len(dst)]
		if n > 0 {
			f(at(dst), at(x), n, 4*ahead)
		}
		addAheadGo(dst[n:], x[n:], ahead)
	}
}

func normWith(f func(dst, x, w *float32, n int, a float32)) func(dst, x, w []float32, a float32) {
	return func(dst, x, w []float32, a float32) {
		n, x, w := body(len(dst)), x[:len(dst)], w[:len(dst)]
		if n > 0 {
			f(at(dst), at(x), at(w), n, a)
		}
		if n < len(dst) {
			p, q, r := padded(dst[n:]), padded(x[n:]), padded(w[n:])
			f(&p[0], &q[0], &r[0], lanes, a)
			copy(dst[n:], p[:])
		}
	}
}

func normBackWith(f func(dst, y, x, w *float32, n int, a, b float32)) func(dst, y, x, w []float32, a, b float32) {
	return func(dst, y, x, w []float32, a, b float32) {
		n, y, x, w := body(len(dst)), y[:len(dst)], x[:len(dst)], w[:len(dst)]
		if n > 0 {
			f(at(dst), at(y), at(x), at(w), n, a, b)
		}
		if n < len(dst) {
			p, q, r, s := padded(dst[n:]), padded(y[n:]), padded(x[n:]), padded(w[n:])
			f(&p[0], &q[0], &r[0], &s[0], lanes, a, b)
			copy(dst[n:], p[:])
		}
	}
}

func ropeWith(f func(x1, x2, cos, sin *float32, n int, sign float32)) func(x1, x2, cos, sin []float32, sign float32) {
	return func(x1, x2, cos, sin []float32, sign float32) {
		n, x2, cos, sin := body(len(x1)), x2[:len(x1)], cos[:len(x1)], sin[:len(x1)]
		if n > 0 {
			f(at(x1), at(x2), at(cos), at(sin), n, sign)
		}
		if n < len(x1) {
			p, q, r, s := padded(x1[n:]), padded(x2[n:]), padded(cos[n:]), padded(sin[n:])
			f(&p[0], &q[0], &r[0], &s[0], lanes, sign)
			copy(x1[n:], p[:])
			copy(x2[n:], q[:])
		}
	}
}

func ropeHalfWith(f func(dst *uint16, x, cos, sin *float32, n, heads int), rest func(dst []uint16, x, cos, sin []float32)) func(dst []uint16, x, cos, sin []float32) {
	return func(dst []uint16, x, cos, sin []float32) {
		n := len(cos)
		if n == 0 || n%lanes != 0 || len(x)%(2*n) != 0 {
			rest(dst, x, cos, sin)
			return
		}
		if dst, sin = dst[:len(x)], sin[:n]; len(x) > 0 {
			f(&dst[0], &x[0], &cos[0], &sin[0], n, len(x)/(2*n))
		}
	}
}

func swigluWith(f func(dst, gate, up *float32, n int)) func(dst, gate, up []float32) {
	return func(dst, gate, up []float32) {
		n, gate, up := body(len(dst)), gate[:len(dst)], up[:len(dst)]
		if n > 0 {
			f(at(dst), at(gate), at(up), n)
		}
		if n < len(dst) {
			var p pad
			q, r := padded(gate[n:]), padded(up[n:])
			f(&p[0], &q[0], &r[0], lanes)
			copy(dst[n:], p[:])
		}
	}
}

func swigluHalfWith(f func(dst *uint16, gate, up *float32, n, rows, ldd, ld int)) func(dst []uint16, gate, up []float32, rows, n, ldd, ld int) {
	return func(dst []uint16, gate, up []float32, rows, n, ldd, ld int) {
		if rows == 0 || n == 0 {
			return
		}
		_, _, _ = dst[(rows-1)*ldd+n-1], gate[(rows-1)*ld+n-1], up[(rows-1)*ld+n-1]
		full := body(n)
		if full > 0 {
			f(&dst[0], at(gate), at(up), full, rows, 2*ldd, 4*ld)
		}
		for i := 0; i < rows && full < n; i++ {
			var h [lanes]uint16
			q, r := padded(gate[i*ld:][full:n]), padded(up[i*ld:][full:n])
			f(&h[0], &q[0], &r[0], lanes, 1, 0, 0)
			copy(dst[i*ldd:][full:n], h[:])
		}
	}
}

func swigluBackWith(f func(dgate, dup, dy, gate, up *float32, n int)) func(dgate, dup, dy, gate, up []float32) {
	return func(dgate, dup, dy, gate, up []float32) {
		n, dup, dy, gate, up := body(len(dgate)), dup[:len(dgate)], dy[:len(dgate)], gate[:len(dgate)], up[:len(dgate)]
		if n > 0 {
			f(at(dgate), at(dup), at(dy), at(gate), at(up), n)
		}
		if n < len(dgate) {
			var p, q pad
			r, s, t := padded(dy[n:]), padded(gate[n:]), padded(up[n:])
			f(&p[0], &q[0], &r[0], &s[0], &t[0], lanes)
			copy(dgate[n:], p[:])
			copy(dup[n:], q[:])
			copy(dy[n:], r[:])
		}
	}
}

func swigluBackHalfWith(f func(dgate, dup, act *uint16, dy *float32, gate, up *uint16, n, ahead int)) func(dgate, dup, act []uint16, dy []float32, gate, up []uint16, ahead int) {
	return func(dgate, dup, act []uint16, dy []float32, gate, up []uint16, ahead int) {
		n, dup, act, dy, gate, up := body(len(dgate)), dup[:len(dgate)], act[:len(dgate)], dy[:len(dgate)], gate[:len(dgate)], up[:len(dgate)]
		if n > 0 {
			f(&dgate[0], &dup[0], &act[0], at(dy), &gate[0], &up[0], n, 2*ahead)
		}
		if n < len(dgate) {
			var h [5][lanes]uint16
			p := padded(dy[n:])
			copy(h[3][:], gate[n:])
			copy(h[4][:], up[n:])
			f(&h[0][0], &h[1][0], &h[2][0], &p[0], &h[3][0], &h[4][0], lanes, 0)
			copy(dgate[n:], h[0][:])
			copy(dup[n:], h[1][:])
			copy(act[n:], h[2][:])
		}
	}
}

func adamwWith(f func(p, dp, m, v *float32, n int, c *adamwCoef[float32])) func(p, g, m, v []float32, c *adamwCoef[float32]) {
	return func(p, g, m, v []float32, c *adamwCoef[float32]) {
		n, g, m, v := body(len(p)), g[:len(p)], m[:len(p)], v[:len(p)]
		if n > 0 {
			f(at(p), at(g), at(m), at(v), n, c)
		}
		if n < len(p) {
			a, b, d, e := padded(p[n:]), padded(g[n:]), padded(m[n:]), padded(v[n:])
			f(&a[0], &b[0], &d[0], &e[0], lanes, c)
			copy(p[n:], a[:])
			copy(m[n:], d[:])
			copy(v[n:], e[:])
		}
	}
}

func roundWith(f func(dst, src *float32, n int)) func(dst, src []float32) {
	return func(dst, src []float32) {
		n, src := body(len(dst)), src[:len(dst)]
		if n > 0 {
			f(at(dst), at(src), n)
		}
		roundRow(dst[n:], src[n:])
	}
}

func widenWith(f func(dst *float32, src *uint16, n int)) func(dst []float32, src []uint16) {
	return func(dst []float32, src []uint16) {
		n, src := body(len(dst)), src[:len(dst)]
		if n > 0 {
			f(at(dst), unsafe.SliceData(src), n)
		}
		widenRow(dst[n:], src[n:])
	}
}

func narrowWith(f func(dst *uint16, src *float32, n int)) func(dst []uint16, src []float32) {
	return func(dst []uint16, src []float32) {
		n, dst := body(len(src)), dst[:len(src)]
		if n > 0 {
			f(unsafe.SliceData(dst), at(src), n)
		}
		if n < len(src) {
			var h [lanes]uint16
			p := padded(src[n:])
			f(&h[0], &p[0], lanes)
			copy(dst[n:], h[:])
		}
	}
}

func sumSquaresWith(f func(x *float32, n int, lane *[lanes]float64)) func(x []float32, lane *[lanes]float64) {
	return func(x []float32, lane *[lanes]float64) {
		n := body(len(x))
		if n > 0 {
			f(at(x), n, lane)
		}
		sumSquaresGo(x[n:], lane)
	}
}

// onLine says whether p starts a cache line, as stores past the caches must.
func onLine(p unsafe.Pointer) bool { return uintptr(p)%lineBytes == 0 }

func streamWith(f func(dst, src *float32, n int)) func(dst, src []float32) {
	return func(dst, src []float32) {
		n, src := body(len(dst)), src[:len(dst)]
		if !onLine(unsafe.Pointer(at(dst))) {
			n = 0
		}
		if n > 0 {
			f(at(dst), at(src), n)
		}
		copy(dst[n:], src[n:])
	}
}

func sumStreamWith(f func(dst, x, y *float32, n int)) func(dst, x, y []float32) {
	return func(dst, x, y []float32) {
		n, x, y := body(len(dst)), x[:len(dst)], y[:len(dst)]
		if !onLine(unsafe.Pointer(at(dst))) {
			n = 0
		}
		if n > 0 {
			f(at(dst), at(x), at(y), n)
		}
		sumGo(dst[n:], x[n:], y[n:])
	}
}

// narrowStreamWith writes whole lines past the caches, and the rest as narrow does.
func narrowStreamWith(f func(dst *uint16, src *float32, n int), narrow func(dst []uint16, src []float32)) func(dst []uint16, src []float32) {
	return func(dst []uint16, src []float32) {
		n, dst := len(src)&^(lineHalf-1), dst[:len(src)]
		if !onLine(unsafe.Pointer(unsafe.SliceData(dst))) {
			n = 0
		}
		if n > 0 {
			f(unsafe.SliceData(dst), at(src), n)
		}
		narrow(dst[n:], src[n:])
	}
}

func vectorAVX2() vector[float32] {
	return vector[float32]{
		dot:        dotWith(dotAVX2),
		dot3:       dot3With(dot3AVX2),
		max:        maxWith(maxAVX2),
		axpy:       scaleWith(axpyAVX2),
		addAhead:   addAheadWith(addAheadAVX2),
		scale:      scaleWith(scaleAVX2),
		norm:       normWith(normAVX2),
		normBack:   normBackWith(normBackAVX2),
		mulAdd:     normWith(mulAddAVX2),
		rope:       ropeWith(ropeAVX2),
		ropeHalf:   ropeHalf(ropeWith(ropeAVX2), narrowWith(narrowAVX2)),
		swiglu:     swigluWith(swigluAVX2),
		swigluHalf: swigluHalf(swigluWith(swigluAVX2), narrowWith(narrowAVX2)),
		swigluBack: swigluBackWith(swigluBackAVX2),
		adamw:      adamwWith(adamwAVX2),
		widen:      widenWith(widenAVX2),
		round:      roundWith(roundAVX2),
		narrow:     narrowWith(narrowAVX2),
		sumSquares: sumSquaresWith(sumSquaresAVX2),

		stream:       streamWith(streamAVX2),
		sumStream:    sumStreamWith(sumStreamAVX2),
		narrowStream: narrowWith(narrowAVX2),
	}
}

func vectorAVX512() vector[float32] {
	return vector[float32]{
		dot:        dotWith(dotAVX512),
		dot3:       dot3With(dot3AVX512),
		max:        maxWith(maxAVX512),
		axpy:       scaleWith(axpyAVX512),
		addAhead:   addAheadWith(addAheadAVX512),
		scale:      scaleWith(scaleAVX512),
		norm:       normWith(normAVX512),
		normBack:   normBackWith(normBackAVX512),
		mulAdd:     normWith(mulAddAVX512),
		rope:       ropeWith(ropeAVX512),
		ropeHalf:   ropeHalf(ropeWith(ropeAVX512), narrowWith(narrowAVX512)),
		swiglu:     swigluWith(swigluAVX512),
		swigluHalf: swigluHalf(swigluWith(swigluAVX512), narrowWith(narrowAVX512)),
		swigluBack: swigluBackWith(swigluBackAVX512),
		adamw:      adamwWith(adamwAVX512),
		widen:      widenWith(widenAVX512),
		round:      roundWith(roundAVX512),
		narrow:     narrowWith(narrowAVX512),
		sumSquares: sumSquaresWith(sumSquaresAVX512),

		stream:       streamWith(streamAVX512),
		sumStream:    sumStreamWith(sumStreamAVX512),
		narrowStream: narrowWith(narrowAVX512),
	}
}

//go:noescape
func streamAVX2(dst, src *float32, n int)

//go:noescape
func addAheadAVX2(dst, x *float32, n, ahead int)

//go:noescape
func sumStreamAVX2(dst, x, y *float32, n int)

//go:noescape
func streamAVX512(dst, src *float32, n int)

//go:noescape
func addAheadAVX512(dst, x *float32, n, ahead int)

//go:noescape
func sumStreamAVX512(dst, x, y *float32, n int)

//go:noescape
func dotAVX2(a, b *float32, n int, lane *pad)

//go:noescape
func dot3AVX2(a, b, c *float32, n int, lane *pad)

//go:noescape
func maxAVX2(x *float32, n int, lane *pad)

//go:noescape
func axpyAVX2(dst, x *float32, n int, a float32)

//go:noescape
func scaleAVX2(dst, x *float32, n int, a float32)

//go:noescape
func normAVX2(dst, x, w *float32, n int, a float32)

//go:noescape
func normBackAVX2(dst, y, x, w *float32, n int, a, b float32)

//go:noescape
func mulAddAVX2(dst, x, y *float32, n int, a float32)

//go:noescape
func ropeAVX2(x1, x2, cos, sin *float32, n int, sign float32)

//go:noescape
func swigluAVX2(dst, gate, up *float32, n int)

//go:noescape
func swigluBackAVX2(dgate, dup, dy, gate, up *float32, n int)

//go:noescape
func adamwAVX2(p, dp, m, v *float32, n int, c *adamwCoef[float32])

//go:noescape
func widenAVX2(dst *float32, src *uint16, n int)

//go:noescape
func roundAVX2(dst, src *float32, n int)

//go:noescape
func narrowAVX2(dst *uint16, src *float32, n int)

//go:noescape
func sumSquaresAVX2(x *float32, n int, lane *[lanes]float64)

//go:noescape
func dotAVX512(a, b *float32, n int, lane *pad)

//go:noescape
func dot3AVX512(a, b, c *float32, n int, lane *pad)

//go:noescape
func maxAVX512(x *float32, n int, lane *pad)

//go:noescape
func axpyAVX512(dst, x *float32, n int, a float32)

//go:noescape
func scaleAVX512(dst, x *float32, n int, a float32)

//go:noescape
func normAVX512(dst, x, w *float32, n int, a float32)

//go:noescape
func normBackAVX512(dst, y, x, w *float32, n int, a, b float32)

//go:noescape
func mulAddAVX512(dst, x, y *float32, n int, a float32)

//go:noescape
func ropeAVX512(x1, x2, cos, sin *float32, n int, sign float32)

//go:noescape
func swigluAVX512(dst, gate, up *float32, n int)

//go:noescape
func swigluBackAVX512(dgate, dup, dy, gate, up *float32, n int)

//go:noescape
func adamwAVX512(p, dp, m, v *float32, n int, c *adamwCoef[float32])

//go:noescape
func widenAVX512(dst *float32, src *uint16, n int)

//go:noescape
func roundAVX512(dst, src *float32, n int)

//go:noescape
func narrowAVX512(dst *uint16, src *float32, n int)

//go:noescape
func sumSquaresAVX512(x *float32, n int, lane *[lanes]float64)
