package train

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"eaft/internal/cli"
	"eaft/parquet"
)

// damage writes the shard of a dataset again with another token at the end of its
// second row, in as many bytes, and leaves the manifest as it was.
func damage(t *testing.T, dir string) (path string) {
	t.Helper()
	path = filepath.Join(dir, parquet.ShardName(0, 1))
	before, err := os.ReadFile(path)
	must(t, err)
	r, err := parquet.OpenTokens(path)
	must(t, err)
	defer r.Close()
	var rows []parquet.TokensRow
	for {
		var row parquet.TokensRow
		if err := r.Next(&row); errors.Is(err, io.EOF) {
			break
		}
		must(t, err)
		rows = append(rows, row)
	}
	other := filepath.Join(t.TempDir(), filepath.Base(path))
	for id := range int32(90) { // until one is compressed to the same length
		last := len(rows[1].InputIDs) - 1
		rows[1].InputIDs[last], rows[1].Labels[last] = id, id
		w, err := parquet.CreateTokens(other)
		must(t, err)
		for i := range rows {
			must(t, w.Write(&rows[i]))
		}
		_, err = w.Commit(parquet.Meta{Schema: parquet.SchemaTokens, Version: "test"})
		must(t, err)
		after, err := os.ReadFile(other)
		must(t, err)
		if len(after) == len(before) && !bytes.Equal(after, before) {
			must(t, os.WriteFile(path, after, 0o666))
			return path
		}
	}
	t.Fatal("no token leaves the shard's length")
	return ""
}

// What was changed since it was written is refused before anything is made of it,
// also where the size is the manifest's.
func TestDamagedInputs(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(w *world) string
	}{
		{"tokens", func(w *world) string { return damage(t, w.o.Tokens) }},
		{"tokens without scores", func(w *world) string { w.o.Scores = ""; return damage(t, w.o.Tokens) }},
		{"held out", func(w *world) string {
			dir := filepath.Join(w.dir, "held")
			must(t, os.CopyFS(dir, os.DirFS(w.o.Tokens)))
			w.o.Eval = []HeldOutSet{{"held", dir}}
			return damage(t, dir)
		}},
		{"scores", func(w *world) string {
			path := filepath.Join(w.o.Scores, parquet.ShardName(0, 1))
			data, err := os.ReadFile(path)
			must(t, err)
			data[len(data)-9] ^= 1 // in the footer, behind what the columns' checksums cover
			must(t, os.WriteFile(path, data, 0o666))
			return path
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			path := c.spoil(w)
			err := w.run(t.Context())
			if cli.Code(err) != cli.ExitUsage || !strings.Contains(err.Error(), path+": content has the hash sha256:") {
				t.Errorf("%v", err)
			}
			if _, err := os.Stat(w.o.Out); err == nil {
				t.Error("the run has made its folder")
			}
		})
	}
}
