package cpu

import "unsafe"

// A cache line, and one row of an AMX tile: 32 bfloat16.
const (
	lineBytes = 64
	lineHalf  = lineBytes / 2
)

// halfPanel is how many columns of a right-hand bfloat16 operand lie together.
const halfPanel = 32

// newHalf is n zeros that start on a cache line.
func newHalf(n int) []uint16 {
	buf := allocate[uint16](n + lineHalf)
	off := int(-uintptr(unsafe.Pointer(unsafe.SliceData(buf)))) & (lineBytes - 1) / 2
	return buf[off:][:n:n]
}

// halfStride is the distance of rows of k bfloat16: whole cache lines, and not a
// multiple of 8 of them, because the 32 rows that a tile reads at once would
// fall into few sets of the first cache.
func halfStride(k int) int {
	lines := (k + lineHalf - 1) / lineHalf
	if lines%8 == 0 {
		lines++
	}
	return lines * lineHalf
}

// apart is the distance of float32 rows of n that a tile writes, for the same
// reason an odd number of cache lines.
func apart(n int) int { return ((n+lanes-1)/lanes | 1) * lanes }

// halfPairs is the number of pairs (k, k+1) of a packed operand: whole cache
// lines of a row of the left-hand one.
func halfPairs(k int) int { return (k + lineHalf - 1) / lineHalf * lineHalf / 2 }

// packedHalf is a right-hand operand [K, N] in panels of 32 columns; a panel
// holds, for each pair (k, k+1), 32 x 2 bfloat16. What is missing of the last
// panel and of the last pairs is zero.
type packedHalf struct {
	k, n, pairs int
	data        []uint16
}

func newPackedHalf(k, n int) *packedHalf {
	p := &packedHalf{k: k, n: n, pairs: halfPairs(k)}
	p.data = newHalf(packedSize(k, n))
	return p
}

func packedSize(k, n int) int { return (n + halfPanel - 1) / halfPanel * halfPairs(k) * 2 * halfPanel }

// from are the panels from column j, a multiple of 32, on.
func (p *packedHalf) from(j int) []uint16 { return p.data[j*2*p.pairs:] }

// column writes column j, which is row j of a weight, into dst.
func (p *packedHalf) column(dst []uint16, j int) {
	src := p.from(j / halfPanel * halfPanel)[j%halfPanel*2:]
	for i := 0; i < p.k; i += 2 {
		two := src[i*halfPanel:][:2]
		dst[i] = two[0]
		if i+1 < p.k {
			dst[i+1] = two[1]
		}
	}
}

// unpack writes columns [j, j+nr) of a panel as [k][nr].
func unpackHalf[F real](dst []F, panel []uint16, j, k, nr int) {
	for i := range k {
		src := panel[i/2*2*halfPanel+2*j+i&1:]
		d := dst[i*nr:][:nr]
		for c := range d {
			d[c] = F(fromBF16(src[2*c]))
		}
	}
}

// halfTile is one call of a bf16 micro-kernel: for each of the panels of b,
// c[rows][32] (+)= sum over pairs of a's row and the panel's column. Assembly
// reads it by offset.
type halfTile struct {
	a, b, c unsafe.Pointer
	pairs   int // of k, at least 1
	rs      int // bytes from one row of a to the next
	ldc     int // bytes from one row of c to the next
	rows    int
	panels  int
	bs      int            // bytes from one panel to the next
	acc     int            // 1: start from c, 0: from zero
	next    uintptr        // read soon, if there is anything: brought to the second cache
	cfg     unsafe.Pointer // AMX: set by the kernel's wrapper
}

// halfKernels multiplies and packs bfloat16. Without micro the operands are
// widened and multiplied by the float32 kernel.
type halfKernels struct {
	rows     int              // of the largest tile
	even     bool             // rows are cut into blocks of equal height; otherwise full ones and a rest
	step     int              // pairs that micro takes at once; longer sums are cut there
	panels   int              // of one call of micro, at most
	least    int              // panels that rows of A pass one after another: of a task at least, and of a tile of gate and up
	nextRows bool             // the first panel's call reads the next rows of A ahead, those of the others panels of B
	ahead    int              // lines that micro reads ahead for each 16 pairs of a panel
	tile     int              // bytes of the panels of a tile, see tilePanels
	micro    func(t halfTile) // by value: a pointer would put each on the heap
	row      func(t halfTile) // four panels of one row; nil: micro is as good

	// interleave: dst[i][c] = (src[2i][c], src[2i+1][c]) for pairs i and 32
	// columns c; rows of src are ld apart.
	interleave func(dst, src []uint16, ld, pairs int)
	// transpose turns blocks of 16 x 16 pairs over. Distances count bfloat16: from
	// one row to the next, and from one block to the next.
	transpose func(dst, src []uint16, dstRow, srcRow, dstStep, srcStep, blocks int)
	// repack packs for the sum over n what is packed for the sum over k: of a
	// right-hand operand [k, n] the rows k to k+32, which lie step behind each other
	// in as many panels, become a panel of the operand [n, k].
	repack func(dst, src []uint16, step, panels int)
}

func portableHalf() halfKernels {
	return halfKernels{interleave: interleaveGo, transpose: transposeGo, repack: repackGo}
}

func interleaveGo(dst, src []uint16, ld, pairs int) {
	for i := range pairs {
		a, b := src[2*i*ld:][:halfPanel], src[(2*i+1)*ld:][:halfPanel]
		d := dst[i*2*halfPanel:][:2*halfPanel]
		for c := range a {
			d[2*c], d[2*c+1] = a[c], b[c]
		}
	}
}

func transposeGo(dst, src []uint16, dstRow, srcRow, dstStep, srcStep, blocks int) {
	for b := range blocks {
		for i := range 16 {
			d := dst[b*dstStep+i*dstRow:][:32]
			for j := range 16 {
				s := src[b*srcStep+j*srcRow+2*i:][:2]
				d[2*j], d[2*j+1] = s[0], s[1]
			}
		}
	}
}

func repackGo(dst, src []uint16, step, panels int) {
	for p := range panels {
		for n := range halfPanel {
			for k := range halfPanel {
				dst[p*halfPanel*halfPanel+n/2*2*halfPanel+2*k+n%2] = src[p*step+k/2*2*halfPanel+2*n+k%2]
			}
		}
	}
}

// packRows packs n rows of k, ld apart and zero behind k, as the columns of
// panels: a weight, or keys.
func (h *halfKernels) packRows(dst, src []uint16, ld, n, k int) {
	pairs := halfPairs(k)
	size := pairs * 2 * halfPanel
	for j := 0; j < n; j += 16 {
		d := dst[j/halfPanel*size+j%halfPanel*2:]
		s, sld := src[j*ld:], ld
		if n-j < 16 {
			sld = 2 * pairs
			s = make([]uint16, 16*sld)
			for i := range n - j {
				copy(s[i*sld:][:sld], src[(j+i)*ld:])
			}
		}
		h.transpose(d, s, 2*halfPanel, sld, 16*2*halfPanel, lineHalf, pairs/16)
	}
	if n%halfPanel != 0 && n%halfPanel <= 16 {
		d := dst[n/halfPanel*size:]
		for i := range pairs {
			clear(d[i*2*halfPanel+halfPanel:][:halfPanel])
		}
	}
}

// packCols packs n columns of k rows, ld apart and zero behind n, into panels:
// the right-hand operand of a product that sums over rows.
func (h *halfKernels) packCols(dst, src []uint16, ld, n, k int) {
	pairs := halfPairs(k)
	for j := 0; j < n; j += halfPanel {
		d := dst[j*2*pairs:][:pairs*2*halfPanel]
		if k/2 > 0 {
			h.interleave(d, src[j:], ld, k/2)
		}
		clear(d[k/2*2*halfPanel:])
		if k%2 == 1 {
			last := d[k/2*2*halfPanel:]
			for c, v := range src[(k-1)*ld+j:][:halfPanel] {
				last[2*c] = v
			}
		}
	}
}

// unpackRows turns panels of n columns and k pairs' rows into n rows of k, ld apart:
// with packCols, a transpose.
func (h *halfKernels) unpackRows(dst, panels []uint16, ld, n, pairs int) {
	for j := 0; j < n; j += 16 {
		s := panels[j/halfPanel*pairs*2*halfPanel+j%halfPanel*2:]
		if n-j >= 16 {
			h.transpose(dst[j*ld:], s, ld, 2*halfPanel, lineHalf, 16*2*halfPanel, pairs/16)
			continue
		}
		tmp := make([]uint16, 16*2*pairs)
		h.transpose(tmp, s, 2*pairs, 2*halfPanel, lineHalf, 16*2*halfPanel, pairs/16)
		for i := range n - j {
			copy(dst[(j+i)*ld:][:2*pairs], tmp[i*2*pairs:])
		}
	}
}
