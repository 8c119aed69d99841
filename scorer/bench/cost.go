package bench

import (
	"strings"

	"eaft/compute"
	"eaft/model"
)

// headName is the part of the fused head.
const headName = "head statistics"

// cost is what an operation asks of the machine by its definition. Operations
// are those of matrix products, two for each multiply-add, scores that a mask
// takes away not counted; bytes are those of its operands, each read or written
// once, of operations that do little with each.
type cost struct{ flops, bytes float64 }

func size(d compute.DType) float64 {
	if d == compute.BF16 {
		return 2
	}
	return 4
}

// moved is the cost of going over tensors once each.
func moved(ts ...compute.Tensor) (c cost) {
	for _, t := range ts {
		c.bytes += float64(t.Rows()) * float64(t.Cols()) * size(t.DType())
	}
	return c
}

// linearCost is that of T rows times a weight.
func linearCost(T int, w compute.Weight) cost {
	return cost{flops: 2 * float64(T) * float64(w.N()) * float64(w.K())}
}

// attentionCost is that of a number of products of the size queries x keys x
// HeadDim: scores and values forward; backward the scores again, and the
// gradients of probabilities, queries, keys and values.
func attentionCost(a compute.Attention, products int) cost {
	return cost{flops: 2 * float64(products) * pairs(a) * float64(a.Heads) * float64(a.HeadDim)}
}

// pairs counts the (query, key) that the masks let through.
func pairs(a compute.Attention) (n float64) {
	seen := func(position int) float64 {
		if a.Window > 0 && position >= a.Window {
			return float64(a.Window)
		}
		return float64(position + 1)
	}
	segments := len(a.CuSeqlens) - 1
	start := make([]int, max(0, segments)) // position of each segment's first token
	q := 0
	for s := range segments {
		lo, hi := int(a.CuSeqlens[s]), int(a.CuSeqlens[s+1])
		if a.Parent != nil {
			if p := a.Parent[s]; p >= 0 {
				start[s] = start[p] + int(a.CuSeqlens[p+1]-a.CuSeqlens[p])
			}
		}
		if a.Queries == nil {
			for t := lo; t < hi; t++ {
				n += seen(start[s] + t - lo)
			}
			continue
		}
		for ; q < len(a.Queries) && int(a.Queries[q]) < hi; q++ {
			n += seen(start[s] + int(a.Queries[q]) - lo)
		}
	}
	return n
}

// projectionNames names the projections of a decoder by their shapes and by
// whether they are added to the residual. Those of one shape share a name.
func projectionNames(s model.Spec) func(w compute.Weight, add bool) string {
	type shape struct {
		n, k int
		add  bool
	}
	names := map[shape]string{}
	q, kv := s.Heads*s.HeadDim, s.KVHeads*s.HeadDim
	for _, p := range []struct {
		shape
		name string
	}{
		{shape{q, s.Hidden, false}, "q"}, {shape{kv, s.Hidden, false}, "k"}, {shape{kv, s.Hidden, false}, "v"},
		{shape{s.Hidden, q, true}, "o"},
		{shape{s.Intermediate, s.Hidden, false}, "gate"}, {shape{s.Intermediate, s.Hidden, false}, "up"},
		{shape{s.Hidden, s.Intermediate, true}, "down"},
	} {
		names[p.shape] = join(names[p.shape], p.name)
	}
	return func(w compute.Weight, add bool) string {
		if name, ok := names[shape{w.N(), w.K(), add}]; ok {
			return name
		}
		return "projection"
	}
}

// join appends the names of b that a lacks.
func join(a, b string) string {
	if a == "" {
		return b
	}
	have := strings.Split(a, ", ")
	for _, name := range strings.Split(b, ", ") {
		known := false
		for _, h := range have {
			known = known || h == name
		}
		if !known {
			have = append(have, name)
		}
	}
	return strings.Join(have, ", ")
}
