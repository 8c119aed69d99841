package parquet

// Span is a run of tokens that one chat turn rendered to.
type Span struct {
	Role  string `parquet:"role,dict"`
	Turn  int32  `parquet:"turn"`
	Start int32  `parquet:"start"` // first token index
	End   int32  `parquet:"end"`   // one past the last token index
}

// TokensRow is one training row of tokens/1. The lists have one entry per
// token; TokenStart and TokenEnd are byte offsets in Text and may be empty in
// foreign files, as may everything but ID, InputIDs and Labels.
type TokensRow struct {
	ID         string  `parquet:"id"`
	Source     string  `parquet:"source,dict"`
	Row        int64   `parquet:"row"`
	Text       string  `parquet:"text"`
	InputIDs   []int32 `parquet:"input_ids,list" parquet-element:",dict"`
	Labels     []int32 `parquet:"labels,list" parquet-element:",dict"` // InputIDs where trained, else -100; not shifted
	TokenStart []int32 `parquet:"token_start,list" parquet-element:",delta"`
	TokenEnd   []int32 `parquet:"token_end,list" parquet-element:",delta"`
	Spans      []Span  `parquet:"spans,list"`

	// Weight multiplies the loss of the row's targets in training, if that is asked
	// for; at least 0. nil: null, or the shard has no such column.
	Weight *float32 `parquet:"-"`
}

// weightedRow is a TokensRow with the column that is written if asked only.
type weightedRow struct {
	TokensRow
	Weight *float32 `parquet:"weight,optional"`
}

// ScoresRow holds, for one row of tokens, one entry per scored target. Pos is
// ascending; logarithms are natural, entropies in nats.
type ScoresRow struct {
	ID          string    `parquet:"id"`
	Pos         []int32   `parquet:"pos,list"`
	Token       []int32   `parquet:"token,list"`
	LogProb     []float32 `parquet:"logprob,list" parquet-element:",split"`
	Entropy     []float32 `parquet:"entropy,list" parquet-element:",split"`
	TopKEntropy []float32 `parquet:"topk_entropy,list" parquet-element:",split"`
	TopKMass    []float32 `parquet:"topk_mass,list" parquet-element:",split"`
	Top1LogProb []float32 `parquet:"top1_logprob,list" parquet-element:",split"`
	Rank        []int32   `parquet:"rank,list"`
	Top1ID      []int32   `parquet:"top1_id,list"`

	// The likeliest tokens of each target, descending, the same number for each one
	// after another; empty where they are not stored.
	TopKID      []int32   `parquet:"-"`
	TopKLogProb []float32 `parquet:"-"`
}

// scoresTopKRow is a ScoresRow with the columns that are written if asked only.
type scoresTopKRow struct {
	ScoresRow
	TopKID      []int32   `parquet:"topk_id,list"`
	TopKLogProb []float32 `parquet:"topk_logprob,list" parquet-element:",split"`
}

// TopK is the stored likeliest tokens of target j, nil if there are none.
func (r *ScoresRow) TopK(j int) (ids []int32, logProbs []float32) {
	if len(r.TopKID) == 0 {
		return nil, nil
	}
	n := len(r.TopKID) / len(r.Pos)
	return r.TopKID[j*n:][:n:n], r.TopKLogProb[j*n:][:n:n]
}

// AuditRow holds what training saw of one row: the live values and the weight
// of each target, and the values of the base annotation, empty without one.
type AuditRow struct {
	ID              string    `parquet:"id"`
	Epoch           int32     `parquet:"epoch"`
	Step            int32     `parquet:"step"`
	Pos             []int32   `parquet:"pos,list"`
	LogProb         []float32 `parquet:"logprob,list" parquet-element:",split"`
	TopKEntropy     []float32 `parquet:"topk_entropy,list" parquet-element:",split"`
	TopKMass        []float32 `parquet:"topk_mass,list" parquet-element:",split"`
	Weight          []float32 `parquet:"weight,list" parquet-element:",split"`
	BaseLogProb     []float32 `parquet:"base_logprob,list" parquet-element:",split"`
	BaseTopKEntropy []float32 `parquet:"base_topk_entropy,list" parquet-element:",split"`
	BaseTopKMass    []float32 `parquet:"base_topk_mass,list" parquet-element:",split"`
}
