package report

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"

	"eaft/internal/cli"
	"eaft/internal/store"
	"eaft/internal/version"
	"eaft/parquet"
)

// Action is what Filter does with what it finds.
type Action string

const (
	DropRows   Action = "drop" // leave out rows with a chosen target
	KeepRows   Action = "keep" // leave out the others
	MaskTokens Action = "mask" // set the labels of chosen targets to -100
)

// ParseAction accepts "drop", "keep" and "mask".
func ParseAction(s string) (Action, error) {
	switch a := Action(s); a {
	case DropRows, KeepRows, MaskTokens:
		return a, nil
	}
	return "", fmt.Errorf("unknown action %q: use drop, keep or mask", s)
}

// Filtered says what Filter did.
type Filtered struct {
	parquet.Ledger
	Chosen int64 `json:"chosen"` // targets
	Masked int64 `json:"masked"` // of them
}

// Filter writes the tokens of the scores anew, without the rows or with masked
// labels on the targets that where chooses. On an error nothing stays.
func Filter(ctx context.Context, o Options, where Where, action Action, out string) (f Filtered, err error) {
	s, err := newSelection(ctx, o, "filter", where, where.reasons())
	if err != nil {
		return f, err
	}
	defer s.done()
	switch m := s.p.scores.Manifest; {
	case s.p.tokens == nil:
		return f, cli.Usagef("%s: the tokens were not found, and it is they that are filtered; give their folder with --tokens", o.Scores)
	case m.Limit > 0:
		return f, cli.Usagef("%s: only the first %d rows were scored (--limit), so the others cannot be judged; score all of them", o.Scores, m.Limit)
	}
	if entries, err := store.ReadDir(out); err == nil && len(entries) > 0 {
		return f, cli.Usagef("--out %s is not empty; choose another folder or remove it", out)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return f, cli.Usagef("--out %s: %w", out, err)
	}
	_, statErr := store.Stat(out)
	if err := store.MkdirAll(out); err != nil {
		return f, err
	}
	w := &filterWriter{selection: s, action: action, out: out, result: &f}
	defer func() {
		if err != nil {
			w.undo(errors.Is(statErr, fs.ErrNotExist))
		}
	}()
	return f, w.run(ctx)
}

type filterWriter struct {
	*selection
	action Action
	out    string
	result *Filtered
	made   []string
}

func (w *filterWriter) undo(folder bool) {
	for _, path := range w.made {
		store.Remove(path)
	}
	if folder && !store.IsURL(w.out) {
		store.Remove(w.out)
	}
}

func (w *filterWriter) run(ctx context.Context) error {
	m := &parquet.Manifest{Schema: parquet.SchemaTokens, Version: version.Version, Hashes: map[string]string{}}
	if from := w.p.tokens.Manifest; from != nil {
		maps.Copy(m.Hashes, from.Hashes)
	}
	hash, err := w.p.tokens.ContentHash()
	if err != nil {
		return usage(err)
	}
	m.Hashes["tokens"] = hash
	m.Hashes["scores"] = w.p.scores.Manifest.ContentHash()
	m.Hashes["options"] = fmt.Sprintf("sha256:%x", sha256.Sum256(fmt.Appendf(nil, "%s %s %v %s", w.action, w.where.text, w.cuts, w.o.Estimator)))
	first := int64(0)
	for i := range w.p.scores.Shards {
		info, ledger, err := w.shard(ctx, i, first, m.Hashes)
		if err != nil {
			return err
		}
		m.Shards = append(m.Shards, info)
		m.Ledger.Add(ledger)
		rows := w.p.scores.Manifest.Shards[i].Rows
		w.p.count(rows)
		first += rows
	}
	for _, dir := range []string{w.p.tokens.Dir, w.p.scores.Dir} {
		data, err := store.ReadFile(store.Join(dir, parquet.TokenizerName))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		path := store.Join(w.out, parquet.TokenizerName)
		w.made = append(w.made, path)
		if err := store.WriteFile(path, data); err != nil {
			return err
		}
		break
	}
	w.result.Ledger = m.Ledger
	return parquet.WriteManifest(w.out, m)
}

// create begins a shard with the columns that the tokens have.
func (w *filterWriter) create(path string) (*parquet.TokensWriter, error) {
	for _, from := range w.p.tokens.Shards {
		r, err := parquet.OpenTokens(from)
		if err != nil {
			return nil, &cli.Error{Code: cli.ExitUsage, Err: err}
		}
		weighted := r.Weighted()
		r.Close()
		if weighted {
			return parquet.CreateWeightedTokens(path)
		}
	}
	return parquet.CreateTokens(path)
}

func (w *filterWriter) shard(ctx context.Context, i int, first int64, hashes map[string]string) (info parquet.ShardInfo, l parquet.Ledger, err error) {
	path := store.Join(w.out, store.Base(w.p.scores.Shards[i]))
	out, err := w.create(path)
	if err != nil {
		return info, l, err
	}
	defer func() {
		if err != nil {
			out.Abort()
		}
	}()
	err = w.p.shard(ctx, i, first, false, func(i int64, s *parquet.ScoresRow, t *parquet.TokensRow, counted []int) error {
		chosen := w.targets(i, s, t, counted)
		w.result.Chosen += int64(len(chosen))
		l.RowsIn++
		if w.action != MaskTokens && (w.action == DropRows) == (len(chosen) > 0) {
			if l.Dropped == nil {
				l.Dropped = map[string]int64{}
			}
			l.Dropped[string(w.action)+" "+w.where.text]++
			return nil
		}
		if w.action == MaskTokens {
			for _, c := range chosen {
				t.Labels[c.Pos] = parquet.Ignore
				w.result.Masked++
			}
		}
		l.RowsOut++
		l.Tokens += int64(len(t.InputIDs))
		for pos := 1; pos < len(t.Labels); pos++ {
			if t.Labels[pos] != parquet.Ignore {
				l.Targets++
			}
		}
		return out.Write(t)
	})
	if err != nil {
		return info, l, err
	}
	w.made = append(w.made, path)
	info, err = out.Commit(parquet.Meta{Schema: parquet.SchemaTokens, Version: version.Version, Hashes: hashes, Ledger: l})
	return info, l, err
}
