package model

import (
	"fmt"
	"math"

	"eaft/compute"
)

// RoPE says how fast each pair of a head's components turns with the position
// (Su et al. 2021), and how a model was stretched to longer texts afterwards.
type RoPE struct {
	Theta   float64
	Scaling string // "", "linear" or "llama3", as transformers' rope_type
	Factor  float64
	// Of llama3 only.
	LowFreq, HighFreq float64
	Original          int // positions before the stretch
}

func (r *RoPE) check() error {
	if !(r.Theta > 1 && r.Theta < 1e15) {
		return fmt.Errorf("rope_theta is %g; it must be above 1 and finite", r.Theta)
	}
	if r.Scaling == "" {
		return nil
	}
	if !(r.Factor >= 1 && r.Factor <= 1e6) {
		return fmt.Errorf("the rope scaling factor is %g; it must lie between 1 and 1e6", r.Factor)
	}
	if r.Scaling != "llama3" {
		return nil
	}
	if !(r.LowFreq > 0 && r.HighFreq > r.LowFreq && r.HighFreq < 1e9) {
		return fmt.Errorf("rope scaling has low_freq_factor %g and high_freq_factor %g; the first must be positive and below the second",
			r.LowFreq, r.HighFreq)
	}
	if r.Original < 1 {
		return fmt.Errorf("rope scaling has original_max_position_embeddings %d; it must be positive", r.Original)
	}
	return nil
}

// frequencies returns the angle per position of each of the headDim/2 pairs, in
// radians. "llama3" is the rule of Llama 3.1: long wavelengths are stretched by
// Factor, short ones stay, and those between are interpolated.
func (r *RoPE) frequencies(headDim int) []float64 {
	inv := make([]float64, headDim/2)
	for i := range inv {
		f := math.Pow(r.Theta, -float64(2*i)/float64(headDim))
		switch r.Scaling {
		case "linear":
			f /= r.Factor
		case "llama3":
			f = r.llama3(f)
		}
		inv[i] = f
	}
	return inv
}

func (r *RoPE) llama3(f float64) float64 {
	turns := float64(r.Original) * f / (2 * math.Pi) // within the original length
	switch {
	case turns < r.LowFreq:
		return f / r.Factor
	case turns > r.HighFreq:
		return f
	}
	smooth := (turns - r.LowFreq) / (r.HighFreq - r.LowFreq)
	return (1-smooth)*f/r.Factor + smooth*f
}

// ropeTable holds cos and sin [positions, headDim/2] for the longest row so far.
type ropeTable struct {
	cos, sin compute.Tensor
}

// grow makes the table reach positions. Angles are float64 until the end, so
// that a row's values do not depend on how far the table reaches.
func (t *ropeTable) grow(dev compute.Device, r *RoPE, headDim, positions int) {
	if t.cos != nil && t.cos.Rows() >= positions {
		return
	}
	n := 256
	for n < positions {
		n *= 2
	}
	inv := r.frequencies(headDim)
	cos := make([]float32, n*len(inv))
	sin := make([]float32, n*len(inv))
	for p := range n {
		for i, f := range inv {
			s, c := math.Sincos(float64(p) * f)
			cos[p*len(inv)+i], sin[p*len(inv)+i] = float32(c), float32(s)
		}
	}
	t.cos, t.sin = dev.NewTensor(n, len(inv), compute.F32), dev.NewTensor(n, len(inv), compute.F32)
	dev.Write(t.cos, cos)
	dev.Write(t.sin, sin)
}
