package model_test

import (
	"math/rand/v2"
	"testing"

	"eaft/compute"
	"eaft/model"
)

// forest is random segments, among them empty ones, that continue each other.
func forest(rng *rand.Rand, vocab int) model.Batch {
	b := model.Batch{CuSeqlens: []int32{0}}
	for s := range 2 + rng.IntN(9) {
		n := rng.IntN(12)
		if rng.IntN(4) == 0 {
			n = 100 + rng.IntN(60) // beyond a device's blocks of keys and queries
		}
		for range n {
			b.IDs = append(b.IDs, rng.Int32N(int32(vocab)))
		}
		b.CuSeqlens = append(b.CuSeqlens, int32(len(b.IDs)))
		b.Parent = append(b.Parent, rng.Int32N(int32(s+1))-1)
	}
	return b
}

// rowThrough is the row that segment s ends, and where its tokens lie in b.
func rowThrough(b model.Batch, s int32) (ids, at []int32) {
	if p := b.Parent[s]; p >= 0 {
		ids, at = rowThrough(b, p)
	}
	for t := b.CuSeqlens[s]; t < b.CuSeqlens[s+1]; t++ {
		ids, at = append(ids, b.IDs[t]), append(at, t)
	}
	return ids, at
}

// Rows that share a prefix must have the bits that each has alone, on every
// target: also on the first token of a segment, whose hidden state several share.
func TestSharedPrefixesKeepTheBits(t *testing.T) {
	eachISA(t, func(t *testing.T, dev compute.Device) {
		for _, dtype := range []compute.DType{compute.F32, compute.BF16} {
			for i, v := range variants {
				rng := rand.New(rand.NewPCG(5, uint64(i)))
				m := load(t, dev, "testdata/"+v, model.Options{DType: dtype})
				for range 6 {
					b := forest(rng, m.Spec().Vocab)
					share := 1 + rng.IntN(3) // ask for every target, or for fewer
					var targets []int32
					own := make([][]int32, len(b.Parent)) // targets of each segment in its row
					for s := range own {
						_, at := rowThrough(b, int32(s))
						for p, x := range at {
							if p > 0 && x >= b.CuSeqlens[s] && rng.IntN(share) == 0 {
								targets, own[s] = append(targets, x), append(own[s], int32(p))
							}
						}
					}
					shared, err := m.Score(b, targets, topK)
					if err != nil {
						t.Fatal(err)
					}
					lo := 0
					for s, of := range own {
						ids, _ := rowThrough(b, int32(s))
						alone, err := m.Score(model.Batch{IDs: ids, CuSeqlens: []int32{0, int32(len(ids))}}, of, topK)
						if err != nil {
							t.Fatal(err)
						}
						sameBits(t, v, shared, alone, lo, lo+len(of))
						lo += len(of)
						if t.Failed() {
							t.Fatalf("%v, %v: segment %d of %v", v, dtype, s, b)
						}
					}
				}
			}
		}
	})
}
