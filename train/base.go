package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"eaft/eaft"
	"eaft/internal/cli"
	"eaft/internal/store"
	"eaft/parquet"
)

// baseRow is the base annotation of a row's targets, in the order of row.pos.
type baseRow struct{ logp, entropy, topk, mass []float32 }

// openScores opens the base annotation and checks that it is of these tokens,
// by this model, with this k.
func (in *inputs) openScores(o *Options) error {
	ds, err := parquet.OpenDataset(o.Scores, parquet.SchemaScores)
	if err != nil {
		return &cli.Error{Code: cli.ExitUsage, Err: err}
	}
	file := store.Join(o.Scores, parquet.ManifestName)
	if ds.Manifest == nil {
		return cli.Usagef("%s is missing: score the tokens again", file)
	}
	m := ds.Manifest
	for _, c := range []struct{ field, have, want, remedy string }{
		{"hashes.tokens", m.Hashes["tokens"], in.hashes["tokens"], "score these tokens, or give the --tokens that were scored"},
		{"hashes.model", m.Hashes["model"], in.hashes["model"], "score with the --model that training starts from"},
		{"k", fmt.Sprint(m.K), fmt.Sprint(o.K), "give both the same --k"},
	} {
		if c.have != c.want {
			return cli.Usagef("%s: %s is %s, but this run has %s: %s", file, c.field, show(c.have), c.want, c.remedy)
		}
	}
	var s struct {
		Cuts *eaft.Cuts `json:"cuts"`
	}
	err = json.Unmarshal(m.Summary, &s)
	if err == nil && s.Cuts == nil && m.Ledger.Targets == 0 {
		return cli.Usagef("%s: no trained target was scored, so there is nothing to train on: see how the tokens were made", file)
	}
	if err != nil || s.Cuts == nil {
		return cli.Usagef("%s: summary.cuts is missing: score the tokens again", file)
	}
	in.scores, in.cuts, in.hashes["scores"] = ds, *s.Cuts, m.ContentHash()
	return nil
}

// join gives rows, in the dataset's order, their base annotation. Scores have
// the tokens' row order, and may have more targets than are trained.
func (in *inputs) join(rows []*row) error {
	if in.scores == nil {
		return nil
	}
	var n int64
	for _, path := range in.scores.Shards {
		if len(rows) == 0 {
			break
		}
		r, err := parquet.OpenScores(path)
		if err != nil {
			return &cli.Error{Code: cli.ExitUsage, Err: err}
		}
		rows, n, err = joinShard(r, path, rows, n)
		r.Close()
		if err != nil {
			return err
		}
	}
	if len(rows) > 0 {
		return cli.Usagef("%s: has %d rows, but row %d (%s) of the tokens is trained: score without --limit, or train with --max-rows %d",
			in.scores.Dir, n, rows[0].order, rows[0].id, n)
	}
	return nil
}

// joinShard joins the leading rows that are in r, whose first row is n of the
// dataset, and returns the rest and the dataset row after the shard's last.
func joinShard(r *parquet.ScoresReader, path string, rows []*row, n int64) ([]*row, int64, error) {
	for ; len(rows) > 0; n++ {
		var s parquet.ScoresRow
		if err := r.Next(&s); errors.Is(err, io.EOF) {
			return rows, n, nil
		} else if err != nil {
			return nil, n, &cli.Error{Code: cli.ExitUsage, Err: err}
		}
		x := rows[0]
		if x.order != n {
			continue // dropped from training
		}
		if s.ID != x.id {
			return nil, n, cli.Usagef("%s: row %d: id is %q, but the tokens have %q there: score the tokens again", path, n, s.ID, x.id)
		}
		b := &baseRow{}
		i := 0
		for _, p := range x.pos {
			for i < len(s.Pos) && s.Pos[i] < p {
				i++
			}
			if i == len(s.Pos) || s.Pos[i] != p {
				return nil, n, cli.Usagef("%s: row %d (%s): pos lacks the trained target %d: score the tokens again", path, n, s.ID, p)
			}
			b.logp = append(b.logp, s.LogProb[i])
			b.entropy = append(b.entropy, s.Entropy[i])
			b.topk = append(b.topk, s.TopKEntropy[i])
			b.mass = append(b.mass, s.TopKMass[i])
		}
		x.base, rows = b, rows[1:]
	}
	return rows, n, nil
}
