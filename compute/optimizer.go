package compute

// BlockSize is how many values of Blocks share a scale.
const BlockSize = 256

// Blocks are n values of 8 bits each (Dettmers et al. 2022, "8-bit Optimizers via
// Block-wise Quantization"): value i is scale[i/BlockSize] times the entry code[i]
// of a table, and a block's scale the largest magnitude in it, float32.
//
// The table is the paper's dynamic one. With the m = 2^b midpoints of equal cells
// of [0.1, 1] it holds, for each decade 10^-e, e = 0 ... 6, the midpoints times
// 10^-e, b = 6-e of signed values, with the negative ones beside them, and 7-e of
// unsigned ones; and 0 and 1: 256 in ascending order.
//
// A value x is stored as the entry nearest to x/scale, the lower one of two; an
// unsigned value above 0 never as 0, for Adam divides by its root.
type Blocks interface {
	Len() int
	// Codes [n] and Scales [1, begun blocks] are the values themselves: who writes
	// them changes these.
	Codes() []byte
	Scales() Tensor
}

// Adafactor is one step of Shazeer and Stern 2018, algorithm 4, with a learning
// rate that is given (transformers.Adafactor with scale_parameter and relative_step
// off, and no first moment). With G = GradScale g and b = 1 - Step^-Decay:
//
//	row_i = b row_i + (1-b) mean_j (G_ij^2 + Eps),  col_j likewise over i
//	U = G / sqrt(row_i col_j / mean(row)),  U = U / max(1, rms(U)/Clip)
//	p = p - LR WeightDecay p - LR U
//
// A vector has col alone, an average of its own for each element.
type Adafactor struct {
	LR, Decay, Eps, Clip, WeightDecay float64
	GradScale                         float64
	Step                              int // from 1
}

// Optimizers are steps with less state than AdamW's two float32 moments.
type Optimizers interface {
	NewBlocks(n int, signed bool) Blocks // zeros
	// AdamW8 is AdamW with m, signed, and v, unsigned, as Blocks in p's row-major
	// order: read, updated in float32, used for the step, and stored again.
	AdamW8(p, g Tensor, m, v Blocks, step AdamW)
	// Adafactor updates p [N, K], row [1, N] and col [1, K]; row is nil where N is 1.
	Adafactor(p, g, row, col Tensor, step Adafactor)
}
