package eval

import (
	"encoding/json"
	"fmt"

	"eaft/internal/cli"
)

// Source hands out the records of a file, as JSON, with their key in an object
// of records.
type Source struct {
	Name string // for messages
	Each func(f func(key, raw []byte) error) error
}

// errEnough ends a source early.
var errEnough = fmt.Errorf("the limit is reached")

// records reads the first limit records (0: all), and names the fields that are
// not given by the first one's.
func (s *Source) records(f *Fields, limit int) ([]record, error) {
	var out []record
	err := s.Each(func(key, raw []byte) error {
		if limit > 0 && len(out) == limit {
			return errEnough
		}
		if len(out) == 0 {
			f.Detect(raw)
		}
		r := record{where: fmt.Sprintf("%s: record %d", s.Name, len(out)), raw: append(json.RawMessage{}, raw...), id: fmt.Sprint(len(out))}
		if len(key) > 0 {
			if err := json.Unmarshal(key, &r.id); err != nil {
				return cli.Usagef("%s: its key %.80s: %w", r.where, key, err)
			}
		} else if f.ID != "" {
			id, err := r.text("id", f.ID)
			if err != nil {
				return err
			}
			r.id = id
		}
		out = append(out, r)
		return nil
	})
	if err != nil && err != errEnough {
		return nil, err
	}
	if len(out) == 0 {
		return nil, cli.Usagef("%s: no record", s.Name)
	}
	return out, nil
}
