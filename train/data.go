package train

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"eaft/internal/cli"
	"eaft/parquet"
)

// row is a training row in memory.
type row struct {
	id     string
	order  int64 // in the dataset
	source string
	weight *float32 // nil without
	ids    []int32
	pos    []int32 // trained targets, ascending
	logp   []float32
	topk   []float32
	mass   []float32 // logp, topk, mass: live, of the last visit
	base   *baseRow  // nil without scores
	found  conflicts // at the last visit that counts
}

// rowSet are the rows of a dataset that can be trained on, and those that cannot.
type rowSet struct {
	rows    []*row
	rejects []*reject
	ledger  parquet.Ledger
}

// loadRows reads the first maxRows rows (0: all) of a tokens dataset. Rows
// without a trained target or with more than maxPositions tokens are rejects;
// ids must lie in the vocabulary.
func loadRows(ds *parquet.Dataset, maxRows int64, vocab, maxPositions int) (*rowSet, error) {
	s := &rowSet{ledger: parquet.Ledger{Dropped: map[string]int64{}}}
	for _, path := range ds.Shards {
		if maxRows > 0 && s.ledger.RowsIn >= maxRows {
			break
		}
		if err := s.load(path, maxRows, vocab, maxPositions); err != nil {
			return nil, err
		}
	}
	return s, s.ledger.Check()
}

// load adds the rows of a shard, up to the first maxRows of the dataset.
func (s *rowSet) load(path string, maxRows int64, vocab, maxPositions int) error {
	r, err := parquet.OpenTokens(path)
	if err != nil {
		return &cli.Error{Code: cli.ExitUsage, Err: err}
	}
	defer r.Close()
	ledger := &s.ledger
	for n := int64(0); maxRows == 0 || ledger.RowsIn < maxRows; n++ {
		var t parquet.TokensRow
		if err := r.Next(&t); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return &cli.Error{Code: cli.ExitUsage, Err: err}
		}
		for i, id := range t.InputIDs {
			if int(id) >= vocab {
				return cli.Usagef("%s: row %d (%s): input_ids[%d] is %d, but the model's vocabulary has %d entries: tokenize with this model's tokenizer",
					path, n, t.ID, i, id, vocab)
			}
		}
		x := &row{id: t.ID, source: t.Source, order: ledger.RowsIn, ids: t.InputIDs, weight: t.Weight}
		ledger.RowsIn++
		for i, label := range t.Labels {
			if i > 0 && label != parquet.Ignore {
				x.pos = append(x.pos, int32(i))
			}
		}
		if why := unusable(&t, path, n, len(x.pos), maxPositions); why != nil {
			ledger.Dropped[why.Reason]++
			s.rejects = append(s.rejects, why)
			continue
		}
		ledger.RowsOut++
		ledger.Tokens += int64(len(x.ids))
		ledger.Targets += int64(len(x.pos))
		s.rows = append(s.rows, x)
	}
	return nil
}

// nothingToTrain is the error of a dataset without a usable row.
func (s *rowSet) nothingToTrain(dir string) error {
	if len(s.rejects) == 0 {
		return cli.Usagef("%s: no row to train on: it has none", dir)
	}
	first := s.rejects[0]
	return cli.Usagef("%s: no row to train on: of %d rows %s; first: %s (%s)", dir, s.ledger.RowsIn, dropped(s.ledger), show(first.ID), first.Detail)
}

// dropped are the reasons for which rows are left out.
func dropped(l parquet.Ledger) string {
	var why []string
	for _, reason := range []string{parquet.NoTarget, parquet.TooLong} {
		if n := l.Dropped[reason]; n > 0 {
			why = append(why, fmt.Sprintf("%d %s", n, reason))
		}
	}
	return strings.Join(why, ", ")
}
