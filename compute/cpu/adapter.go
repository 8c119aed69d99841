package cpu

import (
	"math"

	"eaft/compute"
)

// Scale: dst = a x.
func (e *engine[F]) Scale(dst, x compute.Tensor, a float32) {
	d, s := mat[F](dst), mat[F](x)
	d.shapeAny("Scale", "dst", s.rows, s.cols)
	s.shape("Scale", "x", s.rows, s.cols)
	e.eachRow(d, func(i int, row []F) { e.k.scale(row, s.row(i), F(a)) })
}

// eachRow calls f to write each row of d, in a buffer if d is bfloat16.
func (e *engine[F]) eachRow(d *matrix[F], f func(i int, row []F)) {
	e.rowsOf(d.rows, d.cols, func(i int) {
		if d.half == nil {
			f(i, d.row(i))
			return
		}
		row := e.buf.get(d.cols)
		f(i, row)
		e.k.narrow(d.halfRow(i), row)
		e.buf.put(row)
	})
}

// Dropout: see compute.Adapters. A hash gives the bits of four elements.
func (e *engine[F]) Dropout(dst, x compute.Tensor, keys []uint64, salt uint64, p float64, add bool) {
	const op = "Dropout"
	d, s := mat[F](dst), mat[F](x)
	d.shapeAny(op, "dst", s.rows, s.cols)
	if add {
		d.shape(op, "dst, to which is added,", s.rows, s.cols)
	}
	if len(keys) != s.rows {
		panic("cpu: Dropout: keys need one entry for each row")
	}
	below, scale := uint64(math.Round(p*(1<<16))), F(1/(1-p))
	e.rowsOf(d.rows, d.cols, func(i int) {
		buf := e.buf.get(2 * d.cols)
		defer e.buf.put(buf)
		in, out := e.wideRow(s, i, buf[:d.cols]), buf[d.cols:]
		var bits uint64
		key := scramble(keys[i] + salt)
		for j, v := range in {
			if j%4 == 0 {
				bits = scramble(key + uint64(j/4)*0x9e3779b97f4a7c15)
			}
			if bits&0xffff < below {
				v = 0
			}
			out[j], bits = v*scale, bits>>16
		}
		if add {
			e.k.axpy(d.row(i), out, 1)
		} else {
			e.writeRow(d, i, 0, out)
		}
	})
}

// scramble is the finalizer of SplitMix64 (Steele, Lea and Flood 2014).
func scramble(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// Gated: act = silu(g) * u.
func (e *engine[F]) Gated(act, g, u compute.Tensor) {
	d, a, b := mat[F](act), mat[F](g), mat[F](u)
	a.shapeAny("Gated", "g", d.rows, d.cols)
	b.shapeAny("Gated", "u", d.rows, d.cols)
	e.eachRow(d, func(i int, row []F) {
		buf := e.buf.get(2 * d.cols)
		e.k.swiglu(row, e.wideRow(a, i, buf[:d.cols]), e.wideRow(b, i, buf[d.cols:]))
		e.buf.put(buf)
	})
}

// GatedGradient: dg and du from dact.
func (e *engine[F]) GatedGradient(dg, du, dact, g, u compute.Tensor) {
	dy := mat[F](dact)
	dy.shape("GatedGradient", "dact", dy.rows, dy.cols)
	b := &gatedBack[F]{e: e, dg: mat[F](dg), du: mat[F](du), g: mat[F](g), u: mat[F](u)}
	for _, m := range []*matrix[F]{b.dg, b.du, b.g, b.u} {
		m.shapeAny("GatedGradient", "a factor or its gradient", dy.rows, dy.cols)
	}
	e.chunks(dy.rows, max(1, spanChunk/dy.cols), func(lo, hi int) {
		b.tile(dy, lo, hi, 0, tileOf[F]{dy.data[lo*dy.cols:], dy.cols, dy.cols})
	})
}
