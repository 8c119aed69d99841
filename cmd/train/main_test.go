package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"eaft/internal/cli"
	"eaft/parquet"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"train": func() { os.Exit(cli.Main("train", run)) }})
}

func TestScripts(t *testing.T) {
	models, err := filepath.Abs("../../model/testdata")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{Dir: "testdata/script", Setup: func(e *testscript.Env) error {
		e.Setenv("MODELS", models)
		if err := tokens(filepath.Join(e.WorkDir, "tokens"), 5); err != nil {
			return err
		}
		if err := tokens(filepath.Join(e.WorkDir, "foreign-vocabulary"), 97); err != nil {
			return err
		}
		if err := otherTokenizer(filepath.Join(e.WorkDir, "other-tokenizer")); err != nil {
			return err
		}
		long := make([]int32, 65) // the models have 64 positions
		if err := tokens(filepath.Join(e.WorkDir, "long"), 5, parquet.TokensRow{ID: "long", Source: "corpus.jsonl", Row: 7, InputIDs: long, Labels: long}); err != nil {
			return err
		}
		if err := changed(filepath.Join(e.WorkDir, "changed")); err != nil {
			return err
		}
		return scores(filepath.Join(e.WorkDir, "scores"))
	}})
}

// tokens writes a dataset of two rows, the second one of which ends in last, and of
// what more is given.
func tokens(dir string, last int32, more ...parquet.TokensRow) error {
	if err := os.Mkdir(dir, 0o777); err != nil {
		return err
	}
	w, err := parquet.CreateTokens(filepath.Join(dir, parquet.ShardName(0, 1)))
	if err != nil {
		return err
	}
	for _, r := range append([]parquet.TokensRow{
		{ID: "a", InputIDs: []int32{1, 2, 3, 4}, Labels: []int32{-100, -100, 3, 4}},
		{ID: "b", InputIDs: []int32{1, 7, last}, Labels: []int32{-100, 7, last}},
	}, more...) {
		if err := w.Write(&r); err != nil {
			return err
		}
	}
	info, err := w.Commit(parquet.Meta{Schema: parquet.SchemaTokens, Version: "test"})
	if err != nil {
		return err
	}
	return parquet.WriteManifest(dir, &parquet.Manifest{Schema: parquet.SchemaTokens, Version: "test",
		Shards: []parquet.ShardInfo{info}, Ledger: parquet.Ledger{RowsIn: info.Rows, RowsOut: info.Rows}})
}

// otherTokenizer writes tokens that say they are of a tokenizer no model has.
func otherTokenizer(dir string) error {
	if err := tokens(dir, 5); err != nil {
		return err
	}
	m, err := parquet.ReadManifest(dir)
	if err != nil {
		return err
	}
	m.Hashes = map[string]string{"tokenizer": "sha256:other"}
	return parquet.WriteManifest(dir, m)
}

// changed writes tokens whose shard is not the one that the manifest was written of.
func changed(dir string) error {
	if err := tokens(dir, 5); err != nil {
		return err
	}
	m, err := parquet.ReadManifest(dir)
	if err != nil {
		return err
	}
	m.Shards[0].SHA256 = "sha256:" + strings.Repeat("0", 64)
	return parquet.WriteManifest(dir, m)
}

// scores writes scores of tokens that no test has.
func scores(dir string) error {
	if err := os.Mkdir(dir, 0o777); err != nil {
		return err
	}
	w, err := parquet.CreateScores(filepath.Join(dir, parquet.ShardName(0, 1)), 0)
	if err != nil {
		return err
	}
	info, err := w.Commit(parquet.Meta{Schema: parquet.SchemaScores, Version: "test"})
	if err != nil {
		return err
	}
	return parquet.WriteManifest(dir, &parquet.Manifest{Schema: parquet.SchemaScores, Version: "test", K: 20,
		Shards: []parquet.ShardInfo{info}, Hashes: map[string]string{"tokens": "sha256:other"}})
}

// What keeps nothing when it is stopped says so, exits as all that is stopped, and has
// written nothing that passes for finished.
func TestStopped(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := tokens(at("tokens"), 5); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"mc.jsonl":    `{"question": "1 + 1 =", "choices": ["2", "3"], "answer": 0}`,
		"gsm8k.jsonl": `{"question": "1 + 1 =", "answer": "#### 2"}`,
		"text.txt":    "Two and two are four.",
	} {
		if err := os.WriteFile(at(name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	std := cli.IO{Out: io.Discard, Err: io.Discard}
	const llama = "../../model/testdata/llama"
	if err := run(t.Context(), []string{"--model", llama, "--tokens", at("tokens"), "--out", at("run"), "--loss", "sft"}, std); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, args := range [][]string{
		{"eval", "--model", llama, "--tokens", at("tokens")},
		{"eval", "--model", "demo", "--task", "mc", "--data", at("mc.jsonl"), "--out", at("lines")},
		{"eval", "--model", "demo", "--task", "generate", "--data", at("gsm8k.jsonl"), "--out", at("lines")},
		{"eval", "--model", "demo", "--task", "perplexity", "--data", at("text.txt"), "--out", at("lines")},
		{"audit", at("run"), "--html", at("lines")},
		{"export", "--model", "demo", "--out", at("lines.gguf")},
		{"export", "--model", "demo", "--out", at("folder")},
	} {
		err := run(ctx, args, std)
		if cli.Code(err) != cli.ExitStopped || !strings.Contains(err.Error(), "starts over") {
			t.Errorf("%q: %v", args, err)
		}
	}
	for _, name := range []string{"lines", "lines.gguf", "folder/config.json", "folder/model.safetensors"} {
		if _, err := os.Stat(at(name)); err == nil {
			t.Errorf("%s was written", name)
		}
	}
}

// An instruction set that the machine lacks is wrong use.
func TestUnknownInstructionSet(t *testing.T) {
	dir := t.TempDir()
	if err := tokens(filepath.Join(dir, "tokens"), 5); err != nil {
		t.Fatal(err)
	}
	t.Setenv("EAFT_CPU", "quantum")
	for _, args := range [][]string{{"--out", filepath.Join(dir, "run")}, {"eval"}} {
		err := run(t.Context(), append(args, "--model", "../../model/testdata/llama", "--tokens", filepath.Join(dir, "tokens")), cli.IO{Out: io.Discard, Err: io.Discard})
		if cli.Code(err) != cli.ExitUsage || !strings.Contains(err.Error(), "EAFT_CPU=quantum is not known") {
			t.Errorf("%q: %v", args, err)
		}
	}
}
