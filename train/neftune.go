package train

import "math"

// neftune is the noise of NEFTune (Jain et al. 2023, algorithm 1) for the
// embeddings of rows, packed behind each other: each component of a row of L
// tokens of width D is uniform in [-1, 1) times alpha / sqrt(L D).
//
// A row's noise is a stream of its own that depends on the seed, the optimizer
// step and the row's place in the dataset alone, so that packing, accumulation,
// threads and resuming do not change it.
func neftune(alpha float64, width int, seed uint64, step int, rows []*row) []float32 {
	tokens := 0
	for _, r := range rows {
		tokens += len(r.ids)
	}
	out := make([]float32, 0, tokens*width)
	for _, r := range rows {
		size := float32(alpha / math.Sqrt(float64(len(r.ids))*float64(width)))
		s := splitMix(mix(mix(mix(seed)+uint64(step)) + uint64(r.order)))
		for range len(r.ids) * width {
			// 24 bits, exact in float32.
			out = append(out, (float32(s.next()>>40)*0x1p-23-1)*size)
		}
	}
	return out
}

// splitMix is the generator of Steele, Lea and Flood 2014 with a fixed increment.
type splitMix uint64

func (s *splitMix) next() uint64 {
	*s += 0x9e3779b97f4a7c15
	return mix(uint64(*s))
}

// mix is its finalizer, a bijection in which every input bit moves every output bit.
func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
