package report

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"eaft/internal/cli"
	"eaft/parquet"
	"eaft/tokenize/tokenizer"
)

// A shard that is not the one of its manifest is refused by everything that reads
// scores or their tokens, though it can be read.
func TestDamagedShard(t *testing.T) {
	scores, tokens := write(t, random(60), "trained")
	whole, _ := write(t, random(60), "trained")
	uses := map[string]func(scores string) error{
		"inspect": func(scores string) error { _, err := Build(t.Context(), options(t, scores, "")); return err },
		"row": func(scores string) error {
			_, err := FindRow(t.Context(), options(t, scores, ""), "row0")
			return err
		},
		"diff from": func(scores string) error { _, err := BuildDiff(t.Context(), options(t, scores, ""), whole); return err },
		"diff to":   func(scores string) error { _, err := BuildDiff(t.Context(), options(t, whole, ""), scores); return err },
		"calibration": func(scores string) error {
			o := options(t, whole, "")
			o.Calibration = scores
			_, err := Build(t.Context(), o)
			return err
		},
		"export": func(scores string) error {
			return Export(t.Context(), io.Discard, options(t, scores, ""), Where{}, "jsonl")
		},
		"filter": func(scores string) error {
			_, err := Filter(t.Context(), options(t, scores, ""), Where{}, MaskTokens, filepath.Join(t.TempDir(), "out"))
			return err
		},
	}
	for _, dir := range []string{scores, tokens} {
		shards, err := filepath.Glob(filepath.Join(dir, "*.parquet"))
		must(t, err)
		path := shards[0]
		data, err := os.ReadFile(path)
		must(t, err)
		// Who wrote the file is in its footer, and no reader minds.
		changed := bytes.Replace(data, []byte("(build "), []byte("(Build "), 1)
		if bytes.Equal(data, changed) {
			t.Fatalf("%s: nothing to change", path)
		}
		must(t, os.WriteFile(path, changed, 0o666))
		for name, use := range uses {
			if (name == "diff to" || name == "calibration") && dir == tokens { // no tokens, or the first annotation's
				continue
			}
			if err := use(scores); cli.Code(err) != cli.ExitUsage || !strings.Contains(err.Error(), path+": content has the hash") {
				t.Errorf("%s: %v", name, err)
			}
		}
		must(t, os.WriteFile(path, data, 0o666))
	}
}

// Tokens of other origin have no manifest, but the scores have their hash.
func TestForeignTokensChanged(t *testing.T) {
	scores, tokens := write(t, small, "all")
	must(t, os.Remove(filepath.Join(tokens, parquet.ManifestName)))
	shards, err := filepath.Glob(filepath.Join(tokens, "*.parquet"))
	must(t, err)
	for _, path := range shards {
		data, err := os.ReadFile(path)
		must(t, err)
		must(t, os.WriteFile(path, bytes.Replace(data, []byte("eaft version"), []byte("else version"), 1), 0o666))
	}
	o := options(t, scores, "")
	if _, err := Build(t.Context(), o); cli.Code(err) != cli.ExitUsage || !strings.Contains(err.Error(), "hashes.tokens") {
		t.Errorf("tokens that are not those of the hash: %v", err)
	}
	d, err := parquet.OpenDataset(tokens, parquet.SchemaTokens)
	must(t, err)
	m, err := parquet.ReadManifest(scores)
	must(t, err)
	m.Hashes["tokens"], err = d.ContentHash()
	must(t, err)
	must(t, parquet.WriteManifest(scores, m))
	if r := build(t, o); r.Targets != 8 {
		t.Errorf("%d targets", r.Targets)
	}
}

// So does the audit, of all that it reads; of its own shards the training would have
// to be made again.
func TestDamagedAudit(t *testing.T) {
	w := newAuditWorld(t, 40)
	for dir, remedy := range map[string]string{w.tokens: "run its stage again", w.scores: "run its stage again", w.after: "run its stage again",
		filepath.Join(w.run, "audit"): "train again in another folder"} {
		shards, err := filepath.Glob(filepath.Join(dir, "*.parquet"))
		must(t, err)
		path := shards[len(shards)-1]
		data, err := os.ReadFile(path)
		must(t, err)
		changed := bytes.Replace(data, []byte("(build "), []byte("(Build "), 1)
		if bytes.Equal(data, changed) {
			t.Fatalf("%s: nothing to change", path)
		}
		must(t, os.WriteFile(path, changed, 0o666))
		o := DefaultAuditOptions()
		o.Run, o.After, o.Model = w.run, w.after, "sha256:tuned"
		_, err = BuildAudit(t.Context(), o)
		if cli.Code(err) != cli.ExitUsage || !strings.Contains(err.Error(), path+": content has the hash") || !strings.Contains(err.Error(), remedy) {
			t.Errorf("%s: %v", dir, err)
		}
		must(t, os.WriteFile(path, data, 0o666))
	}
}

// A tokenizer that is not the one of the manifest's hash would spell other texts.
func TestOtherTokenizer(t *testing.T) {
	scores, tokens := write(t, small, "all")
	path := filepath.Join(scores, parquet.TokenizerName)
	data, err := os.ReadFile(path)
	must(t, err)
	own, err := tokenizer.FromJSON(data)
	must(t, err)
	for _, dir := range []string{scores, tokens} {
		m, err := parquet.ReadManifest(dir)
		must(t, err)
		if m.Hashes == nil {
			m.Hashes = map[string]string{}
		}
		m.Hashes["tokenizer"] = own.Fingerprint()
		must(t, parquet.WriteManifest(dir, m))
	}
	o := options(t, scores, "")
	build(t, o)
	changed := bytes.Replace(data, []byte(`"Paris"`), []byte(`"Rome"`), 1)
	if bytes.Equal(data, changed) {
		t.Fatal("nothing to change")
	}
	for _, dir := range []string{scores, tokens} {
		path := filepath.Join(dir, parquet.TokenizerName)
		must(t, os.WriteFile(path, changed, 0o666))
		if _, err := Build(t.Context(), o); cli.Code(err) != cli.ExitUsage || !strings.Contains(err.Error(), path+": it has the hash") {
			t.Errorf("%v", err)
		}
		must(t, os.Remove(path))
	}
	build(t, o)
}
