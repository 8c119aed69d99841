package cpu

import (
	"fmt"
	"math"

	"eaft/compute"
)

// real is what the mathematics is written over: float32 is the device, float64
// is what its tests differentiate numerically.
type real interface{ float32 | float64 }

// matrix is a row-major matrix in memory: data in F32, half in BF16.
type matrix[F real] struct {
	rows, cols int
	data       []F
	half       []uint16 // rows are ld apart, zeros behind the columns
	ld         int
}

func dense[F real](rows, cols int, data []F) *matrix[F] {
	return &matrix[F]{rows: rows, cols: cols, data: data}
}

func (m *matrix[F]) Rows() int { return m.rows }
func (m *matrix[F]) Cols() int { return m.cols }

func (m *matrix[F]) DType() compute.DType {
	if m.half != nil {
		return compute.BF16
	}
	return compute.F32
}

// Slice is the rows [lo, hi), sharing memory.
func (m *matrix[F]) Slice(lo, hi int) compute.Tensor {
	if m.half != nil {
		return &matrix[F]{rows: hi - lo, cols: m.cols, half: m.half[lo*m.ld : hi*m.ld : hi*m.ld], ld: m.ld}
	}
	return dense(hi-lo, m.cols, m.data[lo*m.cols:hi*m.cols:hi*m.cols])
}

func (m *matrix[F]) row(i int) []F { return m.data[i*m.cols:][:m.cols:m.cols] }

func (m *matrix[F]) halfRow(i int) []uint16 { return m.half[i*m.ld:][:m.cols:m.cols] }

// mat is the matrix behind a tensor of this device, nil for a nil tensor.
func mat[F real](t compute.Tensor) *matrix[F] {
	if t == nil {
		return nil
	}
	m, ok := t.(*matrix[F])
	if !ok {
		panic(fmt.Sprintf("cpu: tensor %T is not of this device", t))
	}
	return m
}

// shape panics unless m is rows x cols in F32.
func (m *matrix[F]) shape(op, name string, rows, cols int) {
	m.shapeAny(op, name, rows, cols)
	if m.half != nil {
		panic(fmt.Sprintf("cpu: %s: %s is bf16, which it does not take", op, name))
	}
}

// shapeAny panics unless m is rows x cols.
func (m *matrix[F]) shapeAny(op, name string, rows, cols int) {
	if m.rows != rows || m.cols != cols {
		panic(fmt.Sprintf("cpu: %s: %s is [%d, %d], want [%d, %d]", op, name, m.rows, m.cols, rows, cols))
	}
}

// weight is [n, k]: f, row-major, in F32; half, which is its transpose in
// panels, in BF16.
type weight[F real] struct {
	n, k   int
	dtype  compute.DType
	f      []F
	half   *packedHalf
	master *matrix[F] // what Refresh derives half from
}

func (w *weight[F]) N() int               { return w.n }
func (w *weight[F]) K() int               { return w.k }
func (w *weight[F]) DType() compute.DType { return w.dtype }

func weightOf[F real](w compute.Weight) *weight[F] {
	v, ok := w.(*weight[F])
	if !ok {
		panic(fmt.Sprintf("cpu: weight %T is not of this device", w))
	}
	return v
}

// toBF16 rounds to bfloat16, nearest even; a NaN stays one.
func toBF16(x float32) uint16 {
	b := math.Float32bits(x)
	if x != x {
		return uint16(b>>16) | 64
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

func fromBF16(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }

// NewTensor is a matrix of zeros.
func (e *engine[F]) NewTensor(rows, cols int, dtype compute.DType) compute.Tensor {
	if dtype == compute.BF16 {
		ld := halfStride(cols)
		return &matrix[F]{rows: rows, cols: cols, half: newHalf(rows * ld), ld: ld}
	}
	return dense(rows, cols, allocate[F](rows*cols))
}

// Write copies src into dst, row-major.
func (e *engine[F]) Write(dst compute.Tensor, src []F) {
	d := mat[F](dst)
	if len(src) != d.rows*d.cols {
		panic(fmt.Sprintf("cpu: Write: %d values for [%d, %d]", len(src), d.rows, d.cols))
	}
	if d.half == nil {
		copy(d.data, src)
		return
	}
	for i := range d.rows {
		e.k.narrow(d.halfRow(i), src[i*d.cols:][:d.cols])
	}
}

// Read copies src into dst, row-major.
func (e *engine[F]) Read(dst []F, src compute.Tensor) {
	s := mat[F](src)
	if len(dst) != s.rows*s.cols {
		panic(fmt.Sprintf("cpu: Read: %d values from [%d, %d]", len(dst), s.rows, s.cols))
	}
	if s.half == nil {
		copy(dst, s.data)
		return
	}
	for i := range s.rows {
		e.k.widen(dst[i*s.cols:][:s.cols], s.halfRow(i))
	}
}

// Zero clears dst.
func (e *engine[F]) Zero(dst compute.Tensor) {
	d := mat[F](dst)
	e.spans(len(d.data), func(lo, hi int) { clear(d.data[lo:hi]) })
	e.spans(len(d.half), func(lo, hi int) { clear(d.half[lo:hi]) })
}

// GatherRows: dst[i] = src[rows[i]].
func (e *engine[F]) GatherRows(dst, src compute.Tensor, rows []int32) {
	d, s := mat[F](dst), mat[F](src)
	d.shapeAny("GatherRows", "dst", len(rows), s.cols)
	if d.DType() != s.DType() {
		panic(fmt.Sprintf("cpu: GatherRows: rows of %v for a matrix of %v", s.DType(), d.DType()))
	}
	e.rowsOf(d.rows, d.cols, func(i int) {
		if d.half != nil {
			copy(d.halfRow(i), s.halfRow(int(rows[i])))
		} else {
			copy(d.row(i), s.row(int(rows[i])))
		}
	})
}

// ScatterAddRows: dst[rows[i]] += src[i], i ascending.
func (e *engine[F]) ScatterAddRows(dst, src compute.Tensor, rows []int32) {
	d, s := mat[F](dst), mat[F](src)
	s.shape("ScatterAddRows", "src", len(rows), d.cols)
	e.chunks(d.cols, columnChunk, func(lo, hi int) {
		for i, r := range rows {
			e.k.axpy(d.row(int(r))[lo:hi], s.row(i)[lo:hi], 1)
		}
	})
}

// NewWeight makes a weight from rows that fill writes one after another.
func (e *engine[F]) NewWeight(n, k int, dtype compute.DType, fill func(row int, dst []F) error) (compute.Weight, error) {
	w := &weight[F]{n: n, k: k, dtype: dtype}
	if dtype != compute.BF16 {
		w.f = allocate[F](n * k)
		for i := range n {
			if err := fill(i, w.f[i*k:][:k]); err != nil {
				return nil, err
			}
		}
		return w, nil
	}
	w.half = newPackedHalf(k, n)
	row := make([]F, k)
	ld := 2 * w.half.pairs
	stripe := make([]uint16, halfPanel*ld)
	for lo := 0; lo < n; lo += halfPanel {
		rows := min(halfPanel, n-lo)
		for i := range rows {
			if err := fill(lo+i, row); err != nil {
				return nil, err
			}
			e.k.narrow(stripe[i*ld:][:k], row)
		}
		e.k.half.packRows(w.half.from(lo), stripe, ld, rows, k)
	}
	return w, nil
}

// WeightOf makes the operand of a trained matrix; in F32 it shares its memory.
func (e *engine[F]) WeightOf(master compute.Tensor, dtype compute.DType) compute.Weight {
	m := mat[F](master)
	w := &weight[F]{n: m.rows, k: m.cols, dtype: dtype, master: m}
	if dtype == compute.BF16 {
		w.half = newPackedHalf(m.cols, m.rows)
		e.Refresh(w)
	} else {
		w.f = m.data
	}
	return w
}

// Refresh derives the operand again after the matrix has changed.
func (e *engine[F]) Refresh(cw compute.Weight) {
	w := weightOf[F](cw)
	if w.master == nil || w.half == nil {
		return
	}
	e.refresh(w, func(int) {})
}

// refresh derives w.half from its master, whose row i is ready after update(i).
func (e *engine[F]) refresh(w *weight[F], update func(i int)) {
	ld := 2 * w.half.pairs
	e.chunks(w.n, halfPanel, func(lo, hi int) {
		stripe := e.halves.get(halfPanel * ld)
		defer e.halves.put(stripe)
		for i := lo; i < hi; i++ {
			update(i)
			e.k.narrow(stripe[(i-lo)*ld:][:w.k], w.master.row(i))
			clear(stripe[(i-lo)*ld+w.k:][:ld-w.k])
		}
		e.k.half.packRows(w.half.from(lo), stripe, ld, hi-lo, w.k)
	})
}
