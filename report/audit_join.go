package report

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"io"
	"slices"

	"eaft/internal/cli"
	"eaft/parquet"
)

// auditKey finds a row: the audit has its id and its trained targets. Rows that
// share both are one to it.
type auditKey struct {
	id  string
	pos uint64 // hash of the targets
}

func newAuditKey(id string, pos []int32) auditKey {
	h := fnv.New64a()
	var b [4]byte
	for _, p := range pos {
		binary.LittleEndian.PutUint32(b[:], uint32(p))
		h.Write(b[:])
	}
	return auditKey{id, h.Sum64()}
}

func partOf(id string, parts int) int {
	h := fnv.New64a()
	io.WriteString(h, id)
	return int(h.Sum64() % uint64(parts))
}

// auditRow is a training row; lists have an entry for each target.
type auditRow struct {
	id     string
	source string
	ids    []int32 // nil without tokens
	pos    []int32 // set by the first visit
	class  []uint8 // nil without tokens

	base     []float32 // log-probabilities of the base model, nil without
	baseFlag []bool    // confident conflicts of the base, nil without base or cuts
	step     int32     // of the last visit, 0: none
	last     []float32 // log-probabilities then, or those of the scores after
	lastFlag []bool

	after     []float32 // nil without scores of the trained model
	afterFlag []bool
}

// annotation walks the scores beside the tokens.
type annotation struct {
	d     *parquet.Dataset
	shard int
	r     *parquet.ScoresReader
}

func (a *annotation) close() {
	if a.r != nil {
		a.r.Close()
		a.r = nil
	}
}

// next is the scores of the next row, which has the id of the tokens.
func (a *annotation) next(id string) (*parquet.ScoresRow, error) {
	for {
		if a.r == nil {
			if a.shard == len(a.d.Shards) {
				return nil, cli.Usagef("%s: has no row for %q of the tokens: score all of these tokens", a.d.Dir, id)
			}
			r, err := parquet.OpenScores(a.d.Shards[a.shard])
			if err != nil {
				return nil, usage(err)
			}
			a.r = r
		}
		s := new(parquet.ScoresRow)
		err := a.r.Next(s)
		if errors.Is(err, io.EOF) {
			a.close()
			a.shard++
			continue
		}
		if err != nil {
			return nil, usage(err)
		}
		if s.ID != id {
			return nil, cli.Usagef("%s: id is %q where the tokens have %q: score these tokens", a.d.Shards[a.shard], s.ID, id)
		}
		return s, nil
	}
}

// load reads the rows of a part from the tokens and what is known of them.
func (t *auditTally) load(ctx context.Context, part, parts int) (map[auditKey]*auditRow, error) {
	rows := map[auditKey]*auditRow{}
	if t.in.tokens == nil {
		return rows, nil
	}
	var notes []*annotation
	for _, d := range []*parquet.Dataset{t.in.scores, t.in.after} {
		if d != nil {
			notes = append(notes, &annotation{d: d})
			defer notes[len(notes)-1].close()
		}
	}
	var n int64
	for _, path := range t.in.tokens.Shards {
		r, err := parquet.OpenTokens(path)
		if err != nil {
			return nil, usage(err)
		}
		for t.in.run.Ledger.RowsIn == 0 || n < t.in.run.Ledger.RowsIn {
			if err = ctx.Err(); err != nil {
				break
			}
			tok := new(parquet.TokensRow)
			if err = r.Next(tok); err != nil {
				err = usage(err)
				break
			}
			n++
			if err = t.loadRow(rows, tok, notes, partOf(tok.ID, parts) == part); err != nil {
				break
			}
		}
		r.Close()
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
	}
	return rows, nil
}

func (t *auditTally) loadRow(rows map[auditKey]*auditRow, tok *parquet.TokensRow, notes []*annotation, mine bool) error {
	var scores [2]*parquet.ScoresRow // before, after
	for _, a := range notes {
		s, err := a.next(tok.ID)
		if err != nil {
			return err
		}
		if a.d == t.in.scores {
			scores[0] = s
		} else {
			scores[1] = s
		}
	}
	if !mine {
		return nil
	}
	var pos []int32
	for i, label := range tok.Labels {
		if i > 0 && label != parquet.Ignore {
			pos = append(pos, int32(i))
		}
	}
	if len(pos) == 0 {
		return nil
	}
	key := newAuditKey(tok.ID, pos)
	if rows[key] != nil {
		t.twins++
		return nil
	}
	x := &auditRow{id: tok.ID, source: tok.Source, ids: tok.InputIDs, pos: pos}
	for _, p := range pos {
		class := classUnknown
		if t.in.vocab.t != nil {
			class = t.in.vocab.info(tok.InputIDs[p]).class(t.in.vocab.info(tok.InputIDs[p-1]))
		}
		x.class = append(x.class, uint8(class))
	}
	var err error
	if s := scores[0]; s != nil {
		if x.base, x.baseFlag, err = t.chosen(s, tok, pos); err != nil {
			return err
		}
	}
	if s := scores[1]; s != nil {
		if x.after, x.afterFlag, err = t.chosen(s, tok, pos); err != nil {
			return err
		}
	}
	rows[key] = x
	return nil
}

// chosen takes the trained targets out of a row's scores.
func (t *auditTally) chosen(s *parquet.ScoresRow, tok *parquet.TokensRow, pos []int32) (logp []float32, flags []bool, err error) {
	i := 0
	for _, p := range pos {
		for i < len(s.Pos) && s.Pos[i] < p {
			i++
		}
		if i == len(s.Pos) || s.Pos[i] != p || s.Token[i] != tok.InputIDs[p] {
			return nil, nil, cli.Usagef("the scores of row %q lack its trained target %d, or have it for another token: score these tokens", tok.ID, p)
		}
		logp = append(logp, s.LogProb[i])
		if t.in.cuts != nil {
			flags = append(flags, t.flag(s.LogProb[i], s.TopKEntropy[i], s.TopKMass[i]))
		}
	}
	return logp, flags, nil
}

// part counts the visits of the rows of a part, and then these rows.
func (t *auditTally) part(ctx context.Context, part, parts int) error {
	rows, err := t.load(ctx, part, parts)
	if err != nil {
		return err
	}
	for i, path := range t.in.audit.Shards {
		r, err := parquet.OpenAudit(path)
		if err != nil {
			return usage(err)
		}
		if n := t.in.audit.Manifest.Shards[i].Rows; r.NumRows() != n {
			r.Close()
			return cli.Usagef("%s: %d rows where the manifest says %d; train again in an empty folder", path, r.NumRows(), n)
		}
		for {
			if err = ctx.Err(); err != nil {
				break
			}
			a := new(parquet.AuditRow)
			if err = r.Next(a); err != nil {
				err = usage(err)
				break
			}
			if t.progress != nil {
				t.progress.Add(1, "")
			}
			if partOf(a.ID, parts) != part || len(a.Pos) == 0 {
				continue
			}
			key := newAuditKey(a.ID, a.Pos)
			x := rows[key]
			if x == nil {
				if t.in.tokens != nil {
					err = cli.Usagef("%s: step %d visits row %q with targets that it has not in %s", path, a.Step, a.ID, t.in.tokens.Dir)
					break
				}
				x = &auditRow{id: a.ID}
				rows[key] = x
			}
			t.visit(x, a)
		}
		r.Close()
		if !errors.Is(err, io.EOF) {
			return err
		}
	}
	order := make([]*auditRow, 0, len(rows))
	for _, x := range rows {
		if x.step > 0 {
			order = append(order, x)
		}
	}
	// Ties among the worst must not depend on the map.
	slices.SortFunc(order, func(a, b *auditRow) int { return compareRows(a, b) })
	for _, x := range order {
		t.close(x)
	}
	return nil
}
