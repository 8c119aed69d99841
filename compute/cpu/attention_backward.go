package cpu

import "eaft/compute"

// AttentionBackward recomputes the probabilities from lse block by block. A
// task owns one row's KV head and sums over its query heads in order.
func (e *engine[F]) AttentionBackward(dq, dk, dv, do, out, lse, q, k, v compute.Tensor, a compute.Attention) {
	t := e.attn(a)
	b := &attnBack[F]{
		attn: t,
		dq:   mat[F](dq), dk: mat[F](dk), dv: mat[F](dv), do: mat[F](do),
		out: mat[F](out), lse: mat[F](lse), q: mat[F](q), k: mat[F](k), v: mat[F](v),
	}
	t.shapes("AttentionBackward", b.q, b.k, b.v)
	t.shapes("AttentionBackward", b.dq, b.dk, b.dv)
	b.do.shape("AttentionBackward", "do", b.q.rows, b.q.cols)
	b.out.shape("AttentionBackward", "out", b.q.rows, b.q.cols)
	b.lse.shape("AttentionBackward", "lse", b.q.rows, a.Heads)
	e.pool.run(len(t.rows)*a.KVHeads, func(i int) { b.head(t.rows[i/a.KVHeads], i%a.KVHeads) })
}

type attnBack[F real] struct {
	*attn[F]
	dq, dk, dv, do, out, lse, q, k, v *matrix[F]
}

// head does KV head g of one row: with P = softmax, delta = rowsum(do*out) and
// dS = P (do v^T - delta): dq = scale dS k, dk = dS^T (scale q), dv = P^T do.
func (t *attnBack[F]) head(s span, g int) {
	ker, d := t.e.k, t.HeadDim
	n := s.hi - s.lo
	step := ker.mr * queryTiles
	ks, vs := t.keySize(s), t.valSize(s)
	buf := t.e.buf.get(2*ks + vs + step*(d+2*t.pad+2*keyBlock))
	defer t.e.buf.put(buf)
	cut := func(n int) []F { c := buf[:n:n]; buf = buf[n:]; return c }
	whole := buf
	kT, vT, kN := cut(ks), cut(ks), cut(vs)
	qs, qP, doP := cut(step*d), cut(step*t.pad), cut(step*t.pad)
	p, dp := cut(step*keyBlock), cut(step*keyBlock)
	buf = whole
	t.packT(kT, t.k, s, g)
	t.packT(vT, t.v, s, g)
	t.packBlocks(kN, t.k, s, g)
	for i := s.lo; i < s.hi; i++ {
		clear(t.dk.row(i)[g*d:][:d])
		clear(t.dv.row(i)[g*d:][:d])
	}
	share := t.Heads / t.KVHeads
	for h := g * share; h < (g+1)*share; h++ {
		for lo := 0; lo < n; lo += step {
			m := min(step, n-lo)
			hi, at := lo+m, s.lo+lo
			t.scaled(qs, t.q, at, m, h)
			t.packBlock(qP, qs, d, m, 0)
			t.packBlock(doP, t.do.data[at*t.do.cols:], t.do.cols, m, h)
			for i := range m {
				clear(t.dq.row(at + i)[h*d:][:d])
			}
			for j := t.first(lo); j < hi; j += keyBlock {
				w := min(keyBlock, n-j)
				use := min(w, hi-j)
				mulBlock(ker, p, keyBlock, m, use, left[F]{qs, d, 1}, kT[j*d:], d, false)
				mulBlock(ker, dp, keyBlock, m, use, left[F]{t.do.data[at*t.do.cols+h*d:], t.do.cols, 1}, vT[j*d:], d, false)
				for i := range m {
					x, y := p[i*keyBlock:][:use], dp[i*keyBlock:][:use]
					from, to := t.seen(lo+i, j, use)
					clear(x[:from])
					clear(x[to:])
					ker.expSum(x[from:to], t.lse.row(at + i)[h])
					delta := ker.dot(t.do.row(at + i)[h*d:][:d], t.out.row(at + i)[h*d:][:d])
					for c, v := range x {
						y[c] = v * (y[c] - delta)
					}
				}
				r := s.lo + j
				t.times(t.dv.data[r*t.dv.cols+g*d:], t.dv.cols, use, p, 1, keyBlock, doP, m, m)
				t.times(t.dk.data[r*t.dk.cols+g*d:], t.dk.cols, use, dp, 1, keyBlock, qP, m, m)
				t.times(t.dq.data[at*t.dq.cols+h*d:], t.dq.cols, m, dp, keyBlock, 1, kN[j*t.pad:], w, use)
			}
			for i := range m {
				row := t.dq.row(at + i)[h*d:][:d]
				for c := range row {
					row[c] *= F(t.Scale)
				}
			}
		}
	}
}
