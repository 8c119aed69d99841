package model

import (
	"fmt"

	"eaft/compute"
)

// Cache keeps the keys and values of rows that grow, so that a token is computed
// once. Each row has a slot; the slots lie behind each other in one tensor a
// layer, and what of a slot is not used yet is a segment that nobody asks.
type Cache struct {
	k, v []compute.Tensor // of each layer [slots*room, KV*C], in the model's dtype
	room int              // tokens of a slot
	used []int            // of each slot
}

// NewCache makes room for so many rows of at most room tokens.
func (m *Model) NewCache(slots, room int) *Cache {
	c := &Cache{room: room, used: make([]int, slots)}
	for range m.layers {
		c.k = append(c.k, m.dev.NewTensor(slots*room, m.spec.KVHeads*m.spec.HeadDim, m.dtype))
		c.v = append(c.v, m.dev.NewTensor(slots*room, m.spec.KVHeads*m.spec.HeadDim, m.dtype))
	}
	return c
}

// cacheBytes is what a cache takes for each token of a slot.
func (m *Model) cacheBytes() int64 {
	operand := int64(4)
	if m.dtype == compute.BF16 {
		operand = 2
	}
	return 2 * operand * int64(m.spec.Layers) * int64(m.spec.KVHeads*m.spec.HeadDim)
}

// Reset empties a slot for another row.
func (c *Cache) Reset(slot int) { c.used[slot] = 0 }

// More is how a row goes on.
type More struct {
	Slot int
	IDs  []int32 // at least one
}

// past is a layer's cache as attention reads it: the rows of the new tokens in
// it, ascending, and the segments.
type past struct {
	k, v     compute.Tensor
	rows, cu []int32
}

// add writes the keys and values [T, KV*C] of the new tokens to their rows.
func (p *past) add(dev compute.Device, k, v compute.Tensor) {
	for lo := 0; lo < len(p.rows); {
		hi := lo + 1
		for hi < len(p.rows) && p.rows[hi] == p.rows[hi-1]+1 {
			hi++
		}
		from := make([]int32, hi-lo)
		for i := range from {
			from[i] = int32(i)
		}
		at := int(p.rows[lo])
		dev.GatherRows(p.k.Slice(at, at+hi-lo), k.Slice(lo, hi), from)
		dev.GatherRows(p.v.Slice(at, at+hi-lo), v.Slice(lo, hi), from)
		lo = hi
	}
}

// Extend appends tokens to rows of c, slots ascending, and returns for each what
// the model would say next and its log-probability. A row's numbers are bitwise
// those that Score gives for the whole row, whatever came with it and however it
// was cut.
func (m *Model) Extend(c *Cache, more []More) (next []int32, logprob []float32, err error) {
	in, ends, err := m.extension(c, more)
	if err != nil {
		return nil, nil, err
	}
	a := m.newActivations(in, 0, keepNothing)
	m.dev.Embed(a.x, m.embed.op, in.ids)
	for i := range m.layers {
		in.past.k, in.past.v = c.k[i], c.v[i]
		m.layers[i].forward(m, in, &a, nil)
	}
	x := m.ws.get("head.x", len(more), m.spec.Hidden, compute.F32)
	m.dev.GatherRows(x, a.mid, ends)
	h := m.headForward(x)
	st := m.dev.HeadStats(h.normed, m.head.op, make([]int32, len(more)), 1)
	return st.Top1ID, st.Top1LogProb, nil
}

// extension is the blocks' input of the new tokens, and the last one of each row.
// It counts them as used.
func (m *Model) extension(c *Cache, more []More) (in input, ends []int32, err error) {
	p := &past{cu: []int32{0}}
	in = input{past: p}
	for i, r := range more {
		switch {
		case r.Slot < 0 || r.Slot >= len(c.used) || i > 0 && r.Slot <= more[i-1].Slot:
			return in, nil, fmt.Errorf("extension %d is of slot %d of %d; slots ascend", i, r.Slot, len(c.used))
		case len(r.IDs) == 0:
			return in, nil, fmt.Errorf("slot %d: no token is given", r.Slot)
		case c.used[r.Slot]+len(r.IDs) > c.room:
			return in, nil, fmt.Errorf("slot %d: %d tokens and %d more, but it has room for %d", r.Slot, c.used[r.Slot], len(r.IDs), c.room)
		}
		for _, id := range r.IDs {
			if id < 0 || int(id) >= m.spec.Vocab {
				return in, nil, fmt.Errorf("slot %d: token id %d lies outside the model's vocabulary of %d; were the tokens made with this model's tokenizer?", r.Slot, id, m.spec.Vocab)
			}
		}
	}
	longest := 0
	for _, r := range more {
		for j, id := range r.IDs {
			at := c.used[r.Slot] + j
			in.ids, in.pos = append(in.ids, id), append(in.pos, int32(at))
			p.rows = append(p.rows, int32(r.Slot*c.room+at))
		}
		c.used[r.Slot] += len(r.IDs)
		longest = max(longest, c.used[r.Slot])
		ends = append(ends, int32(len(in.ids)-1))
	}
	in.askPos = in.pos
	for s, n := range c.used {
		p.cu = append(p.cu, int32(s*c.room+n), int32((s+1)*c.room))
	}
	m.rope.grow(m.dev, &m.spec.RoPE, m.spec.HeadDim, longest)
	return in, ends, nil
}
