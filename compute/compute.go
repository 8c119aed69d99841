// Package compute is what a decoder needs of a device: dense matrices, and one
// method for each operation of the forward and the backward pass. The model
// sees nothing else of a device, so that a CPU and a GPU run the same model code.
//
// Letters in comments: T tokens of a packed batch, N and K the rows and columns
// of a weight, D the width of the hidden state, V the vocabulary.
//
// An operation whose arguments disagree in shape is a programming error and
// panics; what can fail at run time (memory, a driver) returns an error.
package compute

import "fmt"

// DType is the precision of a product's operands. Sums are float32 always.
type DType uint8

const (
	F32  DType = iota // operands as they are
	BF16              // both operands rounded to bfloat16, nearest even
)

func (d DType) String() string {
	if d == BF16 {
		return "bf16"
	}
	return "f32"
}

// ParseDType reads "f32" or "bf16".
func ParseDType(s string) (DType, error) {
	switch s {
	case "f32":
		return F32, nil
	case "bf16":
		return BF16, nil
	}
	return 0, fmt.Errorf("dtype %q is not known: use bf16 or f32", s)
}

// Tensor is a row-major matrix in a device's memory. A vector is a matrix of one
// row. F32 is what every operation reads and writes; BF16 holds an operand of a
// product as the product reads it, and only the operations that say so take it.
type Tensor interface {
	Rows() int
	Cols() int
	DType() DType
	// Slice is the rows [lo, hi), sharing memory.
	Slice(lo, hi int) Tensor
}

// Weight is the right-hand operand [N, K] of a product, in whatever layout the
// device multiplies fastest.
type Weight interface {
	N() int
	K() int
	DType() DType
}

// HeadStats has one entry for each target, natural logarithms, float32 or better
// inside. See the design document, "Quantities".
type HeadStats struct {
	LogProb     []float32
	Entropy     []float32
	TopKEntropy []float32
	TopKMass    []float32
	Top1LogProb []float32
	Rank        []int32
	Top1ID      []int32
	LogSumExp   []float32 // of the logits; HeadBackward needs it

	// The k most likely tokens of each target, [n, k], or [n, V] of a vocabulary V
	// below k: descending, ties by the smaller id.
	TopIDs      []int32
	TopLogProbs []float32
}

// HeadRegularisers are what HeadBackward's loss has beside -ln p of the target.
// The zero value adds nothing. V is the vocabulary, z_i the logits of target i.
type HeadRegularisers struct {
	// Smoothing is E, from 0 to below 1: instead of -ln p(target), coef weighs
	// (1-E) (-ln p(target)) + E/V sum_v (-ln p_v), the cross entropy to
	// (1-E) onehot + E/V (Szegedy et al. 2016; torch.nn.CrossEntropyLoss).
	Smoothing float64
	// With KL above 0 each target's loss grows by KL times
	// KL(q || p) = sum_v q_v ln(q_v / p_v), q = softmax(BaseX BaseW^T), whatever
	// coef is. Its gradient in z is KL (p - q).
	KL    float64
	BaseX Tensor // [n, D'] of another model
	BaseW Weight // [V, D'], in the dtype of w
	// BaseLogSumExp is HeadStats.LogSumExp of BaseX and BaseW.
	BaseLogSumExp []float32
}

// HeadTerms has one entry for each target, in nats and not yet weighted; a term
// that is off is nil.
type HeadTerms struct {
	SmoothLoss []float32 // (1-E) (-ln p(target)) + E/V sum_v (-ln p_v)
	KL         []float32 // KL(q || p), up to rounding at least 0
}

// Attention describes causal attention over packed rows. Query head h reads
// key and value head h / (Heads/KVHeads). A query at position i of its row sees
// keys j with j <= i and, if Window > 0, i-j < Window.
//
// Rows may share what they begin with: with Parent, a row is its parent's row,
// whose tokens come earlier, followed by the tokens of its own segment.
type Attention struct {
	Heads, KVHeads, HeadDim int
	CuSeqlens               []int32 // of the segments: len segments+1, first 0, last T
	Parent                  []int32 // of each segment, an earlier one or -1; nil: none has any
	// Queries are the tokens that ask, ascending: q, dst and lse have one row for
	// each. nil: all T.
	Queries []int32
	Window  int
	Scale   float32
	DType   DType // of the products' operands
}

// Projection is one weight of LinearBackward.
type Projection struct {
	W         Weight
	DY        Tensor // [T,N]
	DW, DBias Tensor // [N,K] and [1,N]; nil: none is wanted
	Set       bool   // DW = instead of DW +=: what it holds is not read
}

// AdamW is one step of decoupled weight decay Adam (Loshchilov and Hutter 2019,
// algorithm 2; torch.optim.AdamW): GradScale multiplies the gradient first
// (clipping), Step counts from 1 and corrects the bias.
type AdamW struct {
	LR, Beta1, Beta2, Eps, WeightDecay float64
	GradScale                          float64
	Step                               int
	// Operand is what WeightOf made of the parameter, derived again as by Refresh
	// while its rows are at hand; nil: none is.
	Operand Weight
}

// Device runs the operations. Results are bitwise independent of the number of
// threads, and a row's results of the rows beside it.
type Device interface {
	Adapters
	Optimizers

	// ISA names the numeric path, such as "generic" or "avx512".
	ISA() string

	NewTensor(rows, cols int, dtype DType) Tensor // zeros
	// Write and Read convert from and to BF16.
	Write(dst Tensor, src []float32)
	Read(dst []float32, src Tensor)
	Zero(dst Tensor)
	// GatherRows: dst[i] = src[rows[i]], both of one dtype.
	GatherRows(dst, src Tensor, rows []int32)
	// ScatterAddRows: dst[rows[i]] += src[i], i ascending.
	ScatterAddRows(dst, src Tensor, rows []int32)

	// NewWeight makes a weight from rows that fill writes one after another.
	NewWeight(n, k int, dtype DType, fill func(row int, dst []float32) error) (Weight, error)
	// WeightOf makes the operand of a trained matrix; in F32 it may share the
	// matrix's memory. Refresh derives it again after the matrix has changed.
	WeightOf(master Tensor, dtype DType) Weight
	Refresh(w Weight)

	// Embed: dst[i] = table[ids[i]]. EmbedBackward: dTable[ids[i]] += dy[i], i ascending.
	Embed(dst Tensor, table Weight, ids []int32)
	EmbedBackward(dTable, dy Tensor, ids []int32)

	// Linear: dst[T,N] = x[T,K] w^T + bias + residual; either may be nil, and
	// residual may be dst. x may be BF16 if w is, and dst too without a residual.
	Linear(dst, x Tensor, w Weight, bias, residual Tensor)
	// GatedLinear is the first half of a gated MLP (Shazeer 2020): with the factors
	// g = x gate^T and u = x up^T [T,N], act = silu(g) * u. Biases may be nil, and g
	// and u where no backward pass follows: then they are never held. What is BF16
	// of x, act, g and u must have BF16 weights; act is made of unrounded factors.
	GatedLinear(act, g, u, x Tensor, gate, up Weight, gateBias, upBias Tensor)
	// GatedBackward is the backward pass of act down^T, act = silu(g) * u, from
	// down.DY: dg and du, which may be g and u, and down.DW and DBias.
	GatedBackward(dg, du, g, u Tensor, down Projection)
	// LinearBackward is the backward pass of projections of one input x [T,K]:
	// dx = sum of dy w in their order, with add dx += that, and for each
	// DW += dy^T x, or = with Set, and DBias += column sums of dy. x and dy may be BF16 if W is, and
	// dx if it is that of a single projection and nothing is added.
	LinearBackward(dx, x Tensor, add bool, ps ...Projection)

	// RMSNorm over the last groups columns-wise: x [T, G*C] is normalised in G
	// groups of C = w.Cols() columns each (G = 1 for a block's norm, G = heads
	// for QK-norm): dst = x * rstd * w, rstd[T,G] = 1/sqrt(mean(x^2)+eps).
	// dst may be x only where no backward pass follows. dst may be BF16.
	RMSNorm(dst, rstd, x, w Tensor, eps float32)
	// RMSNormBackward: dx (+= with add) and dw += from dy and the forward's x, rstd.
	// dx may be dy when add is false; dw nil: none is wanted.
	RMSNormBackward(dx, dw, dy, x, rstd, w Tensor, add bool)

	// RoPE: dst is x [T, heads*headDim] with each head rotated in the half-split
	// layout of Hugging Face: (x1, x2) -> (x1 c - x2 s, x2 c + x1 s), with
	// cos, sin [positions, headDim/2] at pos[t]. inverse rotates back, which is
	// also the backward pass. dst may be x, or BF16.
	RoPE(dst, x, cos, sin Tensor, pos []int32, inverse bool)
	// LinearRoPE is RoPE of x w^T + bias.
	LinearRoPE(dst, x Tensor, w Weight, bias, cos, sin Tensor, pos []int32)

	// Attention: dst [T, Heads*HeadDim] from q (same shape), k, v [T, KVHeads*HeadDim];
	// lse [T, Heads] is kept for the backward pass. Memory is linear in T.
	// All but lse may be BF16 if the description says so.
	Attention(dst, lse, q, k, v Tensor, a Attention)
	// AttentionBackward writes dq, dk, dv from do, the forward's out, q, k and v,
	// which may be BF16, and lse.
	AttentionBackward(dq, dk, dv, do, out, lse, q, k, v Tensor, a Attention)

	// HeadStats: statistics of softmax(x w^T) at each row of x [n, D], without
	// ever holding n x V logits.
	HeadStats(x Tensor, w Weight, targets []int32, k int) *HeadStats
	// HeadBackward: with dlogits[i] = coef[i] (softmax(x_i w^T) - onehot(target_i)),
	// dx[n,D] = dlogits w and dw[V,D] += dlogits^T x, nil if none is wanted; with set,
	// and at least one target, dw = that. lse is HeadStats.LogSumExp.
	// r, which may be nil, adds its terms to dlogits and has their values returned;
	// no n x V matrix is held for them either.
	HeadBackward(dx, dw, x Tensor, set bool, w Weight, targets []int32, lse, coef []float32, r *HeadRegularisers) HeadTerms

	// SumSquares is accumulated in float64 in an order that does not depend on threads.
	SumSquares(x Tensor) float64
	// AdamW updates p, m and v from the gradient g; all have the same shape.
	AdamW(p, g, m, v Tensor, step AdamW)
}
