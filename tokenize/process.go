package tokenize

import (
	"errors"

	"eaft/parquet"
)

// result is what became of one record.
type result struct {
	split     int
	key       contentKey
	signature *signature
	why       *reject // the whole record
	pieces    []piece // rows it became; more than one when a long one is cut
	truncated bool
	err       error // ends the run
}

// process does everything to a record that does not depend on others.
func (r *run) process(rec record) (out result) {
	row, err := r.rowOf(rec, &out)
	if err == nil && targets(row) == 0 {
		err = rejectf(noTarget, "no token of the row is trained")
	}
	if errors.As(err, &out.why) {
		return out
	}
	if out.err = err; err == nil {
		out.pieces, out.truncated, out.err = fit(r.o, row, rec)
	}
	return out
}

func (r *run) rowOf(rec record, out *result) (*parquet.TokensRow, error) {
	data, err := decode(rec.raw)
	if err != nil {
		return nil, err
	}
	record := data
	if data, err = rec.layout.canonical(record); err != nil {
		return nil, rec.layout.otherwise(record, err)
	}
	if len(r.o.Split) > 0 || r.o.Dedup != nil {
		out.key = keyOf(data)
		out.split = splitOf(out.key, r.o.Split)
	}
	if r.o.Dedup != nil && r.o.Dedup.Near > 0 {
		out.signature = signatureOf(data)
	}
	return r.l.encode(data, rec)
}
