package compute

// Adapters are the operations that low-rank adapters beside a product need.
type Adapters interface {
	// Scale: dst = a x. dst may be x, or BF16.
	Scale(dst, x Tensor, a float32)
	// Dropout: with keep 0 or 1 for each element, dst = x keep / (1-p), or dst += that
	// with add. keep[i][j] is a hash of keys[i], salt and j and of nothing else, 1 with
	// probability 1-p in steps of 2^-16. x may be BF16, and dst too without add.
	Dropout(dst, x Tensor, keys []uint64, salt uint64, p float64, add bool)
	// Gated: act = silu(g) * u, all three alike in shape. Each may be BF16.
	Gated(act, g, u Tensor)
	// GatedGradient: dg and du, which may be g and u, from the gradient dact of
	// silu(g) * u; it writes over dact. All but dact may be BF16.
	GatedGradient(dg, du, dact, g, u Tensor)
}
