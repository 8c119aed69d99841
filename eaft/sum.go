package eaft

import "math"

// Sum adds float32 values up without rounding, so that neither their order nor how
// they are parted matters: up to 2^39 of them. The zero value is empty.
type Sum struct {
	parts [256]int64 // mantissas, by the exponent's bits
	odd   float64    // infinities and NaN
}

// Add takes one value.
func (s *Sum) Add(x float32) {
	bits := math.Float32bits(x)
	e := bits >> 23 & 0xff
	m := int64(bits & (1<<23 - 1))
	switch e {
	case 0xff:
		s.odd += float64(x)
		return
	case 0:
		e = 1 // subnormal
	default:
		m |= 1 << 23
	}
	if bits>>31 != 0 {
		m = -m
	}
	s.parts[e] += m
}

// Merge adds the values of o.
func (s *Sum) Merge(o *Sum) {
	for i, p := range o.parts {
		s.parts[i] += p
	}
	s.odd += o.odd
}

// Value is the sum; of values of one sign within 2^-52 of it.
func (s *Sum) Value() float64 {
	sum, lost := s.odd, 0.0 // Neumaier: what additions round away
	for e, p := range s.parts {
		// A part may have more bits than a float64: its halves have not.
		for _, half := range [2]int64{p &^ (1<<32 - 1), p & (1<<32 - 1)} {
			x := math.Ldexp(float64(half), e-150)
			t := sum + x
			if math.Abs(sum) >= math.Abs(x) {
				lost += (sum - t) + x
			} else {
				lost += (x - t) + sum
			}
			sum = t
		}
	}
	if math.IsInf(sum, 0) || math.IsNaN(sum) {
		return s.odd
	}
	return sum + lost
}
