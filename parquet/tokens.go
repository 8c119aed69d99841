package parquet

import (
	"fmt"
	"math"

	pq "github.com/parquet-go/parquet-go"
)

// Ignore is the label of tokens that are not trained.
const Ignore = -100

// TokensReader reads tokens/1 in order, ours or any Parquet file with the
// columns id (string or integer), input_ids and labels (lists of 32 or 64 bit
// integers).
type TokensReader struct {
	*reader
	id, source, row, text, weight  *column
	inputIDs, labels, start, end   *column
	role, turn, spanStart, spanEnd *column
}

// OpenTokens opens a shard and checks its schema.
func OpenTokens(path string) (r *TokensReader, err error) {
	base, err := openReader(path)
	if err != nil {
		return nil, err
	}
	r = &TokensReader{reader: base}
	defer func() {
		if err = r.ready(recover()); err != nil {
			r = nil
		}
	}()
	const text, number = "a string", "an integer"
	r.id = r.scalar("id", "a string or an integer", true, pq.ByteArray, pq.Int32, pq.Int64)
	r.source = r.scalar("source", text, false, pq.ByteArray)
	r.row = r.scalar("row", number, false, pq.Int32, pq.Int64)
	r.text = r.scalar("text", text, false, pq.ByteArray)
	r.inputIDs = r.list("input_ids", number, true, pq.Int32, pq.Int64)
	r.labels = r.list("labels", number, true, pq.Int32, pq.Int64)
	r.start = r.list("token_start", number, false, pq.Int32, pq.Int64)
	r.weight = r.scalar("weight", "a float", false, pq.Float, pq.Double)
	r.end = r.list("token_end", number, false, pq.Int32, pq.Int64)
	r.only(r.pq.Root().Columns(), "", "id", "source", "row", "text", "input_ids", "labels", "token_start", "token_end", "spans", "weight")
	if span := r.pq.Root().Column("spans"); span != nil {
		for len(span.Columns()) == 1 { // a list's groups
			span = span.Columns()[0]
		}
		r.only(span.Columns(), "spans.", "role", "turn", "start", "end")
		r.role = r.list("spans.role", text, true, pq.ByteArray)
		r.turn = r.list("spans.turn", number, true, pq.Int32, pq.Int64)
		r.spanStart = r.list("spans.start", number, true, pq.Int32, pq.Int64)
		r.spanEnd = r.list("spans.end", number, true, pq.Int32, pq.Int64)
		for _, c := range []*column{r.role, r.turn, r.spanStart, r.spanEnd} {
			if c != nil {
				c.nullOK = true
			}
		}
	}
	return r, nil
}

// Weighted says whether the shard has the column weight.
func (r *TokensReader) Weighted() bool { return r.weight != nil }

// Next reads the next row into fresh slices; io.EOF after the last one.
func (r *TokensReader) Next(t *TokensRow) error {
	return r.next(func() error {
		*t = TokensRow{}
		id, ok, err := r.id.text()
		if err := must(r.id, ok, err); err != nil {
			return err
		}
		t.ID = id
		if r.source != nil {
			if t.Source, _, err = r.source.text(); err != nil {
				return err
			}
		}
		if r.row != nil {
			if t.Row, _, err = r.row.int64(); err != nil {
				return err
			}
		}
		if r.text != nil {
			if t.Text, _, err = r.text.text(); err != nil {
				return err
			}
		}
		if r.weight != nil {
			w, ok, err := r.weight.float64()
			if err != nil {
				return err
			}
			if ok {
				x := float32(w)
				t.Weight = &x
			}
		}
		for _, l := range []struct {
			dst *[]int32
			c   *column
		}{{&t.InputIDs, r.inputIDs}, {&t.Labels, r.labels}, {&t.TokenStart, r.start}, {&t.TokenEnd, r.end}} {
			if err := r.int32List(l.dst, l.c); err != nil {
				return err
			}
		}
		if err := r.spans(t); err != nil {
			return err
		}
		return t.check()
	})
}

func (r *TokensReader) spans(t *TokensRow) error {
	if r.role == nil {
		return nil
	}
	roles, err := r.role.texts(nil)
	if err != nil {
		return err
	}
	var turn, start, end []int32
	for _, l := range []struct {
		dst *[]int32
		c   *column
	}{{&turn, r.turn}, {&start, r.spanStart}, {&end, r.spanEnd}} {
		if err := r.int32List(l.dst, l.c); err != nil {
			return err
		}
		if err := sameLen(l.c.name, len(*l.dst), len(roles)); err != nil {
			return err
		}
	}
	for i, role := range roles {
		if start[i] < 0 || start[i] > end[i] || int(end[i]) > len(t.InputIDs) {
			return fmt.Errorf("column spans, element %d: tokens %d to %d of %d", i, start[i], end[i], len(t.InputIDs))
		}
		t.Spans = append(t.Spans, Span{Role: role, Turn: turn[i], Start: start[i], End: end[i]})
	}
	return nil
}

// check is what every reader of tokens may rely on.
func (t *TokensRow) check() error {
	n := len(t.InputIDs)
	if w := t.Weight; w != nil && !(*w >= 0 && *w <= math.MaxFloat32) {
		return fmt.Errorf("column weight: %v is not a finite number >= 0", *w)
	}
	if err := sameLen("labels", len(t.Labels), n); err != nil {
		return err
	}
	for i, id := range t.InputIDs {
		if id < 0 {
			return fmt.Errorf("column input_ids, element %d: negative token id %d", i, id)
		}
		if l := t.Labels[i]; l != Ignore && l != id {
			return fmt.Errorf("column labels, element %d: %d is neither -100 nor the token id %d; labels must not be shifted", i, l, id)
		}
	}
	if err := sameLen("token_end", len(t.TokenEnd), len(t.TokenStart)); err != nil {
		return err
	}
	if len(t.TokenStart) == 0 {
		return nil
	}
	if err := sameLen("token_start", len(t.TokenStart), n); err != nil {
		return err
	}
	for i, lo := range t.TokenStart {
		if hi := t.TokenEnd[i]; lo < 0 || lo > hi || int(hi) > len(t.Text) {
			return fmt.Errorf("column token_start, element %d: bytes %d to %d of a text of %d", i, lo, hi, len(t.Text))
		}
	}
	return nil
}
