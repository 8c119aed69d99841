package train

import (
	"bytes"
	"encoding/json"
	"fmt"

	"eaft/internal/cli"
	"eaft/internal/store"
	"eaft/parquet"
)

// RejectsName is the file of the rows that a run does not train on, one a line.
const RejectsName = "rejects.jsonl"

// reject is a row that cannot be trained on, and why. Source and Row are those of
// the corpus; of a dataset that does not say, they are the shard and the row in it.
type reject struct {
	ID     string `json:"id"`
	Source string `json:"source"`
	Row    int64  `json:"row"`
	Reason string `json:"reason"`
	Detail string `json:"detail"`
}

// unusable is why row n of the shard at path, with so many trained targets, cannot
// be trained on; nil if it can.
func unusable(t *parquet.TokensRow, path string, n int64, targets, maxPositions int) *reject {
	r := &reject{ID: t.ID, Source: t.Source, Row: t.Row}
	if r.Source == "" {
		r.Source, r.Row = store.Base(path), n
	}
	switch {
	case targets == 0:
		r.Reason, r.Detail = parquet.NoTarget, fmt.Sprintf("%d tokens", len(t.InputIDs))
	case maxPositions > 0 && len(t.InputIDs) > maxPositions:
		r.Reason, r.Detail = parquet.TooLong, fmt.Sprintf("%d tokens, the model has %d positions", len(t.InputIDs), maxPositions)
	default:
		return nil
	}
	return r
}

// writeRejects writes the file into dir.
func (s *rowSet) writeRejects(dir string) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	for _, r := range s.rejects {
		if err := enc.Encode(r); err != nil {
			return err
		}
	}
	return store.WriteFile(store.Join(dir, RejectsName), b.Bytes())
}

// gate says how many rows are not trained on, and refuses the run if that is more
// than --max-reject allows. Then the folder, which survey has found free or this
// run's, has the rejects and else what it had.
func (o *Options) gate(s *rowSet) error {
	n, total := s.ledger.RowsIn-s.ledger.RowsOut, s.ledger.RowsIn
	if n == 0 {
		return nil
	}
	first, path := s.rejects[0], store.Join(o.Out, RejectsName)
	why := fmt.Sprintf("%s; first %s: %s (%s); each is named in %s", dropped(s.ledger), first.Reason, show(first.ID), first.Detail, path)
	if share := float64(n) / float64(total); share > o.MaxReject {
		if err := store.WriteFile(store.Join(o.Out, unfinishedName), nil); err != nil {
			return err
		}
		if err := s.writeRejects(o.Out); err != nil {
			return err
		}
		return cli.Gatef("%d of %d rows cannot be trained on (%.1f%%; --max-reject is %.1f%%): %s. Cut or leave out what is too long with tokenize --max-length, or allow more with --max-reject",
			n, total, 100*share, 100*o.MaxReject, why)
	}
	fmt.Fprintf(o.Stderr, "warning: %d of %d rows are not trained on: %s\n", n, total, why)
	return nil
}
