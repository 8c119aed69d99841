package eaft

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// The sum is the one of exact arithmetic, in whatever order and parts.
func TestSum(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for name, draw := range map[string]func() float32{
		"gate":     func() float32 { return r.Float32() },
		"logprob":  func() float32 { return -float32(r.ExpFloat64() * math.Pow(10, 12*r.Float64()-10)) },
		"any":      func() float32 { return math.Float32frombits(r.Uint32()&^(0xff<<23) | uint32(r.IntN(255))<<23) },
		"tiny":     func() float32 { return math.Float32frombits(r.Uint32() & 0x80ffffff) },
		"negative": func() float32 { return -1 },
	} {
		x := make([]float32, 3000)
		want := new(big.Float).SetPrec(1000)
		var one Sum
		for i := range x {
			x[i] = draw()
			want.Add(want, big.NewFloat(float64(x[i])))
			one.Add(x[i])
		}
		r.Shuffle(len(x), func(i, j int) { x[i], x[j] = x[j], x[i] })
		var parts [3]Sum
		for i, v := range x {
			parts[i*i%3].Add(v)
		}
		var all Sum
		for i := range parts {
			all.Merge(&parts[i])
		}
		if all.Value() != one.Value() {
			t.Errorf("%s: %v in another order than %v", name, all.Value(), one.Value())
		}
		exact, _ := want.Float64()
		if got := one.Value(); math.Abs(got-exact) > math.Abs(exact)*0x1p-52 {
			t.Errorf("%s: %v where it is %v", name, got, exact)
		}
	}
	for _, x := range []float32{float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN())} {
		var s Sum
		s.Add(1)
		s.Add(x)
		if got := s.Value(); math.Float64bits(got) != math.Float64bits(float64(x)) && !(got != got && x != x) {
			t.Errorf("1 and %v sum to %v", x, got)
		}
	}
	if got := new(Sum).Value(); got != 0 {
		t.Errorf("nothing sums to %v", got)
	}
}
