package tokenize

import (
	"slices"

	"eaft/parquet"
	"eaft/tokenize/tokenizer"
)

// bounds are the special tokens before and after a text that no template renders.
type bounds struct{ before, after []int32 }

// boundsOf are those that the tokenizer adds to a text, as in Hugging Face's library,
// and behind it, if it adds none there, the end-of-sequence token: a model that never
// sees one does not learn to stop (TRL, axolotl and LLaMA-Factory do the same).
func boundsOf(tok *tokenizer.Tokenizer, eos string) (b bounds) {
	const probe = "a"
	plain, whole := tok.Encode(probe).IDs, tok.EncodeSpecial(probe).IDs
	for k := range len(whole) - len(plain) + 1 {
		if slices.Equal(whole[k:k+len(plain)], plain) {
			b = bounds{whole[:k], whole[k+len(plain):]}
			break
		}
	}
	if id, ok := tok.ID(eos); ok && len(b.after) == 0 {
		b.after = []int32{id}
	}
	return b
}

// encodePlain encodes text between the special tokens, unless they are there
// already, and trains the tokens that begin at byte from of it or after, and the end.
func (l *Language) encodePlain(row *parquet.TokensRow, text string, from int) {
	e := l.Tokenizer.Encode(text)
	before, after := l.bounds.before, l.bounds.after
	if n := len(before); n <= len(e.IDs) && slices.Equal(e.IDs[:n], before) {
		before = nil
	}
	if n := len(e.IDs) - len(after); n >= 0 && slices.Equal(e.IDs[n:], after) {
		after = nil
	}
	n := len(before) + len(e.IDs) + len(after)
	row.InputIDs, row.Labels = make([]int32, 0, n), make([]int32, 0, n)
	row.TokenStart, row.TokenEnd = make([]int32, 0, n), make([]int32, 0, n)
	add := func(id, start, end int32, train bool) {
		row.InputIDs, row.TokenStart, row.TokenEnd = append(row.InputIDs, id), append(row.TokenStart, start), append(row.TokenEnd, end)
		if !train {
			id = ignored
		}
		row.Labels = append(row.Labels, id)
	}
	special := func(ids []int32, train bool) {
		for _, id := range ids {
			start := int32(len(row.Text))
			row.Text += string(l.Tokenizer.TokenBytes(id))
			add(id, start, int32(len(row.Text)), train)
		}
	}
	special(before, false)
	shift := int32(len(row.Text))
	row.Text += text
	for i, id := range e.IDs {
		add(id, e.Starts[i]+shift, e.Ends[i]+shift, int(e.Starts[i]) >= from)
	}
	special(after, true)
}
