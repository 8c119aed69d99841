package scorer

import (
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"eaft/internal/cli"
	"eaft/parquet"
)

// The same rows are refused however they lie, and others are taken though there are
// as many and as long.
func TestMergeSameRows(t *testing.T) {
	all := rows(vocab(t))
	turned := slices.Clone(all)
	slices.Reverse(turned)
	other := slices.Clone(all)
	other[3].ID = "another"
	scored := func(rows []parquet.TokensRow, shards int) string {
		o := options(dataset(t, rows, shards, ""), t.TempDir())
		score(t, 1, o)
		return o.Out
	}
	first := scored(all, 2)
	for _, c := range []struct {
		name   string
		second string
		same   bool
	}{
		{"as they are", scored(all, 2), true},
		{"in three shards", scored(all, 3), true},
		{"in another order", scored(turned, 2), true},
		{"others", scored(other, 2), false},
	} {
		_, err := Merge(t.Context(), []string{first, c.second}, filepath.Join(t.TempDir(), "scores"), filepath.Join(t.TempDir(), "tokens"), io.Discard)
		if refused := err != nil && cli.Code(err) == cli.ExitUsage && strings.Contains(err.Error(), c.second+" annotate the same rows"); refused != c.same {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
