package scorer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	pq "github.com/parquet-go/parquet-go"

	"eaft/compute"
	"eaft/compute/cpu"
	"eaft/internal/cli"
	"eaft/model"
	"eaft/model/weights"
	"eaft/parquet"
)

const llama = "../model/testdata/llama"

// rows are of mixed lengths; some tokens are not trained, and one row has no target.
func rows(vocab int) []parquet.TokensRow {
	var out []parquet.TokensRow
	for i := range 14 {
		r := parquet.TokensRow{ID: fmt.Sprintf("row%d", i)}
		for t := range 1 + (i*7)%23 {
			id := int32((t*t*13 + i*29 + 5) % vocab)
			label := id
			if (t+i)%3 == 0 {
				label = parquet.Ignore
			}
			r.InputIDs, r.Labels = append(r.InputIDs, id), append(r.Labels, label)
		}
		out = append(out, r)
	}
	return out
}

// dataset writes the rows in the given number of shards.
func dataset(t testing.TB, rows []parquet.TokensRow, shards int, tokenizer string) string {
	t.Helper()
	dir := t.TempDir()
	m := &parquet.Manifest{Schema: parquet.SchemaTokens, Hashes: map[string]string{"tokenizer": tokenizer}}
	for i := range shards {
		w, err := parquet.CreateTokens(filepath.Join(dir, parquet.ShardName(i, shards)))
		if err != nil {
			t.Fatal(err)
		}
		var l parquet.Ledger
		for k := len(rows) * i / shards; k < len(rows)*(i+1)/shards; k++ {
			if err := w.Write(&rows[k]); err != nil {
				t.Fatal(err)
			}
			l.RowsIn, l.RowsOut = l.RowsIn+1, l.RowsOut+1
		}
		info, err := w.Commit(parquet.Meta{Schema: parquet.SchemaTokens, Ledger: l})
		if err != nil {
			t.Fatal(err)
		}
		m.Shards = append(m.Shards, info)
		m.Ledger.Add(l)
	}
	if err := parquet.WriteManifest(dir, m); err != nil {
		t.Fatal(err)
	}
	return dir
}

func open(t testing.TB, ref string) *weights.Checkpoint {
	t.Helper()
	c, err := weights.Open(ref)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func vocab(t testing.TB) int {
	s, err := model.SpecOf(open(t, llama))
	if err != nil {
		t.Fatal(err)
	}
	return s.Vocab
}

func options(tokens, out string) Options {
	return Options{Tokens: tokens, Out: out, Targets: Trained, DType: compute.F32, K: 5}
}

func run1(t *testing.T, threads int, o Options) (Summary, bool, error) {
	t.Helper()
	dev, err := cpu.New(threads)
	if err != nil {
		t.Fatal(err)
	}
	return Run(context.Background(), dev, open(t, llama), o)
}

func score(t *testing.T, threads int, o Options) Summary {
	t.Helper()
	s, _, err := run1(t, threads, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// result is a summary without what is the run's own.
func result(s Summary) Summary {
	s.Work, s.TokensPerSecond = Work{}, 0
	return s
}

func read(t *testing.T, dir string) []parquet.ScoresRow {
	t.Helper()
	d, err := parquet.OpenDataset(dir, parquet.SchemaScores)
	if err != nil {
		t.Fatal(err)
	}
	var out []parquet.ScoresRow
	for _, path := range d.Shards {
		r, err := parquet.OpenScores(path)
		if err != nil {
			t.Fatal(err)
		}
		for range r.NumRows() {
			var row parquet.ScoresRow
			if err := r.Next(&row); err != nil {
				t.Fatal(err)
			}
			out = append(out, row)
		}
		r.Close()
	}
	return out
}

func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		out[e.Name()] = string(data)
	}
	return out
}

func TestScoresDoNotDependOnBatchesThreadsShards(t *testing.T) {
	all := rows(vocab(t))
	one := dataset(t, all, 1, "")
	base := options(one, t.TempDir())
	sum := score(t, 1, base)
	want := read(t, base.Out)
	if len(want) != len(all) || sum.Targets == 0 {
		t.Fatalf("%d rows, %+v", len(want), sum)
	}
	for i, r := range want {
		if r.ID != all[i].ID || len(r.Pos) != len(r.LogProb) {
			t.Fatalf("row %d: %+v", i, r)
		}
	}
	three := dataset(t, all, 3, "")
	for _, c := range []struct {
		tokens          string
		threads, budget int
	}{{one, 2, 1}, {one, 3, 30}, {three, 1, 64}, {three, 2, 0}} {
		o := options(c.tokens, t.TempDir())
		o.Budget = c.budget
		got := score(t, c.threads, o)
		if !reflect.DeepEqual(read(t, o.Out), want) {
			t.Errorf("%+v: other scores", c)
		}
		if !reflect.DeepEqual(result(got), result(sum)) {
			t.Errorf("%+v: other summary", c)
		}
	}
}

// The oracle is the model run on each row alone.
func TestScoresAreTheModels(t *testing.T) {
	all := rows(vocab(t))
	o := options(dataset(t, all, 2, ""), t.TempDir())
	o.Targets = All
	sum := score(t, 1, o)
	dev, err := cpu.New(1)
	if err != nil {
		t.Fatal(err)
	}
	m, err := model.Load(dev, open(t, llama), model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var logProb float64
	var n int
	for i, r := range read(t, o.Out) {
		in := all[i]
		if len(r.Pos) != len(in.InputIDs)-1 {
			t.Fatalf("row %s: %d targets of %d tokens", r.ID, len(r.Pos), len(in.InputIDs))
		}
		if len(r.Pos) == 0 {
			continue
		}
		s, err := m.Score(model.Batch{IDs: in.InputIDs, CuSeqlens: []int32{0, int32(len(in.InputIDs))}}, r.Pos, o.K)
		if err != nil {
			t.Fatal(err)
		}
		want := parquet.ScoresRow{ID: in.ID, Pos: r.Pos, Token: in.InputIDs[1:], LogProb: s.LogProb, Entropy: s.Entropy,
			TopKEntropy: s.TopKEntropy, TopKMass: s.TopKMass, Top1LogProb: s.Top1LogProb, Rank: s.Rank, Top1ID: s.Top1ID}
		if !reflect.DeepEqual(r, want) {
			t.Errorf("row %s differs", r.ID)
		}
		for k, p := range r.Pos {
			if in.Labels[p] != parquet.Ignore {
				logProb, n = logProb+float64(r.LogProb[k]), n+1
			}
		}
	}
	if int64(n) != sum.Targets || math.Abs(logProb/float64(n)-*sum.MeanLogProb) > 1e-12 {
		t.Errorf("summary %+v: want %d targets, mean %v", sum, n, logProb/float64(n))
	}
	if man, err := parquet.ReadManifest(o.Out); err != nil || man.Ledger.Targets != int64(n) {
		t.Errorf("the ledger counts %d trained targets, want %d (%v)", man.Ledger.Targets, n, err)
	}
	trained := options(o.Tokens, t.TempDir())
	ofTrained := score(t, 1, trained)
	if !reflect.DeepEqual(result(ofTrained), result(sum)) {
		t.Errorf("the summary depends on --targets: %+v, %+v", ofTrained, sum)
	}
	full := read(t, o.Out)
	for i, r := range read(t, trained.Out) {
		for k, p := range r.Pos {
			f := full[i]
			if all[i].Labels[p] == parquet.Ignore || r.LogProb[k] != f.LogProb[p-1] || r.TopKEntropy[k] != f.TopKEntropy[p-1] || r.Rank[k] != f.Rank[p-1] {
				t.Fatalf("row %s position %d differs from --targets all", r.ID, p)
			}
		}
	}
}

func TestResumeAndRerun(t *testing.T) {
	o := options(dataset(t, rows(vocab(t)), 3, ""), t.TempDir())
	score(t, 1, o)
	want := files(t, o.Out)
	if _, again, err := run1(t, 2, o); err != nil || !again {
		t.Errorf("rerun: %v, %v", again, err)
	}
	for _, name := range []string{parquet.ManifestName, parquet.ShardName(1, 3)} {
		if err := os.Remove(filepath.Join(o.Out, name)); err != nil {
			t.Fatal(err)
		}
	}
	if _, again, err := run1(t, 2, o); err != nil || again {
		t.Errorf("resume: %v, %v", again, err)
	}
	if !reflect.DeepEqual(files(t, o.Out), want) {
		t.Error("a resumed run leaves other bytes")
	}
	for field, change := range map[string]func(*Options){
		"k": func(o *Options) { o.K = 6 }, "dtype": func(o *Options) { o.DType = compute.BF16 },
		"targets": func(o *Options) { o.Targets = All }, "--limit": func(o *Options) { o.Limit = 3 },
	} {
		other := o
		change(&other)
		if _, _, err := run1(t, 1, other); cli.Code(err) != cli.ExitUsage || !strings.Contains(err.Error(), field) {
			t.Errorf("finished with another %s: %v", field, err)
		}
	}
	if err := os.Remove(filepath.Join(o.Out, parquet.ManifestName)); err != nil {
		t.Fatal(err)
	}
	o.DType = compute.BF16
	if _, _, err := run1(t, 1, o); cli.Code(err) != cli.ExitUsage || !strings.Contains(err.Error(), "EAFT_CPU") {
		t.Errorf("resume with another dtype: %v", err)
	}
}

func TestLimit(t *testing.T) {
	o := options(dataset(t, rows(vocab(t)), 3, ""), t.TempDir())
	o.Limit = 6
	sum := score(t, 1, o)
	m, err := parquet.ReadManifest(o.Out)
	if err != nil {
		t.Fatal(err)
	}
	var got []int64
	for _, s := range m.Shards {
		got = append(got, s.Rows)
	}
	if sum.Rows != 6 || m.Limit != 6 || !reflect.DeepEqual(got, []int64{4, 2, 0}) {
		t.Errorf("rows %d, limit %d, shards %v", sum.Rows, m.Limit, got)
	}
}

func TestStop(t *testing.T) {
	o := options(dataset(t, rows(vocab(t)), 2, ""), t.TempDir())
	dev, err := cpu.New(1)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := Run(ctx, dev, open(t, llama), o); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if left := files(t, o.Out); len(left) != 0 {
		t.Errorf("%d files left", len(left))
	}
}

func TestRefusals(t *testing.T) {
	v := vocab(t)
	bad := rows(v)
	bad[3].InputIDs[1], bad[3].Labels[1] = int32(v), int32(v)
	o := options(dataset(t, bad, 1, ""), t.TempDir())
	if _, _, err := run1(t, 1, o); cli.Code(err) != cli.ExitUsage || !strings.Contains(err.Error(), "row3") || !strings.Contains(err.Error(), "input_ids") {
		t.Errorf("an id outside the vocabulary: %v", err)
	}
	o = options(dataset(t, rows(v), 1, ""), t.TempDir())
	o.Out = o.Tokens
	if _, _, err := run1(t, 1, o); cli.Code(err) != cli.ExitUsage {
		t.Errorf("scores over tokens: %v", err)
	}
	long := parquet.TokensRow{ID: "long"}
	spec, err := model.SpecOf(open(t, llama))
	if err != nil {
		t.Fatal(err)
	}
	long.InputIDs = make([]int32, spec.MaxPositions+1)
	long.Labels = make([]int32, spec.MaxPositions+1)
	o = options(dataset(t, append(rows(vocab(t)), long), 3, ""), t.TempDir())
	for _, o.Shards = range [][]int{nil, {0, 2}} { // before anything is scored, a worker's own shards included
		o.ShardsOf = 3
		if _, _, err := run1(t, 1, o); cli.Code(err) != cli.ExitUsage || !strings.Contains(err.Error(), `row "long"`) || !strings.Contains(err.Error(), "--max-length") {
			t.Errorf("a row longer than the model: %v", err)
		}
		if left, err := filepath.Glob(filepath.Join(o.Out, "part-*")); err != nil || len(left) > 0 {
			t.Errorf("shards are scored before a row longer than the model is found: %v, %v", left, err)
		}
	}
}

// The demo's model folder without its weights has a tokenizer; the tokens name another.
func TestOtherTokenizer(t *testing.T) {
	dir := t.TempDir()
	for src, names := range map[string][]string{llama: {"config.json", "model.safetensors"}, "../model/demo": {"tokenizer.json"}} {
		for _, name := range names {
			data, err := os.ReadFile(filepath.Join(src, name))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	dev, err := cpu.New(1)
	if err != nil {
		t.Fatal(err)
	}
	o := options(dataset(t, rows(vocab(t)), 1, "sha256:other"), t.TempDir())
	_, _, err = Run(context.Background(), dev, open(t, dir), o)
	if cli.Code(err) != cli.ExitUsage || strings.Count(err.Error(), "sha256:") != 2 {
		t.Errorf("error %v", err)
	}
}

func TestForeignTokens(t *testing.T) {
	all := rows(vocab(t))
	ours := options(dataset(t, all, 1, ""), t.TempDir())
	score(t, 1, ours)
	type foreign struct {
		ID       string  `parquet:"id"`
		InputIDs []int64 `parquet:"input_ids,list"`
		Labels   []int64 `parquet:"labels,list"`
	}
	var theirs []foreign
	for _, r := range all {
		f := foreign{ID: r.ID}
		for t, id := range r.InputIDs {
			f.InputIDs, f.Labels = append(f.InputIDs, int64(id)), append(f.Labels, int64(r.Labels[t]))
		}
		theirs = append(theirs, f)
	}
	dir := t.TempDir()
	if err := pq.WriteFile(filepath.Join(dir, "mine.parquet"), theirs); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	o := options(dir, t.TempDir())
	o.Log = &log
	score(t, 1, o)
	if !strings.Contains(log.String(), "cannot be verified") {
		t.Errorf("log %q", log.String())
	}
	if !reflect.DeepEqual(read(t, o.Out), read(t, ours.Out)) {
		t.Error("foreign tokens have other scores")
	}
}
