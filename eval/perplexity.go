package eval

import (
	"context"
	"math"
	"slices"
	"strings"

	"eaft/internal/cli"
	"eaft/model"
)

// Perplexity is the task of predicting a plain text. The text is encoded as a
// whole; windows of Window tokens begin every Stride tokens, the last where the
// text ends, and each token is predicted once, by the first window that reaches
// it, from the tokens before it in the window: at least Window-Stride of them,
// save at the beginning. The special tokens that the tokenizer puts before a text
// begin each window and count in it; without any, the text's first token is
// predicted by nothing and does not count.
type Perplexity struct {
	Window, Stride int // Window 0: 2048, or the model's positions if they are fewer; Stride 0: half of Window
	MaxTokens      int // of the text; 0: all
}

// PerplexityResult: NLL is -ln p in nats, summed over the predicted tokens;
// perplexities are exp(NLL / n) for n predicted tokens, and for the words (runs
// between white space, as harness's wikitext counts them) and bytes of UTF-8 that
// these tokens spell.
type PerplexityResult struct {
	Tokens          int64   `json:"tokens"` // predicted
	Words           int64   `json:"words"`
	Bytes           int64   `json:"bytes"`
	NLL             float64 `json:"nll"`
	TokenPerplexity float64 `json:"token_perplexity"`
	WordPerplexity  float64 `json:"word_perplexity"`
	BytePerplexity  float64 `json:"byte_perplexity"`
	BitsPerByte     float64 `json:"bits_per_byte"`
	Window          int     `json:"window"`
	Stride          int     `json:"stride"`
}

// Window is a line of the examples' file: predicted tokens [Start, End) of the text.
type Window struct {
	Start   int     `json:"start"`
	End     int     `json:"end"`
	Context int     `json:"context"` // tokens before Start in the window
	NLL     float64 `json:"nll"`
}

// Run predicts text. one, if not nil, gets each window in order; progress the
// number of predicted tokens.
func (p *Perplexity) Run(ctx context.Context, m *model.Model, l *Language, text string, one func(Window) error, progress func(done, of int)) (*PerplexityResult, error) {
	spec := m.Spec()
	e := l.Tokenizer.Encode(text)
	if p.MaxTokens > 0 && len(e.IDs) > p.MaxTokens {
		e.IDs, e.Ends = e.IDs[:p.MaxTokens], e.Ends[:p.MaxTokens]
	}
	for i, id := range e.IDs {
		if int(id) >= spec.Vocab {
			return nil, cli.Usagef("token %d of the text is %d, but the model's vocabulary has %d entries: the tokenizer is not this model's", i, id, spec.Vocab)
		}
	}
	lead := l.lead()
	res := &PerplexityResult{Window: p.Window, Stride: p.Stride}
	if res.Window == 0 {
		res.Window = batchTokens
		if n := spec.MaxPositions; n > 0 {
			res.Window = min(res.Window, n)
		}
	}
	if res.Stride == 0 {
		res.Stride = res.Window / 2
	}
	own := res.Window - len(lead) // tokens of the text in a window
	switch {
	case spec.MaxPositions > 0 && res.Window > spec.MaxPositions:
		return nil, cli.Usagef("--window %d: the model has %d positions", res.Window, spec.MaxPositions)
	case own < 2 || res.Stride < 1 || res.Stride > own:
		return nil, cli.Usagef("--window %d --stride %d: a stride is 1 or more, and at most the window without its %d special tokens", res.Window, res.Stride, len(lead))
	case len(lead) == 0 && res.Stride == own:
		return nil, cli.Usagef("--window %d --stride %d: nothing would predict a window's first token: take a smaller stride", res.Window, res.Stride)
	}
	first := 0 // that something predicts
	if len(lead) == 0 {
		first = 1
	}
	if len(e.IDs) <= first {
		return nil, cli.Usagef("the text has %d tokens: too few to predict one", len(e.IDs))
	}
	for lo, at := 0, first; at < len(e.IDs); lo += res.Stride {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		hi := min(lo+own, len(e.IDs))
		w := Window{Start: at, End: hi, Context: at - lo}
		b := model.Batch{IDs: slices.Concat(lead, e.IDs[lo:hi])}
		b.CuSeqlens = []int32{0, int32(len(b.IDs))}
		targets := make([]int32, hi-at)
		for i := range targets {
			targets[i] = int32(len(lead) + at - lo + i)
		}
		st, err := m.Score(b, targets, 1)
		if err != nil {
			return nil, err
		}
		if err := finite(st.LogProb); err != nil {
			return nil, err
		}
		for _, lp := range st.LogProb {
			w.NLL -= float64(lp)
		}
		res.NLL += w.NLL
		if one != nil {
			if err := one(w); err != nil {
				return nil, err
			}
		}
		at = hi
		progress(at, len(e.IDs))
	}
	from := int32(0)
	if first > 0 {
		from = e.Ends[0]
	}
	res.close(int64(len(e.IDs)-first), text[from:e.Ends[len(e.Ends)-1]])
	return res, nil
}

func (r *PerplexityResult) close(tokens int64, text string) {
	r.Tokens, r.Bytes, r.Words = tokens, int64(len(text)), int64(len(strings.Fields(text)))
	per := func(n int64) float64 { return math.Exp(r.NLL / float64(max(n, 1))) }
	r.TokenPerplexity, r.WordPerplexity, r.BytePerplexity = per(r.Tokens), per(r.Words), per(r.Bytes)
	r.BitsPerByte = r.NLL / float64(max(r.Bytes, 1)) / math.Ln2
}
