package train

import (
	"errors"
	"fmt"
	"io"

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

// Reasons for which a row is not trained on.
const (
	droppedNoTarget = "no trained target"
	droppedTooLong  = "longer than the model's positions"
)

// loadRows reads the first maxRows rows (0: all) of a tokens dataset. Rows
// without a trained target or with more than maxPositions tokens are counted
// and dropped; ids must lie in the vocabulary.
func loadRows(ds *parquet.Dataset, maxRows int64, vocab, maxPositions int) ([]*row, parquet.Ledger, error) {
	ledger := parquet.Ledger{Dropped: map[string]int64{}}
	var rows []*row
	for _, path := range ds.Shards {
		if maxRows > 0 && ledger.RowsIn >= maxRows {
			break
		}
		var err error
		if rows, err = loadShard(path, rows, &ledger, maxRows, vocab, maxPositions); err != nil {
			return nil, ledger, err
		}
	}
	return rows, ledger, ledger.Check()
}

func loadShard(path string, rows []*row, ledger *parquet.Ledger, maxRows int64, vocab, maxPositions int) ([]*row, error) {
	r, err := parquet.OpenTokens(path)
	if err != nil {
		return nil, &cli.Error{Code: cli.ExitUsage, Err: err}
	}
	defer r.Close()
	for n := 0; maxRows == 0 || ledger.RowsIn < maxRows; n++ {
		var t parquet.TokensRow
		if err := r.Next(&t); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, &cli.Error{Code: cli.ExitUsage, Err: err}
		}
		for i, id := range t.InputIDs {
			if int(id) >= vocab {
				return nil, cli.Usagef("%s: row %d (%s): input_ids[%d] is %d, but the model's vocabulary has %d entries: tokenize with this model's tokenizer",
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
		switch {
		case len(x.pos) == 0:
			ledger.Dropped[droppedNoTarget]++
			continue
		case maxPositions > 0 && len(x.ids) > maxPositions:
			ledger.Dropped[droppedTooLong]++
			continue
		}
		ledger.RowsOut++
		ledger.Tokens += int64(len(x.ids))
		ledger.Targets += int64(len(x.pos))
		rows = append(rows, x)
	}
	return rows, nil
}

// nothingToTrain is the error of a dataset without a usable row.
func nothingToTrain(dir string, l parquet.Ledger) error {
	return cli.Usagef("%s: no row to train on (%d rows read%s)", dir, l.RowsIn, dropped(l))
}

// dropped are the reasons for which rows are left out; "" if none is.
func dropped(l parquet.Ledger) (why string) {
	for _, reason := range []string{droppedNoTarget, droppedTooLong} {
		if n := l.Dropped[reason]; n > 0 {
			why += fmt.Sprintf("; %d %s", n, reason)
		}
	}
	return why
}
