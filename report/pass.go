package report

import (
	"context"
	"errors"
	"io"
	"path/filepath"

	"eaft/internal/cli"
	"eaft/parquet"
)

// pass walks the scores, and beside them the tokens where there are any.
type pass struct {
	scores, tokens *parquet.Dataset // tokens may be nil
	labels         bool             // count only targets that the tokens' labels train
}

// visit gets a row's index, its scores, its tokens (nil without) and the
// indices of the targets that count.
type visit func(i int64, s *parquet.ScoresRow, t *parquet.TokensRow, counted []int) error

func (p *pass) run(ctx context.Context, f visit) error {
	var tokens tokenStream
	defer tokens.close()
	if p.tokens != nil {
		tokens.shards = p.tokens.Shards
	}
	var i int64
	for _, path := range p.scores.Shards {
		if err := p.shard(ctx, path, &i, &tokens, f); err != nil {
			return err
		}
	}
	if p.tokens == nil || p.scores.Manifest.Limit > 0 {
		return nil
	}
	switch _, path, err := tokens.next(); {
	case err == nil:
		return cli.Usagef("%s: row %d: tokens have more rows than the scores in %s, which end after %d; these scores annotate other tokens, give theirs with --tokens", path, i, p.scores.Dir, i)
	case !errors.Is(err, io.EOF):
		return err
	}
	return nil
}

func (p *pass) shard(ctx context.Context, path string, i *int64, tokens *tokenStream, f visit) error {
	r, err := parquet.OpenScores(path)
	if err != nil {
		return err
	}
	defer r.Close()
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		var s parquet.ScoresRow
		if err := r.Next(&s); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		var t *parquet.TokensRow
		if p.tokens != nil {
			row, tokensPath, err := tokens.next()
			if errors.Is(err, io.EOF) {
				return cli.Usagef("%s: row %d: scores have more rows than the tokens in %s; they annotate other tokens, give theirs with --tokens", path, *i, p.tokens.Dir)
			}
			if err != nil {
				return err
			}
			if err := fits(path, *i, &s, tokensPath, row); err != nil {
				return err
			}
			t = row
		}
		counted := make([]int, 0, len(s.Pos))
		for j, pos := range s.Pos {
			if !p.labels || t.Labels[pos] != parquet.Ignore {
				counted = append(counted, j)
			}
		}
		if err := f(*i, &s, t, counted); err != nil {
			return err
		}
		*i++
	}
}

// fits refuses scores that do not annotate these tokens.
func fits(path string, i int64, s *parquet.ScoresRow, tokensPath string, t *parquet.TokensRow) error {
	const remedy = "these scores annotate other tokens, give theirs with --tokens or score again"
	if s.ID != t.ID {
		return cli.Usagef("%s: row %d: id is %q, but %s has %q; %s", path, i, s.ID, filepath.Base(tokensPath), t.ID, remedy)
	}
	for j, pos := range s.Pos {
		if pos < 1 || int(pos) >= len(t.InputIDs) {
			return cli.Usagef("%s: row %d (id %q): pos %d lies outside of the %d input_ids in %s; %s", path, i, s.ID, pos, len(t.InputIDs), tokensPath, remedy)
		}
		if s.Token[j] != t.InputIDs[pos] {
			return cli.Usagef("%s: row %d (id %q): token at pos %d is %d, but input_ids in %s has %d; %s", path, i, s.ID, pos, s.Token[j], tokensPath, t.InputIDs[pos], remedy)
		}
	}
	return nil
}

// tokenStream reads the rows of shards one after the other.
type tokenStream struct {
	shards []string
	path   string
	r      *parquet.TokensReader
}

func (s *tokenStream) close() {
	if s.r != nil {
		s.r.Close()
		s.r = nil
	}
}

// next is the next row and the file it comes from; io.EOF at the end.
func (s *tokenStream) next() (*parquet.TokensRow, string, error) {
	for {
		if s.r == nil {
			if len(s.shards) == 0 {
				return nil, "", io.EOF
			}
			r, err := parquet.OpenTokens(s.shards[0])
			if err != nil {
				return nil, s.shards[0], err
			}
			s.r, s.path, s.shards = r, s.shards[0], s.shards[1:]
		}
		t := new(parquet.TokensRow)
		err := s.r.Next(t)
		if !errors.Is(err, io.EOF) {
			return t, s.path, err
		}
		s.close()
	}
}
