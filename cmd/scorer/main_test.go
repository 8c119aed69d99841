package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"eaft/internal/cli"
	"eaft/internal/scripts"
	"eaft/parquet"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"scorer": func() { os.Exit(cli.Main("scorer", run)) }})
}

// Scripts find a tiny model in $MODEL and two rows of tokens in tok.
func TestScripts(t *testing.T) {
	llama, err := filepath.Abs("../../model/testdata/llama")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("MODEL", llama)
			return writeTokens(filepath.Join(e.WorkDir, "tok"))
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"code": scripts.Code, "cut": cut, "sed": sed},
	})
}

func writeTokens(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	w, err := parquet.CreateTokens(filepath.Join(dir, parquet.ShardName(0, 1)))
	if err != nil {
		return err
	}
	for _, r := range []parquet.TokensRow{
		{ID: "a", InputIDs: []int32{1, 2, 3, 4}, Labels: []int32{-100, -100, 3, 4}},
		{ID: "b", InputIDs: []int32{5, 6, 7}, Labels: []int32{-100, 6, 7}},
	} {
		if err := w.Write(&r); err != nil {
			return err
		}
	}
	l := parquet.Ledger{RowsIn: 2, RowsOut: 2, Tokens: 7, Targets: 4}
	info, err := w.Commit(parquet.Meta{Schema: parquet.SchemaTokens, Ledger: l})
	if err != nil {
		return err
	}
	return parquet.WriteManifest(dir, &parquet.Manifest{Schema: parquet.SchemaTokens, Shards: []parquet.ShardInfo{info}, Ledger: l})
}
