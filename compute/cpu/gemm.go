package cpu

import "eaft/compute"

const (
	blockK      = 512     // k of one micro-kernel call: bounds its time and keeps panels in cache
	blockRows   = 8       // tiles of rows in a task
	blockPanels = 4       // panels of B in a task, at most
	packedMax   = 4 << 20 // elements of B packed at a time, at most one panel more
)

// left is an operand A(i, k) = data[i*rs + k*ks].
type left[F real] struct {
	data   []F
	rs, ks int
}

// right is an operand B(k, j) that packs panels of nr columns as [k][nr].
type right[F real] struct {
	f     []F // row-major, or
	ld    int
	half  *packedHalf // a weight's rows from the row at on, a multiple of 32
	at    int
	trans bool // B(k, j) = row j, column k; otherwise row k, column j
}

// rightOf is a weight as an operand, from its row at on.
func rightOf[F real](w *weight[F], at int, trans bool) right[F] {
	if w.half != nil {
		return right[F]{half: w.half, at: at, trans: trans}
	}
	return right[F]{f: w.f[at*w.k:], ld: w.k, trans: trans}
}

// pack writes columns [j, j+n), j a multiple of nr, and all k rows.
func (e *engine[F]) pack(dst []F, b right[F], j, n, k int) {
	nr := e.k.nr
	switch {
	case b.half != nil && b.trans:
		for c := 0; c < n; c += nr {
			at := b.at + j + c
			unpackHalf(dst[c*k:], b.half.from(at/halfPanel*halfPanel), at%halfPanel, k, nr)
		}
	case b.half != nil:
		row := e.halves.get(b.half.k)
		defer e.halves.put(row)
		for i := range k {
			b.half.column(row, b.at+i)
			for c := 0; c < n; c += nr {
				d := dst[c*k+i*nr:][:nr]
				w := min(nr, n-c)
				e.k.widen(d[:w], row[j+c:][:w])
				clear(d[w:])
			}
		}
	case b.trans:
		for c := 0; c < n; c += nr {
			e.k.packT(dst[c*k:], b.f[(j+c)*b.ld:], b.ld, min(nr, n-c), k, nr)
		}
	default:
		for c := 0; c < n; c += nr {
			packN(dst[c*k:], b.f[j+c:], b.ld, min(nr, n-c), k, nr)
		}
	}
}

// mulBlock computes c[m][n] (+)= a b for packed panels b on one thread. An
// element is summed over k in ascending order by one accumulator whatever the
// blocking, so it depends neither on m, nor on n, nor on threads.
func mulBlock[F real](ker *kernels[F], c []F, ldc, m, n int, a left[F], b []F, k int, acc bool) {
	mr, nr := ker.mr, ker.nr
	t := tile[F]{rs: a.rs, ks: a.ks}
	blocks := (m + mr - 1) / mr
	var edge []F
	if n%nr != 0 {
		edge = make([]F, mr*nr)
	}
	for k0 := 0; k0 < k; k0 += blockK {
		t.k = min(blockK, k-k0)
		t.acc = 0
		if acc || k0 > 0 {
			t.acc = 1
		}
		for j := 0; j < n; j += nr {
			t.b = b[j*k+k0*nr:]
			for i := range blocks { // of nearly equal height: no slow short last one
				lo, hi := i*m/blocks, (i+1)*m/blocks
				t.rows = hi - lo
				t.a = a.data[lo*a.rs+k0*a.ks:]
				if cols := n - j; cols < nr {
					t.c, t.ldc = edge, nr
					for r := range t.rows {
						copy(edge[r*nr:][:cols], c[(lo+r)*ldc+j:])
					}
					ker.micro(&t)
					for r := range t.rows {
						copy(c[(lo+r)*ldc+j:][:cols], edge[r*nr:])
					}
				} else {
					t.c, t.ldc = c[lo*ldc+j:], ldc
					ker.micro(&t)
				}
			}
		}
	}
}

// mulPacked is mulBlock on all threads.
func (e *engine[F]) mulPacked(c []F, ldc, m, n int, a left[F], b []F, k int, acc bool) {
	nr := e.k.nr
	rows := e.k.mr * blockRows
	panels := (n + nr - 1) / nr
	// Small products: at least 8 tasks for each thread.
	per := max(1, min(blockPanels, panels*((m+rows-1)/rows)/(8*e.pool.threads)))
	across := (panels + per - 1) / per
	down := (m + rows - 1) / rows
	e.pool.run(across*down, func(task int) {
		i, p := task/across, task%across
		lo, hi := i*m/down, (i+1)*m/down
		j := p * per * nr
		mulBlock(e.k, c[lo*ldc+j:], ldc, hi-lo, min(n-j, per*nr),
			left[F]{a.data[lo*a.rs:], a.rs, a.ks}, b[j*k:], k, acc)
	})
}

// packAll packs the columns [j, j+n).
func (e *engine[F]) packAll(dst []F, b right[F], j, n, k int) {
	e.chunks(n, e.k.nr, func(lo, hi int) { e.pack(dst[lo*k:], b, j+lo, hi-lo, k) })
}

// mul computes c[m][n] (+)= a b, packing b as it goes.
func (e *engine[F]) mul(c []F, ldc, m, n int, a left[F], b right[F], k int, acc bool) {
	if m == 0 || n == 0 {
		return
	}
	if k == 0 {
		if !acc {
			for i := range m {
				clear(c[i*ldc:][:n])
			}
		}
		return
	}
	nr := e.k.nr
	width := min((n+nr-1)/nr, max(1, packedMax/(k*nr))) * nr
	packed := e.buf.get(width * k)
	defer e.buf.put(packed)
	for j := 0; j < n; j += width {
		w := min(width, n-j)
		e.packAll(packed, b, j, w, k)
		e.mulPacked(c[j:], ldc, m, w, a, packed, k, acc)
	}
}

// operand is x as a left-hand operand in float32; done gives back what it took.
func (e *engine[F]) operand(x *matrix[F], dtype compute.DType) (data []F, done func()) {
	if x.half == nil && dtype != compute.BF16 {
		return x.data, func() {}
	}
	y := e.buf.get(x.rows * x.cols)
	e.rowsOf(x.rows, x.cols, func(i int) {
		if d := y[i*x.cols:][:x.cols]; x.half != nil {
			e.k.widen(d, x.halfRow(i))
		} else {
			e.k.round(d, x.row(i))
		}
	})
	return y, func() { e.buf.put(y) }
}

// checkOperand panics where x is bfloat16 and what it is multiplied by is not.
func checkOperand[F real](op string, x *matrix[F], w *weight[F]) {
	if x.half != nil && w.half == nil {
		panic("cpu: " + op + ": a bf16 operand for a float32 weight")
	}
}

// Linear: dst[T,N] = x[T,K] w^T + bias + residual; see compute.Device.
func (e *engine[F]) Linear(dst, x compute.Tensor, w compute.Weight, bias, residual compute.Tensor) {
	d, a, b, bs, res := mat[F](dst), mat[F](x), weightOf[F](w), mat[F](bias), mat[F](residual)
	a.shapeAny("Linear", "x", d.rows, b.k)
	d.shapeAny("Linear", "dst", a.rows, b.n)
	checkOperand("Linear", a, b)
	checkOperand("Linear", d, b)
	if bs != nil {
		bs.shape("Linear", "bias", 1, b.n)
	}
	if res != nil {
		res.shape("Linear", "residual", d.rows, d.cols)
		d.shape("Linear", "dst, to which a residual is added,", d.rows, d.cols)
	}
	if b.half != nil && e.k.half.micro != nil {
		left, done := e.halfOperand(a)
		e.linearHalf(d, left, b.half.data, b.k, bs, res)
		done()
		return
	}
	out, round := e.wideResult(d)
	if res != nil && res != d {
		e.spans(len(d.data), func(lo, hi int) { copy(d.data[lo:hi], res.data[lo:hi]) })
	}
	data, done := e.operand(a, b.dtype)
	e.mul(out, d.cols, d.rows, d.cols, left[F]{data, b.k, 1}, rightOf(b, 0, true), b.k, res != nil)
	done()
	if bs != nil {
		e.rowsOf(d.rows, d.cols, func(i int) { e.k.axpy(out[i*d.cols:][:d.cols], bs.data, 1) })
	}
	round()
}

// wideResult is where d's elements are computed in F; round writes them to d if
// it is bfloat16.
func (e *engine[F]) wideResult(d *matrix[F]) (data []F, round func()) {
	if d.half == nil {
		return d.data, func() {}
	}
	data = e.buf.get(d.rows * d.cols)
	return data, func() {
		e.rowsOf(d.rows, d.cols, func(i int) { e.k.narrow(d.halfRow(i), data[i*d.cols:][:d.cols]) })
		e.buf.put(data)
	}
}

// wideRow is row i of x in F, in buf if it is bfloat16.
func (e *engine[F]) wideRow(x *matrix[F], i int, buf []F) []F {
	if x.half == nil {
		return x.row(i)
	}
	e.k.widen(buf, x.halfRow(i))
	return buf
}

// LinearBackward is the backward pass of projections of one input; see compute.Device.
func (e *engine[F]) LinearBackward(dx, x compute.Tensor, add bool, ps ...compute.Projection) {
	d, a := mat[F](dx), mat[F](x)
	half := e.k.half.micro != nil
	for _, p := range ps {
		g, w, dw, db := mat[F](p.DY), weightOf[F](p.W), mat[F](p.DW), mat[F](p.DBias)
		g.shapeAny("LinearBackward", "dy", a.rows, w.n)
		d.shapeAny("LinearBackward", "dx", a.rows, w.k)
		if dw != nil {
			dw.shape("LinearBackward", "dw", w.n, w.k)
		}
		checkOperand("LinearBackward", a, w)
		checkOperand("LinearBackward", g, w)
		half = half && w.half != nil
		if db != nil {
			db.shape("LinearBackward", "dbias", 1, w.n)
			e.addRows(db.data, g)
		}
	}
	if d.half != nil && (add || len(ps) > 1) {
		panic("cpu: LinearBackward: a bf16 dx of a sum")
	}
	if half {
		e.linearBackwardHalf(d, a, add, ps)
		return
	}
	out, round := e.wideResult(d)
	defer round()
	for i, p := range ps {
		g, w, dw := mat[F](p.DY), weightOf[F](p.W), mat[F](p.DW)
		gd, done := e.operand(g, w.dtype)
		ad, done2 := e.operand(a, w.dtype)
		e.mul(out, d.cols, d.rows, d.cols, left[F]{gd, w.n, 1}, rightOf(w, 0, false), w.n, add || i > 0)
		if dw != nil {
			e.mul(dw.data, dw.cols, dw.rows, dw.cols, left[F]{gd, 1, w.n}, right[F]{f: ad, ld: w.k}, g.rows, !p.Set)
		}
		done()
		done2()
	}
}

// addRows: sum += every row of x, in order.
func (e *engine[F]) addRows(sum []F, x *matrix[F]) {
	e.chunks(x.cols, columnChunk, func(lo, hi int) {
		row := make([]F, hi-lo)
		for i := range x.rows {
			if x.half != nil {
				e.k.widen(row, x.halfRow(i)[lo:hi])
			} else {
				row = x.row(i)[lo:hi]
			}
			e.k.axpy(sum[lo:hi], row, 1)
		}
	})
}
