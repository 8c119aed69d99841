package tokenize

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"

	"eaft/internal/cli"
)

// record is one input record and where it stands.
type record struct {
	raw    []byte
	source string
	row    int64
	key    string // the record's key in an object of records
	layout *layout
}

// records hands out the records of all inputs in order.
type records struct {
	next func() (record, error, bool)
	stop func()
}

func (r *run) records() *records {
	next, stop := iter.Pull2(func(yield func(record, error) bool) {
		for _, s := range r.sources {
			n := int64(0)
			err := s.each(nil, func(key, raw []byte) error {
				var id string
				if key != nil {
					if err := json.Unmarshal(key, &id); err != nil {
						return cli.Usagef("%s: record %d: its key %.80s: %w", s.path, n, key, err)
					}
				}
				if !yield(record{bytes.Clone(raw), s.name, n, id, s.layout}, nil) {
					return errStopped
				}
				n++
				return nil
			})
			if err == errStopped {
				return
			}
			if err == nil && n != s.records {
				err = fmt.Errorf("%s: had %d records, now %d: the file changed while it was read", s.path, s.records, n)
			}
			if err != nil && !yield(record{}, err) {
				return
			}
		}
	})
	return &records{next, stop}
}

var errStopped = fmt.Errorf("no more records are wanted")

// take returns the next n records.
func (r *records) take(n int64) ([]record, error) {
	out := make([]record, 0, n)
	for range n {
		rec, err, ok := r.next()
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, fmt.Errorf("an input file became shorter while it was read")
		}
		out = append(out, rec)
	}
	return out, nil
}

// skip passes over n records that an earlier run has encoded.
func (r *records) skip(n int64) error {
	for range n {
		if _, err, ok := r.next(); err != nil || !ok {
			return fmt.Errorf("an input file changed while it was read: %v", err)
		}
	}
	return nil
}
