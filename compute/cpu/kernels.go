package cpu

// kernels is what an instruction set provides; everything else is common.
// Each is defined by its portable version in this package; an element's sum is
// always in ascending order or, for dot and the head, in a fixed number of lanes.
type kernels[F real] struct {
	isa string
	vector[F]
	mr, nr int // rows and columns of the largest tile

	micro func(t *tile[F])
	packT func(dst, src []F, ld, n, k, nr int) // dst[i][j] = src[j][i], j < n, zeros up to nr
	// expSum: x = exp(x - shift); returns the sum.
	expSum func(x []F, shift F) F
	// headRow: see headRowGo; len(x) is a multiple of lanes, val and id are longer
	// by that much.
	headRow     func(s *headState[F], x []F, first int, val []F, id []int32) int
	softmax     func(ker *kernels[F], t *softTile[F])
	attend      func(ker *kernels[F], t *softTile[F], out []F, half []uint16, ld, n int)
	softmaxBack func(ker *kernels[F], t *softBackTile[F])
	dotsHalf    func(dst []F, a, b []uint16, n int) // dot of each pair of n in bfloat16; n is a multiple of lanes. nil: dot of widened rows

	half halfKernels
}

// lanes is how many independent running sums a reduction has, whatever the
// vector length of the instruction set.
const lanes = 16

// tile is one call of a micro-kernel: c[rows][nr] (+)= sum over k ascending of
// a[i*rs + k*ks] * b[k*nr + j]. Assembly reads it by offset.
type tile[F real] struct {
	a, b, c []F
	k       int // at least 1
	rs, ks  int // elements from one row and one k of a to the next
	ldc     int // elements
	rows    int // 1..mr
	acc     int // 1: start from c, 0: from zero
}

func portable[F real]() *kernels[F] {
	return &kernels[F]{
		isa: "generic", vector: portableVector[F](), half: portableHalf(),
		mr: 2, nr: 4, micro: microGo[F], packT: packTGo[F], expSum: expSumGo[F],
		headRow: headRowGo[F], softmax: softmaxGo[F], attend: attendGo[F], softmaxBack: softmaxBackGo[F],
	}
}

// microGo is the portable tile: 2 rows x 4 columns in registers. The
// conversions keep the compiler from fusing, so every machine gives the same bits.
func microGo[F real](t *tile[F]) {
	for i := 0; i < t.rows; i += 2 {
		a0, a1 := t.a[i*t.rs:], t.a[i*t.rs:]
		c0 := t.c[i*t.ldc:][:4]
		c1 := c0
		if i+1 < t.rows {
			a1, c1 = t.a[(i+1)*t.rs:], t.c[(i+1)*t.ldc:][:4]
		}
		var s00, s01, s02, s03, s10, s11, s12, s13 F
		if t.acc != 0 {
			s00, s01, s02, s03 = c0[0], c0[1], c0[2], c0[3]
			s10, s11, s12, s13 = c1[0], c1[1], c1[2], c1[3]
		}
		for k := range t.k {
			b := t.b[k*4:][:4]
			x, y := a0[k*t.ks], a1[k*t.ks]
			s00 += F(x * b[0])
			s01 += F(x * b[1])
			s02 += F(x * b[2])
			s03 += F(x * b[3])
			s10 += F(y * b[0])
			s11 += F(y * b[1])
			s12 += F(y * b[2])
			s13 += F(y * b[3])
		}
		c0[0], c0[1], c0[2], c0[3] = s00, s01, s02, s03
		c1[0], c1[1], c1[2], c1[3] = s10, s11, s12, s13
	}
}

func packTGo[F real](dst, src []F, ld, n, k, nr int) {
	if n < nr {
		clear(dst[:k*nr])
	}
	for i0 := 0; i0 < k; i0 += 16 { // 16 lines of dst stay in L1 while n rows write them
		for j := range n {
			for i, v := range src[j*ld+i0 : j*ld+min(k, i0+16)] {
				dst[(i0+i)*nr+j] = v
			}
		}
	}
}

func packN[F real](dst, src []F, ld, n, k, nr int) {
	for i := range k {
		d := dst[i*nr:][:nr]
		clear(d[copy(d, src[i*ld:][:n]):])
	}
}
