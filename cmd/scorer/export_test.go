package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"eaft/internal/cli"
	"eaft/internal/store"
	"eaft/parquet"
)

// lateDamage is scores of two shards, whose second has a byte changed since it was
// made and before its hash was taken; reading it is the only way to see.
func lateDamage(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	m := &parquet.Manifest{Schema: parquet.SchemaScores, K: 20, Targets: "trained"}
	for shard := range 2 {
		path := filepath.Join(dir, parquet.ShardName(shard, 2))
		w, err := parquet.CreateScores(path, 0)
		if err != nil {
			t.Fatal(err)
		}
		for n := range 2000 {
			if err := w.Write(&parquet.ScoresRow{ID: fmt.Sprint(shard, n), Pos: []int32{1}, Token: []int32{int32(n)}, LogProb: []float32{-5}, Entropy: []float32{.1},
				TopKEntropy: []float32{.1}, TopKMass: []float32{1}, Top1LogProb: []float32{-.01}, Rank: []int32{1}, Top1ID: []int32{7}}); err != nil {
				t.Fatal(err)
			}
		}
		info, err := w.Commit(parquet.Meta{Schema: parquet.SchemaScores, K: 20, Targets: "trained"})
		if err != nil {
			t.Fatal(err)
		}
		m.Shards = append(m.Shards, info)
		if shard == 0 {
			continue
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		data[len(data)/3] ^= 0x10
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
		if m.Shards[shard].SHA256, err = store.Hash(path); err != nil {
			t.Fatal(err)
		}
	}
	if err := parquet.WriteManifest(dir, m); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Damage that is met when much is written already leaves no file, and standard
// output is said not to be whole.
func TestExportOfLateDamage(t *testing.T) {
	dir := lateDamage(t)
	for _, format := range []string{"arrow", "jsonl", "csv"} {
		args := []string{dir, "--format", format, "--thresholds", "p<=0.05,h<=0.1"}
		var out, log bytes.Buffer
		err := runExport(t.Context(), args, cli.IO{Out: &out, Err: &log})
		said := fmt.Sprintf("; the %d bytes on standard output are not all, do not use them", out.Len())
		if cli.Code(err) != cli.ExitUsage || !strings.Contains(err.Error(), parquet.ShardName(1, 2)) || strings.Contains(err.Error(), said) != (out.Len() > 0) {
			t.Errorf("%s, %d bytes: %v", format, out.Len(), err)
		}
		if format == "jsonl" && out.Len() == 0 {
			t.Error("nothing was written before the damage was met")
		}

		to := t.TempDir()
		path := filepath.Join(to, "targets")
		if err := os.WriteFile(path, []byte("of before"), 0o666); err != nil {
			t.Fatal(err)
		}
		out.Reset()
		err = runExport(t.Context(), append(args, "--out", path), cli.IO{Out: &out, Err: &log})
		if cli.Code(err) != cli.ExitUsage || strings.Contains(err.Error(), "standard output") || out.Len() > 0 {
			t.Errorf("%s, to a file: %v, and on standard output %q", format, err, &out)
		}
		left, err := os.ReadDir(to)
		if data, _ := os.ReadFile(path); err != nil || len(left) != 1 || string(data) != "of before" {
			t.Errorf("%s: %v is left, with %d bytes; %v", format, left, len(data), err)
		}
	}
}
