package scorer

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"eaft/internal/store"
	"eaft/parquet"
)

// saveInterval is how long scores of a window are in memory only. Tests make it
// shorter.
var saveInterval = 2 * time.Minute

// partial keeps what is scored of a shard until that is finished, in a file for
// each window: a shard of scores/1 whose rows have their number in the window for
// an id. As scores do not depend on what they are computed beside, any of a
// window's rows may be there, and the shard has the same bytes.
type partial struct {
	r     *run
	shard string // name of the shard's file
	first int64  // row of the shard that begins the window at hand
	kept  int    // rows of that window that its file has
	saved time.Time
	files []string
}

func (r *run) partialOf(shard string) *partial {
	return &partial{r: r, shard: shard, saved: time.Now()}
}

// next is for the window behind one of n rows.
func (p *partial) next(n int) { p.first, p.kept = p.first+int64(n), 0 }

// partialPrefix begins the names of a shard's files.
func partialPrefix(shard string) string { return strings.TrimSuffix(shard, path.Ext(shard)) + "-row-" }

func (p *partial) path() string {
	return store.Join(p.r.o.Out, parquet.PartialName, fmt.Sprintf("%s%012d.parquet", partialPrefix(p.shard), p.first))
}

// restore fills in what an earlier run has scored of a window, and returns of how
// many rows that is.
func (p *partial) restore(w *window) (n int, err error) {
	path := p.path()
	in, err := parquet.OpenScores(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, damaged(err)
	}
	defer in.Close()
	if err := p.r.same(path, in.Meta()); err != nil { // it may be there since begun
		return 0, err
	}
	p.files = append(p.files, path)
	for range in.NumRows() {
		var row parquet.ScoresRow
		if err := in.Next(&row); err != nil {
			return 0, damaged(err)
		}
		k, err := strconv.Atoi(row.ID)
		if err != nil || k < 0 || k >= len(w.tasks) {
			continue // of a version whose windows are others
		}
		t := &w.tasks[k]
		if !slices.Equal(row.Pos, t.out.Pos) || !slices.Equal(row.Token, t.out.Token) {
			return 0, damaged(fmt.Errorf("%s: row %s does not score row %q of the tokens", path, row.ID, t.out.ID))
		}
		row.ID = t.out.ID
		t.out = row
		n++
	}
	p.kept = n
	return n, nil
}

// errMade ends a shard that another run has finished while this one was at it.
var errMade = errors.New("another run has made the shard")

// save writes what is scored of a window, if that is more than its file has; errMade
// where it is of no use any more.
func (p *partial) save(w *window) (err error) {
	if p.made() {
		return errMade
	}
	n := 0
	for k := range w.tasks {
		if w.tasks[k].done() {
			n++
		}
	}
	if n <= p.kept {
		return nil
	}
	defer func() {
		// The run that has closed the dataset meanwhile takes the folder away.
		if errors.Is(err, fs.ErrNotExist) && p.made() {
			err = errMade
		}
	}()
	if err := store.MkdirAll(store.Join(p.r.o.Out, parquet.PartialName)); err != nil {
		return err
	}
	path := p.path()
	out, err := parquet.CreateScores(path, p.r.o.StoreTopK)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			out.Abort()
		}
	}()
	for k := range w.tasks {
		if t := &w.tasks[k]; t.done() {
			row := t.out
			row.ID = strconv.Itoa(k)
			if err := out.Write(&row); err != nil {
				return err
			}
		}
	}
	meta := p.r.meta
	meta.Ledger = parquet.Ledger{RowsIn: int64(n), RowsOut: int64(n)}
	if _, err := out.Commit(meta); err != nil {
		return err
	}
	if !slices.Contains(p.files, path) {
		p.files = append(p.files, path)
	}
	p.kept, p.saved = n, time.Now()
	return nil
}

// due reports whether the window's scores have been in memory for long enough.
func (p *partial) due() bool { return time.Since(p.saved) >= saveInterval }

// made reports that the shard is there.
func (p *partial) made() bool {
	_, err := store.Stat(store.Join(p.r.o.Out, p.shard))
	return err == nil
}

// remove ends a shard that is finished. In a dataset that is, nobody else would take
// the folder away that a save has just made anew.
func (p *partial) remove() error {
	for _, path := range p.files {
		if err := store.RemoveIfThere(path); err != nil {
			return err
		}
	}
	if _, err := store.Stat(store.Join(p.r.o.Out, parquet.ManifestName)); err == nil {
		return store.RemoveAll(store.Join(p.r.o.Out, parquet.PartialName))
	}
	return nil
}

// damaged is the error of a file that can be done without.
func damaged(err error) error {
	return unusable(fmt.Errorf("%w; if it is damaged, remove it and run again", err))
}

// begun counts the rows that were saved of each shard, by its place, and refuses what
// was begun in another way.
func (r *run) begun() (rows map[int]int64, err error) {
	entries, err := store.ReadDir(store.Join(r.o.Out, parquet.PartialName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	rows = map[int]int64{}
	for _, e := range entries {
		i := slices.IndexFunc(r.data.Shards, func(shard string) bool {
			return strings.HasPrefix(e.Name, partialPrefix(store.Base(shard)))
		})
		if i < 0 || r.o.Shards != nil && !slices.Contains(r.o.Shards, i) {
			continue
		}
		path := store.Join(r.o.Out, parquet.PartialName, e.Name)
		meta, err := parquet.ReadMeta(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // another run has ended this shard meanwhile
		}
		if err != nil {
			return nil, damaged(err)
		}
		if err := r.same(path, meta); err != nil {
			return nil, err
		}
		rows[i] += meta.Ledger.RowsOut
	}
	return rows, err
}
