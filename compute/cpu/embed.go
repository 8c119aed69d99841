package cpu

import "eaft/compute"

// Embed: dst[i] = table[ids[i]].
func (e *engine[F]) Embed(dst compute.Tensor, table compute.Weight, ids []int32) {
	d, w := mat[F](dst), weightOf[F](table)
	d.shape("Embed", "dst", len(ids), w.k)
	e.rowsOf(d.rows, d.cols, func(i int) {
		at := int(ids[i]) * w.k
		if w.h != nil {
			e.k.widen(d.row(i), w.h[at:][:w.k])
		} else {
			copy(d.row(i), w.f[at:][:w.k])
		}
	})
}

// EmbedBackward: dTable[ids[i]] += dy[i], i ascending.
func (e *engine[F]) EmbedBackward(dTable, dy compute.Tensor, ids []int32) {
	e.ScatterAddRows(dTable, dy, ids)
}
