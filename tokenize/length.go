package tokenize

import (
	"fmt"
	"strconv"
	"unicode/utf8"

	"eaft/internal/cli"
	"eaft/parquet"
)

// piece is a row of the dataset, or why there is none.
type piece struct {
	row *parquet.TokensRow
	why *reject
}

// fit applies the length limit: the pieces that a row becomes, and whether its
// end was cut off.
func fit(o *Options, row *parquet.TokensRow, rec record) (pieces []piece, truncated bool, err error) {
	n := len(row.InputIDs)
	if o.MaxLength == 0 || n <= o.MaxLength {
		return []piece{trainable(row, noTarget, "no token of the row is trained")}, false, nil
	}
	switch o.Overlong {
	case Fail:
		return nil, false, cli.Usagef("%s: record %d has %d tokens, --max-length is %d: choose --over-length drop, truncate or split", rec.source, rec.row, n, o.MaxLength)
	case Truncate:
		truncate(row, cut(row, 0, o.MaxLength))
		return []piece{trainable(row, cutToNothing, fmt.Sprintf("of %d tokens the first %d are kept, and none of them is trained; --over-length split keeps the others too", n, o.MaxLength))}, true, nil
	case Split:
		for lo := 0; lo < n; {
			hi := cut(row, lo, min(n, lo+o.MaxLength))
			part := slice(row, lo, hi)
			part.ID = row.ID + "#" + strconv.Itoa(len(pieces))
			pieces = append(pieces, trainable(part, emptyPiece, fmt.Sprintf("no token from %d to %d is trained", lo, hi)))
			lo = hi
		}
		return pieces, false, nil
	}
	return []piece{{why: &reject{tooLong, fmt.Sprintf("%d tokens, --max-length is %d; --over-length truncate cuts such rows, split makes several of one", n, o.MaxLength)}}}, false, nil
}

func trainable(row *parquet.TokensRow, reason, detail string) piece {
	if targets(row) == 0 {
		return piece{why: &reject{reason, detail}}
	}
	return piece{row: row}
}

// cut moves the end of [lo, hi) back to a token that begins a character, so that
// the text up to it is UTF-8; tokens of one character are not parted unless they
// are more than the limit.
func cut(row *parquet.TokensRow, lo, hi int) int {
	for at := hi; at > lo && at < len(row.InputIDs); at-- {
		if start := int(row.TokenStart[at]); start == len(row.Text) || utf8.RuneStart(row.Text[start]) {
			return at
		}
	}
	return hi
}

// slice is a row of the tokens [lo, hi), its text and spans cut alike.
func slice(row *parquet.TokensRow, lo, hi int) *parquet.TokensRow {
	from, to := row.TokenStart[lo], row.TokenEnd[hi-1]
	out := &parquet.TokensRow{ID: row.ID, Source: row.Source, Row: row.Row, Weight: row.Weight, Text: row.Text[from:to],
		InputIDs: row.InputIDs[lo:hi], Labels: row.Labels[lo:hi],
		TokenStart: make([]int32, hi-lo), TokenEnd: make([]int32, hi-lo)}
	if !utf8.ValidString(out.Text) { // a character of more tokens than the limit
		out.Text, from = row.Text, 0
	}
	for i := range out.TokenStart {
		out.TokenStart[i], out.TokenEnd[i] = row.TokenStart[lo+i]-from, row.TokenEnd[lo+i]-from
	}
	for _, s := range row.Spans {
		if s.Start, s.End = max(s.Start-int32(lo), 0), min(s.End-int32(lo), int32(hi-lo)); s.Start < s.End {
			out.Spans = append(out.Spans, s)
		}
	}
	return out
}
