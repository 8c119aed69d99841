package cpu

// softTile is one step of the online softmax (Milakov and Gimelshein 2018) over
// a tile of scores, rows x width with width a multiple of lanes. Assembly reads
// it by offset.
type softTile[F real] struct {
	x             []F      // scores; where half is nil the probabilities take their place
	half          []uint16 // the probabilities in bfloat16
	o             []F      // the output so far, faded where the maximum grew
	lo, hi        []int32  // the columns that a row sees; the others get 0
	top, sum      []F      // maximum score and sum of exp(scale (x - top)) so far; at first the lowest number and 0
	ldx, ldh, ldo int
	rows, width   int
	depth         int  // columns of o, a multiple of lanes
	scale         F    // above 0
	first         bool // nothing is in o, which the first tile need not fade
}

// softmaxGo: top and sum take in x, which becomes exp(scale (x - top)).
func softmaxGo[F real](ker *kernels[F], t *softTile[F]) {
	for r := range t.rows {
		row := t.x[r*t.ldx:][:t.width]
		lo, hi := t.lo[r], t.hi[r]
		if m := ker.max(row[lo:hi]); m > t.top[r] {
			if !t.first {
				fade := expOf((t.top[r] - m) * t.scale)
				t.sum[r] *= fade
				for c, v := range t.o[r*t.ldo:][:t.depth] {
					t.o[r*t.ldo+c] = v * fade
				}
			}
			t.top[r] = m
		}
		for c := lo; c < hi; c++ {
			row[c] = (row[c] - t.top[r]) * t.scale
		}
		t.sum[r] += ker.expSum(row[lo:hi], 0)
		clear(row[:lo])
		clear(row[hi:])
		if t.half != nil {
			ker.narrow(t.half[r*t.ldh:], row)
		}
	}
}

// attendGo: out = o / sum, in float32 or where half is not nil in bfloat16; rows
// of either are ld apart and n columns wide.
func attendGo[F real](ker *kernels[F], t *softTile[F], out []F, half []uint16, ld, n int) {
	for r := range t.rows {
		inv := 1 / t.sum[r]
		o := t.o[r*t.ldo:][:n]
		for c := range o {
			o[c] *= inv
		}
		if half != nil {
			ker.narrow(half[r*ld:], o)
		} else {
			copy(out[r*ld:], o)
		}
	}
}

// softBackTile is a tile of the softmax's backward pass. Assembly reads it by offset.
type softBackTile[F real] struct {
	x, y        []F      // scores and gradient of the probabilities; where p is nil p and ds take their place
	p, ds       []uint16 // in bfloat16
	lo, hi      []int32
	lse, delta  []F // of each row: log-sum-exp, and sum of output times its gradient
	ldx, ldh    int // of x and y; of p and ds
	rows, width int
	scale       F
}

// softmaxBackGo: p = exp(scale x - lse), ds = scale p (y - delta), 0 where unseen.
func softmaxBackGo[F real](ker *kernels[F], t *softBackTile[F]) {
	for r := range t.rows {
		x, y := t.x[r*t.ldx:][:t.width], t.y[r*t.ldx:][:t.width]
		lo, hi := t.lo[r], t.hi[r]
		clear(x[:lo])
		clear(x[hi:])
		seen := x[lo:hi]
		for c, v := range seen {
			seen[c] = F(v*t.scale) - t.lse[r]
		}
		ker.expSum(seen, 0)
		clear(y[:lo])
		clear(y[hi:])
		for c := lo; c < hi; c++ {
			y[c] = F(x[c]*(y[c]-t.delta[r])) * t.scale
		}
		if t.p != nil {
			ker.narrow(t.p[r*t.ldh:], x)
			ker.narrow(t.ds[r*t.ldh:], y)
		}
	}
}
