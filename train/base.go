package train

// baseRow is the base annotation of a row's targets, in the order of row.pos.
type baseRow struct{ logp, topk, mass []float32 }
