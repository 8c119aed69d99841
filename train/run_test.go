package train

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"eaft/compute"
	"eaft/internal/cli"
	"eaft/model"
	"eaft/model/weights"
	"eaft/parquet"
)

// world is a tokens dataset of the fixture's rows, one of them without a target
// and one too long, and scores of it by the model that training starts from.
type world struct {
	dir  string
	c    *weights.Checkpoint
	dev  compute.Device
	o    Options
	log  bytes.Buffer
	out  bytes.Buffer
	base map[string]*compute.HeadStats
}

func newWorld(t testing.TB) *world { return newWorldOf(t, 1) }

// newWorldOf has the fixture's rows so many times.
func newWorldOf(t testing.TB, times int) *world {
	t.Helper()
	w := &world{dir: t.TempDir(), dev: device(t, 2), base: map[string]*compute.HeadStats{}}
	var err error
	if w.c, err = weights.Open("../model/testdata/llama"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.c.Close() })
	g := readGolden(t)
	tokens, scores := filepath.Join(w.dir, "tokens"), filepath.Join(w.dir, "scores")
	for _, d := range []string{tokens, scores} {
		must(t, os.Mkdir(d, 0o777))
	}
	tw, err := parquet.CreateTokens(filepath.Join(tokens, parquet.ShardName(0, 1)))
	must(t, err)
	sw, err := parquet.CreateScores(filepath.Join(scores, parquet.ShardName(0, 1)), 0)
	must(t, err)
	m, err := model.Load(w.dev, w.c, model.Options{})
	must(t, err)
	write := func(id string, ids, labels []int32) {
		must(t, tw.Write(&parquet.TokensRow{ID: id, InputIDs: ids, Labels: labels}))
		row := parquet.ScoresRow{ID: id}
		for p := 1; p < len(ids); p++ { // as --targets all scores them
			row.Pos, row.Token = append(row.Pos, int32(p)), append(row.Token, ids[p])
		}
		s, err := m.Score(model.Batch{IDs: ids, CuSeqlens: []int32{0, int32(len(ids))}}, row.Pos, 20)
		must(t, err)
		w.base[id] = s
		row.LogProb, row.Entropy, row.TopKEntropy, row.TopKMass = s.LogProb, s.Entropy, s.TopKEntropy, s.TopKMass
		row.Top1LogProb, row.Rank, row.Top1ID = s.Top1LogProb, s.Rank, s.Top1ID
		must(t, sw.Write(&row))
	}
	write("untrained", []int32{5, 6}, []int32{-100, -100})
	for i := range times * len(g.Rows) {
		r := g.Rows[i%len(g.Rows)]
		write(fmt.Sprint(i), r.IDs, r.Labels)
		if i == 3 {
			long := make([]int32, 65) // the model has 64 positions
			write("long", long, long)
		}
	}
	complete := func(dir, schema string, info parquet.ShardInfo, err error, mf parquet.Manifest) *parquet.Manifest {
		must(t, err)
		mf.Schema, mf.Version, mf.Shards = schema, "test", []parquet.ShardInfo{info}
		mf.Ledger = parquet.Ledger{RowsIn: info.Rows, RowsOut: info.Rows}
		must(t, parquet.WriteManifest(dir, &mf))
		return &mf
	}
	info, err := tw.Commit(parquet.Meta{Schema: parquet.SchemaTokens, Version: "test"})
	mf := complete(tokens, parquet.SchemaTokens, info, err, parquet.Manifest{})
	hash, err := w.c.Hash()
	must(t, err)
	info, err = sw.Commit(parquet.Meta{Schema: parquet.SchemaScores, Version: "test"})
	complete(scores, parquet.SchemaScores, info, err, parquet.Manifest{K: 20,
		Hashes:  map[string]string{"tokens": mf.ContentHash(), "model": hash},
		Summary: json.RawMessage(`{"cuts":{"prob":0.05,"h":0.6,"min_mass":0.5}}`)})
	w.o = DefaultOptions()
	w.o.Tokens, w.o.Scores, w.o.Out = tokens, scores, filepath.Join(w.dir, "run")
	w.o.BatchTokens, w.o.LR, w.o.DType, w.o.Epochs = 24, 3e-3, "f32", 2
	w.o.MaxReject = 0.5
	w.o.Stdout, w.o.Stderr = &w.out, &w.log
	return w
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) run(ctx context.Context) error { return Run(ctx, w.dev, w.c, w.o) }

func audits(t *testing.T, dir string) []parquet.AuditRow {
	t.Helper()
	ds, err := parquet.OpenDataset(dir, parquet.SchemaAudit)
	must(t, err)
	r, err := parquet.OpenAudit(ds.Shards[0])
	must(t, err)
	defer r.Close()
	var out []parquet.AuditRow
	for {
		var a parquet.AuditRow
		if err := r.Next(&a); errors.Is(err, io.EOF) {
			return out
		} else if err != nil {
			t.Fatal(err)
		}
		out = append(out, a)
	}
}

func TestRun(t *testing.T) {
	w := newWorld(t)
	must(t, w.run(t.Context()))
	rows := audits(t, filepath.Join(w.o.Out, AuditName))
	if len(rows) != 18 {
		t.Fatalf("%d visits, not two of nine rows", len(rows))
	}
	for _, a := range rows {
		base := w.base[a.ID]
		for i, p := range a.Pos {
			if a.BaseLogProb[i] != base.LogProb[p-1] || a.BaseTopKEntropy[i] != base.TopKEntropy[p-1] {
				t.Fatalf("row %s: base of target %d is not the annotation's", a.ID, p)
			}
			// The first step sees the model that scored, on the same device.
			if a.Step == 1 && (a.LogProb[i] != a.BaseLogProb[i] || a.TopKEntropy[i] != a.BaseTopKEntropy[i]) {
				t.Errorf("row %s: before any update %v, scored %v", a.ID, a.LogProb[i], a.BaseLogProb[i])
			}
		}
	}
	var s Summary
	data, err := os.ReadFile(filepath.Join(w.o.Out, SummaryName))
	must(t, err)
	must(t, json.Unmarshal(data, &s))
	if s.Conflicts.Base == 0 || s.Conflicts.Base != s.Conflicts.Resolved+s.Conflicts.Persisting || !(s.LastLoss < s.FirstLoss) {
		t.Errorf("summary: %+v, conflicts %+v", s, *s.Conflicts)
	}
	// Entropy weights are at most 1, so that the loss is below what it weighs.
	if !(s.FirstSFTLoss > s.FirstLoss && s.LastSFTLoss < s.FirstSFTLoss) {
		t.Errorf("mean -ln p: %v, then %v; loss %v", s.FirstSFTLoss, s.LastSFTLoss, s.FirstLoss)
	}
	var rec Record
	data, err = os.ReadFile(filepath.Join(w.o.Out, RecordName))
	must(t, err)
	must(t, json.Unmarshal(data, &rec))
	if l := rec.Ledger; l.RowsIn != 11 || l.RowsOut != 9 || l.Dropped[parquet.NoTarget] != 1 || l.Dropped[parquet.TooLong] != 1 {
		t.Errorf("ledger: %+v", rec.Ledger)
	}
	metrics, err := os.ReadFile(filepath.Join(w.o.Out, MetricsName))
	must(t, err)
	if n := bytes.Count(metrics, []byte("\n")); n != rec.Steps || rec.Steps < 4 {
		t.Errorf("%d lines of metrics for %d steps", n, rec.Steps)
	}
	trained, err := weights.Open(filepath.Join(w.o.Out, ModelName))
	must(t, err)
	defer trained.Close()

	// Again: the same table. With other options: refused.
	table := w.out.String()
	w.out.Reset()
	must(t, w.run(t.Context()))
	if w.out.String() != table || !strings.Contains(w.log.String(), "finished already") || !strings.Contains(table, "resolved") {
		t.Errorf("rerun: %q, first %q, log %q", w.out.String(), table, w.log.String())
	}
	w.o.LR = 1e-3
	if err := w.run(t.Context()); cli.Code(err) != cli.ExitUsage || !strings.Contains(err.Error(), "--lr") {
		t.Errorf("other options: %v", err)
	}
}

// A stopped run leaves nothing that a later stage accepts, and the next one
// makes what an undisturbed one does.
func TestStopped(t *testing.T) {
	w := newWorld(t)
	must(t, w.run(t.Context()))
	whole := w.o.Out
	w.o.Out = filepath.Join(w.dir, "stopped")
	ctx := &countdown{Context: t.Context(), left: 3}
	if err := w.run(ctx); cli.Code(err) != cli.ExitStopped {
		t.Fatalf("stopped: %v", err)
	}
	if _, err := weights.Open(filepath.Join(w.o.Out, ModelName)); err == nil {
		t.Error("a stopped run has a model")
	}
	if _, err := parquet.OpenDataset(filepath.Join(w.o.Out, AuditName), parquet.SchemaAudit); err == nil {
		t.Error("a stopped run has an audit")
	}
	own := filepath.Join(w.o.Out, "notes.txt")
	must(t, os.WriteFile(own, nil, 0o666))
	must(t, w.run(t.Context()))
	if !strings.Contains(w.log.String(), "going on from "+filepath.Join(w.o.Out, CheckpointsName, stepName(3))) {
		t.Errorf("log: %q", w.log.String())
	}
	if _, err := os.Stat(own); err != nil {
		t.Error("a file of someone else is gone")
	}
	for _, name := range []string{"model/model.safetensors", "audit/" + parquet.ShardName(0, 1), SummaryName, RecordName} {
		a, err := os.ReadFile(filepath.Join(whole, name))
		must(t, err)
		b, err := os.ReadFile(filepath.Join(w.o.Out, name))
		must(t, err)
		if !slices.Equal(a, b) {
			t.Errorf("%s differs from the undisturbed run's", name)
		}
	}
}

// countdown is cancelled when it has been asked left times; then, if set, is
// called as it is.
type countdown struct {
	context.Context
	left int
	then func()
}

func (c *countdown) Err() error {
	if c.left--; c.left < 0 {
		if c.left == -1 && c.then != nil {
			c.then()
		}
		return context.Canceled
	}
	return nil
}

func TestInputsThatDoNotFit(t *testing.T) {
	w := newWorld(t)
	scores := func(change func(m *parquet.Manifest)) {
		t.Helper()
		m, err := parquet.ReadManifest(w.o.Scores)
		must(t, err)
		change(m)
		must(t, parquet.WriteManifest(w.o.Scores, m))
	}
	refused := func(what ...string) {
		t.Helper()
		err := w.run(t.Context())
		if cli.Code(err) != cli.ExitUsage {
			t.Fatalf("not refused: %v", err)
		}
		for _, s := range what {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%v: lacks %q", err, s)
			}
		}
	}
	w.o.K = 10
	refused("k is 20", "has 10")
	w.o.K = 20
	var tokens, hash string
	scores(func(m *parquet.Manifest) { tokens = m.Hashes["tokens"]; m.Hashes["tokens"] = "sha256:other" })
	refused("hashes.tokens", "sha256:other", tokens)
	scores(func(m *parquet.Manifest) {
		m.Hashes["tokens"] = tokens
		hash, m.Hashes["model"] = m.Hashes["model"], "sha256:wrong"
	})
	refused("hashes.model", "sha256:wrong", hash)
	scores(func(m *parquet.Manifest) { m.Hashes["model"] = hash; m.Summary = nil })
	refused("summary.cuts")
	w.o.FromScratch = true
	refused("--from-scratch")
}

// Scores are found by URL, and named in errors as what lies there.
func TestScoresByURL(t *testing.T) {
	w := newWorld(t)
	plain := w.o.Scores
	w.o.Scores = "file://" + filepath.ToSlash(plain)
	must(t, w.run(t.Context()))
	w.o.K, w.o.Out = 10, filepath.Join(w.dir, "other")
	if err := w.run(t.Context()); cli.Code(err) != cli.ExitUsage || !strings.Contains(err.Error(), filepath.Join(plain, parquet.ManifestName)+": k is 20") || strings.Contains(err.Error(), "file:") {
		t.Errorf("%v", err)
	}
}
