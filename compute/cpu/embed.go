package cpu

import "eaft/compute"

// Embed: dst[i] = table[ids[i]].
func (e *engine[F]) Embed(dst compute.Tensor, table compute.Weight, ids []int32) {
	d, w := mat[F](dst), weightOf[F](table)
	d.shape("Embed", "dst", len(ids), w.k)
	e.rowsOf(d.rows, d.cols, func(i int) {
		id := int(ids[i])
		if w.half == nil {
			copy(d.row(i), w.f[id*w.k:][:w.k])
			return
		}
		row := e.halves.get(w.k)
		w.half.column(row, id)
		e.k.widen(d.row(i), row)
		e.halves.put(row)
	})
}

// EmbedBackward: dTable[ids[i]] += dy[i], i ascending.
func (e *engine[F]) EmbedBackward(dTable, dy compute.Tensor, ids []int32) {
	e.ScatterAddRows(dTable, dy, ids)
}
