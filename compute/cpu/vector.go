package cpu

import "math"

// vector is the element-wise part of an instruction set. Slices of one call have
// the length of the first; results may take an operand's place.
type vector[F real] struct {
	dot  func(a, b []F) F    // in lanes, then in a tree
	dot3 func(a, b, c []F) F // sum of a b c, likewise
	max  func(x []F) F       // ignores NaN; of nothing the lowest number

	axpy func(dst, x []F, a F) // dst += a x
	// addAhead: dst += x, and what lies ahead elements behind dst is brought near
	// to be changed soon; it need not be there.
	addAhead func(dst, x []F, ahead int)
	scale    func(dst, x []F, a F)          // dst = a x
	norm     func(dst, x, w []F, a F)       // dst = a x w
	normBack func(dst, y, x, w []F, a, b F) // dst += a (y w - b x)
	mulAdd   func(dst, x, y []F, a F)       // dst += a x y
	// rope: (x1, x2) = (x1 cos - x2 sin, x2 cos + x1 sin), sin times sign.
	rope func(x1, x2, cos, sin []F, sign F)
	// ropeHalf: whole heads, each x1 and behind it x2, rotated and rounded to
	// bfloat16; may write over x.
	ropeHalf func(dst []uint16, x, cos, sin []F)
	swiglu   func(dst, gate, up []F)
	// swigluHalf is swiglu of a tile rounded to bfloat16: rows of n, which lie ldd
	// and ld apart. It may write over gate.
	swigluHalf func(dst []uint16, gate, up []F, rows, n, ldd, ld int)
	swigluBack func(dgate, dup, dy, gate, up []F)
	// swigluBackHalf is swigluBack with all but dy in bfloat16, and silu(gate) * up
	// in act; nil: in steps. What lies ahead elements behind gate and up is brought
	// near, for the rows of the next tile: hardware does not foresee them.
	swigluBackHalf func(dgate, dup, act []uint16, dy []F, gate, up []uint16, ahead int)
	adamw          func(p, g, m, v []F, c *adamwCoef[F])

	round      func(dst, src []F)        // to bfloat16
	widen      func(dst []F, s []uint16) // from bfloat16
	narrow     func(dst []uint16, src []F)
	sumSquares func(x []F, lane *[lanes]float64) // element i to lane i%lanes

	// These write past the caches where the hardware can: for what is not read
	// soon, or lies far away already. An ordinary store waits for its line's old
	// content, several times as long. The next locked instruction, which ends
	// every task of a pool, makes the writes visible to all cores.
	stream       func(dst, src []F)
	sumStream    func(dst, x, y []F) // dst = x + y
	narrowStream func(dst []uint16, src []F)
}

func portableVector[F real]() vector[F] {
	return vector[F]{
		dot: dotGo[F], dot3: dot3Go[F], max: maxGo[F],
		axpy: axpyGo[F], addAhead: addAheadGo[F], scale: scaleGo[F], norm: normGo[F], normBack: normBackGo[F], mulAdd: mulAddGo[F],
		rope: ropeGo[F], ropeHalf: ropeHalf(ropeGo[F], narrow[F]), swiglu: swigluGo[F], swigluHalf: swigluHalf(swigluGo[F], narrow[F]), swigluBack: swigluBackGo[F], adamw: adamwGo[F],
		round: roundRow[F], widen: widenRow[F], narrow: narrow[F], sumSquares: sumSquaresGo[F],
		stream: copyGo[F], sumStream: sumGo[F], narrowStream: narrow[F],
	}
}

// sumLanes adds the lanes in a fixed tree.
func sumLanes[F real](s *[lanes]F) F {
	for w := lanes / 2; w > 0; w /= 2 {
		for l := range w {
			s[l] += s[l+w]
		}
	}
	return s[0]
}

func dotGo[F real](a, b []F) F {
	var s [lanes]F
	b = b[:len(a)]
	for i, v := range a {
		s[i%lanes] += F(v * b[i])
	}
	return sumLanes(&s)
}

func dot3Go[F real](a, b, c []F) F {
	var s [lanes]F
	b, c = b[:len(a)], c[:len(a)]
	for i, v := range a {
		s[i%lanes] += F(F(v*b[i]) * c[i])
	}
	return sumLanes(&s)
}

func maxGo[F real](x []F) F {
	m := lowest[F]()
	for _, v := range x {
		if v > m {
			m = v
		}
	}
	return m
}

// lowest is the most negative float32: finite, so that differences are not NaN.
func lowest[F real]() F { return F(-3.40282346638528859811704183484516925440e+38) }

func axpyGo[F real](dst, x []F, a F) {
	x = x[:len(dst)]
	for i := range dst {
		dst[i] += F(a * x[i])
	}
}

func addAheadGo[F real](dst, x []F, _ int) {
	x = x[:len(dst)]
	for i := range dst {
		dst[i] += x[i]
	}
}

func scaleGo[F real](dst, x []F, a F) {
	x = x[:len(dst)]
	for i := range dst {
		dst[i] = a * x[i]
	}
}

func normGo[F real](dst, x, w []F, a F) {
	x, w = x[:len(dst)], w[:len(dst)]
	for i := range dst {
		dst[i] = F(a*x[i]) * w[i]
	}
}

func normBackGo[F real](dst, y, x, w []F, a, b F) {
	y, x, w = y[:len(dst)], x[:len(dst)], w[:len(dst)]
	for i := range dst {
		dst[i] += F(a * (F(y[i]*w[i]) - F(b*x[i])))
	}
}

func mulAddGo[F real](dst, x, y []F, a F) {
	x, y = x[:len(dst)], y[:len(dst)]
	for i := range dst {
		dst[i] += F(F(a*x[i]) * y[i])
	}
}

func ropeGo[F real](x1, x2, cos, sin []F, sign F) {
	x2, cos, sin = x2[:len(x1)], cos[:len(x1)], sin[:len(x1)]
	for i, u := range x1 {
		v, c, s := x2[i], cos[i], sign*sin[i]
		x1[i] = F(u*c) - F(v*s)
		x2[i] = F(v*c) + F(u*s)
	}
}

// ropeHalf joins rope and narrow.
func ropeHalf[F real](rope func(x1, x2, cos, sin []F, sign F), narrow func(dst []uint16, src []F)) func(dst []uint16, x, cos, sin []F) {
	return func(dst []uint16, x, cos, sin []F) {
		for h, n := 0, len(cos); h < len(x); h += 2 * n {
			rope(x[h:][:n], x[h+n:][:n], cos, sin, 1)
		}
		narrow(dst, x)
	}
}

func swigluGo[F real](dst, gate, up []F) {
	gate, up = gate[:len(dst)], up[:len(dst)]
	for i, g := range gate {
		dst[i] = F(g/(1+expOf(-g))) * up[i]
	}
}

// swigluHalf joins swiglu and narrow.
func swigluHalf[F real](swiglu func(dst, gate, up []F), narrow func(dst []uint16, src []F)) func(dst []uint16, gate, up []F, rows, n, ldd, ld int) {
	return func(dst []uint16, gate, up []F, rows, n, ldd, ld int) {
		for i := range rows {
			g := gate[i*ld:][:n]
			swiglu(g, g, up[i*ld:][:n])
			narrow(dst[i*ldd:][:n], g)
		}
	}
}

// swigluBackGo: dgate and dup from dy, in whose place it leaves silu(gate) * up.
func swigluBackGo[F real](dgate, dup, dy, gate, up []F) {
	dup, dy, gate, up = dup[:len(dgate)], dy[:len(dgate)], gate[:len(dgate)], up[:len(dgate)]
	for i, y := range dy {
		g, u := gate[i], up[i]
		s := 1 / (1 + expOf(-g))
		silu := F(g * s)
		dup[i] = y * silu
		dgate[i] = F(y*u) * (s + F(silu*(1-s)))
		dy[i] = silu * u
	}
}

func adamwGo[F real](p, g, m, v []F, c *adamwCoef[F]) {
	g, m, v = g[:len(p)], m[:len(p)], v[:len(p)]
	for i := range p {
		x := g[i] * c.scale
		m[i] = F(m[i]*c.beta1) + F(x*c.rest1)
		v[i] = F(v[i]*c.beta2) + F(F(x*x)*c.rest2)
		root := F(math.Sqrt(float64(v[i])))
		p[i] = F(p[i]*c.decay) - F(c.step*m[i])/(F(root*c.invRootBias)+c.eps)
	}
}

// roundRow: dst[i] = src[i] rounded to bfloat16.
func roundRow[F real](dst, src []F) {
	src = src[:len(dst)]
	for i, v := range src {
		dst[i] = F(fromBF16(toBF16(float32(v))))
	}
}

func widenRow[F real](dst []F, src []uint16) {
	src = src[:len(dst)]
	for i, v := range src {
		dst[i] = F(fromBF16(v))
	}
}

func narrow[F real](dst []uint16, src []F) {
	dst = dst[:len(src)]
	for i, v := range src {
		dst[i] = toBF16(float32(v))
	}
}

func copyGo[F real](dst, src []F) { copy(dst, src[:len(dst)]) }

func sumGo[F real](dst, x, y []F) {
	x, y = x[:len(dst)], y[:len(dst)]
	for i := range dst {
		dst[i] = x[i] + y[i]
	}
}

func sumSquaresGo[F real](x []F, lane *[lanes]float64) {
	for i, v := range x {
		lane[i%lanes] += float64(float64(v) * float64(v))
	}
}
