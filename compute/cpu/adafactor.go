package cpu

import (
	"math"

	"eaft/compute"
)

// factorRows is how many rows one task sums over columns; the parts are added in
// order, so that sums do not depend on threads.
const factorRows = 64

// Adafactor: see compute.Adafactor. Averages are float32, the sums that they are
// made of float64.
func (e *engine[F]) Adafactor(p, g, row, col compute.Tensor, s compute.Adafactor) {
	f := &factored[F]{e: e, p: mat[F](p), g: mat[F](g), row: mat[F](row), col: mat[F](col), s: s}
	f.g.shape("Adafactor", "g", f.p.rows, f.p.cols)
	f.col.shape("Adafactor", "col", 1, f.p.cols)
	if f.row != nil {
		f.row.shape("Adafactor", "row", 1, f.p.rows)
	} else if f.p.rows != 1 {
		panic("cpu: Adafactor: a matrix without row")
	}
	f.average()
	f.update()
}

type factored[F real] struct {
	e              *engine[F]
	p, g, row, col *matrix[F]
	s              compute.Adafactor
}

// average moves row and col towards the means of the squares.
func (f *factored[F]) average() {
	rows, cols := f.p.rows, f.p.cols
	b := 1 - math.Pow(float64(f.s.Step), -f.s.Decay)
	move := func(x *F, mean float64) { *x = F(b*float64(*x) + (1-b)*mean) }
	parts := make([]float64, (rows+factorRows-1)/factorRows*cols)
	f.e.chunks(rows, factorRows, func(lo, hi int) {
		part := parts[lo/factorRows*cols:][:cols]
		for i := lo; i < hi; i++ {
			var sum float64
			for j, v := range f.g.row(i) {
				sq := float64(v)*f.s.GradScale*(float64(v)*f.s.GradScale) + f.s.Eps
				sum += sq
				part[j] += sq
			}
			if f.row != nil {
				move(&f.row.data[i], sum/float64(cols))
			}
		}
	})
	f.e.chunks(cols, columnChunk, func(lo, hi int) {
		for j := lo; j < hi; j++ {
			var sum float64
			for at := j; at < len(parts); at += cols {
				sum += parts[at]
			}
			move(&f.col.data[j], sum/float64(rows))
		}
	})
}

// update takes the step, once the size of the whole is known.
func (f *factored[F]) update() {
	rows, cols := f.p.rows, f.p.cols
	byRow := func(int) float64 { return 1 }
	if f.row != nil {
		var mean float64
		for _, r := range f.row.data {
			mean += float64(r)
		}
		mean /= float64(rows)
		byRow = func(i int) float64 { return math.Sqrt(mean / float64(f.row.data[i])) }
	}
	byCol := make([]float64, cols)
	for j, c := range f.col.data {
		byCol[j] = 1 / math.Sqrt(float64(c))
	}
	squares := make([]float64, rows)
	f.e.rowsOf(rows, cols, func(i int) {
		a := byRow(i) * f.s.GradScale
		for j, v := range f.g.row(i) {
			u := float64(v) * a * byCol[j]
			squares[i] += u * u
		}
	})
	var sum float64
	for _, q := range squares {
		sum += q
	}
	scale := f.s.LR / max(1, math.Sqrt(sum/float64(rows*cols))/f.s.Clip)
	keep := 1 - f.s.LR*f.s.WeightDecay
	f.e.rowsOf(rows, cols, func(i int) {
		a := byRow(i) * f.s.GradScale * scale
		p := f.p.row(i)
		for j, v := range f.g.row(i) {
			p[j] = F(keep*float64(p[j]) - float64(v)*a*byCol[j])
		}
	})
}
