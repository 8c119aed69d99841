package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"eaft/eaft"
	"eaft/internal/cli"
	"eaft/parquet"
)

// auditWorld is a run of two epochs over random rows, its tokens, the base's
// scores and scores of the trained model.
type auditWorld struct {
	run, tokens, scores, after string
}

// newAuditWorld writes a run whose audit is in three shards. Every row but each
// seventh is visited in both epochs, that one in the first only.
func newAuditWorld(t testing.TB, n int) auditWorld {
	t.Helper()
	rng := rand.New(rand.NewPCG(3, 4))
	rows := random(n)
	for i := range rows {
		rows[i].source = fmt.Sprintf("s%d.jsonl", i%3)
		for j := range rows[i].targets {
			if g := &rows[i].targets[j]; rng.IntN(3) == 0 {
				g.p, g.pTop1 = 0.9+0.1*rng.Float64(), 0.9
			}
		}
	}
	w := auditWorld{run: filepath.Join(t.TempDir(), "run")}
	w.scores, w.tokens = write(t, rows, "all")
	again := make([]testRow, n)
	for i, r := range rows {
		again[i] = r
		again[i].targets = nil
		for _, g := range r.targets {
			g.p, g.h = rng.Float64(), rng.Float64()*rng.Float64()
			again[i].targets = append(again[i].targets, g)
		}
	}
	w.after, _ = write(t, again, "all")
	cuts := eaft.Cuts{Prob: 0.3, H: 0.2, MinMass: 0.9}
	summary, err := json.Marshal(map[string]any{"cuts": cuts})
	must(t, err)
	change := func(dir, model string) *parquet.Manifest {
		m, err := parquet.ReadManifest(dir)
		must(t, err)
		m.Summary, m.Hashes["model"] = summary, model
		must(t, parquet.WriteManifest(dir, m))
		return m
	}
	base := change(w.scores, "sha256:base")
	change(w.after, "sha256:tuned")

	hashes := map[string]string{"model": "sha256:base", "tokens": base.Hashes["tokens"], "scores": base.ContentHash()}
	must(t, os.MkdirAll(filepath.Join(w.run, "audit"), 0o777))
	rel := func(dir string) string {
		s, err := filepath.Rel(filepath.Join(w.run, "audit"), dir)
		must(t, err)
		return filepath.ToSlash(s)
	}
	m := &parquet.Manifest{Schema: parquet.SchemaAudit, Version: "test", K: testK, Hashes: hashes, Tokens: rel(w.tokens), Scores: rel(w.scores)}
	const shards = 3
	var visits []parquet.AuditRow
	for epoch := range 2 {
		for _, i := range rng.Perm(n) {
			if r := rows[i]; epoch == 0 || i%7 != 0 {
				visits = append(visits, randomVisit(rng, &r, epoch, len(visits)/4+1))
			}
		}
	}
	for s := range shards {
		aw, err := parquet.CreateAudit(filepath.Join(w.run, "audit", parquet.ShardName(s, shards)))
		must(t, err)
		var l parquet.Ledger
		for _, v := range visits[s*len(visits)/shards : (s+1)*len(visits)/shards] {
			l.Add(parquet.Ledger{RowsIn: 1, RowsOut: 1, Targets: int64(len(v.Pos))})
			must(t, aw.Write(&v))
		}
		info, err := aw.Commit(parquet.Meta{Schema: parquet.SchemaAudit, Ledger: l})
		must(t, err)
		m.Shards = append(m.Shards, info)
		m.Ledger.Add(l)
	}
	must(t, parquet.WriteManifest(filepath.Join(w.run, "audit"), m))
	record, err := json.Marshal(map[string]any{"options": map[string]any{"loss": "eaft", "dtype": "f32"}, "version": "test", "isa": "generic", "hashes": hashes, "steps": 1000,
		"ledger": parquet.Ledger{RowsIn: int64(n), RowsOut: int64(n)}})
	must(t, err)
	must(t, os.WriteFile(filepath.Join(w.run, "run.json"), record, 0o666))
	var metrics bytes.Buffer
	for step := 1; step <= 1000; step++ {
		fmt.Fprintf(&metrics, `{"step":%d,"loss":%v,"sft_loss":%v,"mean_weight":0.5,"grad_norm":%v,"lr":%v}`+"\n", step, 2/float64(step), 3/float64(step), rng.Float64(), 1e-5*float64(1000-step))
	}
	must(t, os.WriteFile(filepath.Join(w.run, "metrics.jsonl"), metrics.Bytes(), 0o666))
	return w
}

func randomVisit(rng *rand.Rand, r *testRow, epoch, step int) parquet.AuditRow {
	a := parquet.AuditRow{ID: r.id, Epoch: int32(epoch), Step: int32(step)}
	for _, g := range r.targets {
		if r.labels[g.pos] == parquet.Ignore {
			continue
		}
		h := rng.Float64() * rng.Float64()
		a.Pos = append(a.Pos, g.pos)
		a.LogProb = append(a.LogProb, float32(math.Log(rng.Float64())))
		a.TopKEntropy = append(a.TopKEntropy, float32(h*math.Log(testK)))
		a.TopKMass = append(a.TopKMass, float32(.8+.2*rng.Float64()))
		a.Weight = append(a.Weight, float32(h))
		a.BaseLogProb = append(a.BaseLogProb, float32(math.Log(g.p)))
		a.BaseTopKEntropy = append(a.BaseTopKEntropy, float32(g.h*math.Log(testK)))
		a.BaseTopKMass = append(a.BaseTopKMass, float32(g.mass))
	}
	return a
}

func (w auditWorld) build(t *testing.T, change func(o *AuditOptions)) *Audit {
	t.Helper()
	o := DefaultAuditOptions()
	o.Run = w.run
	if change != nil {
		change(&o)
	}
	a, err := BuildAudit(t.Context(), o)
	must(t, err)
	return a
}

// nearly compares sums whose order differs.
func nearly(a, b any) bool {
	x, y := reflect.ValueOf(a), reflect.ValueOf(b)
	return nearlyValue(x, y)
}

func nearlyValue(x, y reflect.Value) bool {
	switch x.Kind() {
	case reflect.Float64:
		a, b := x.Float(), y.Float()
		return a == b || a != a && b != b || math.Abs(a-b) <= 1e-12*math.Max(math.Abs(a), math.Abs(b))
	case reflect.Pointer:
		return x.IsNil() == y.IsNil() && (x.IsNil() || nearlyValue(x.Elem(), y.Elem()))
	case reflect.Slice:
		for i := 0; i < x.Len() && x.Len() == y.Len(); i++ {
			if !nearlyValue(x.Index(i), y.Index(i)) {
				return false
			}
		}
		return x.Len() == y.Len()
	case reflect.Struct:
		for i := range x.NumField() {
			if !nearlyValue(x.Field(i), y.Field(i)) {
				return false
			}
		}
		return true
	}
	return x.Interface() == y.Interface()
}

// In how many parts the rows are taken changes nothing but the order of sums.
func TestAuditInParts(t *testing.T) {
	w := newAuditWorld(t, 60)
	want := w.build(t, nil)
	defer func(m int64) { auditMemory = m }(auditMemory)
	auditMemory = 1 << 11
	got := w.build(t, nil)
	if !nearly(got, want) {
		t.Errorf("in parts the audit is\n%+v\nas a whole\n%+v", got, want)
	}
	if want.Total.Confident == 0 || want.Total.Lost == 0 || want.Conflicts.Resolved == 0 || want.Conflicts.Persisting == 0 || want.Conflicts.New == 0 || len(want.BySource) != 3 || len(want.ByClass) < 2 {
		t.Errorf("the run shows too little: %+v", want)
	}
}

// One row, worked out by hand: the base had " Paris"-like targets with 0.95 and
// 0.02; training saw them with 0.4 and 0.5, at weights 0.25 and 1.
func TestAuditByHand(t *testing.T) {
	w := newAuditWorld(t, 1)
	l := func(p float64) float32 { return float32(math.Log(p)) }
	ln20 := math.Log(testK)
	rewrite := func(rows ...parquet.AuditRow) {
		t.Helper()
		dir := filepath.Join(w.run, "audit")
		m, err := parquet.ReadManifest(dir)
		must(t, err)
		aw, err := parquet.CreateAudit(filepath.Join(dir, parquet.ShardName(0, 1)))
		must(t, err)
		for i := range rows {
			must(t, aw.Write(&rows[i]))
		}
		info, err := aw.Commit(parquet.Meta{Schema: parquet.SchemaAudit})
		must(t, err)
		m.Shards, m.Tokens, m.Scores = []parquet.ShardInfo{info}, "gone", "gone"
		must(t, parquet.WriteManifest(dir, m))
	}
	must(t, os.WriteFile(filepath.Join(w.run, "summary.json"), []byte(`{"conflicts":{"cuts":{"prob":0.3,"h":0.2,"min_mass":0.9}}}`), 0o666))
	row := parquet.AuditRow{ID: "x", Step: 1, Pos: []int32{1, 2}, LogProb: []float32{l(.4), l(.5)},
		TopKEntropy: []float32{float32(.1 * ln20), float32(.1 * ln20)}, TopKMass: []float32{1, 1}, Weight: []float32{.25, 1},
		BaseLogProb: []float32{l(.95), l(.02)}, BaseTopKEntropy: []float32{float32(.1 * ln20), float32(.1 * ln20)}, BaseTopKMass: []float32{1, 1}}
	rewrite(row)
	a := w.build(t, nil)
	check := func(name string, got Num, want float64) {
		t.Helper()
		if !(math.Abs(float64(got)-want) <= 1e-6*math.Abs(want)) {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	check("loss removed", a.Total.LossRemoved, -.75*math.Log(.4))
	check("loss share", a.Total.LossShare, .75*math.Log(.4)/(math.Log(.4)+math.Log(.5)))
	check("gradient removed", a.Total.GradientRemoved, .75*.6)
	check("gradient share", a.Total.GradientShare, .75*.6/1.1)
	check("drift", a.Drift, 1)
	if *a.Conflicts != (AuditChanges{Base: 1, Resolved: 1}) {
		t.Errorf("conflicts are %+v", *a.Conflicts)
	}
	if len(a.Missing) != 1 || !strings.Contains(a.Missing[0], "--tokens") {
		t.Errorf("missing: %q", a.Missing)
	}
	if len(a.Worst) != 1 || a.Worst[0].Pos != 1 {
		t.Errorf("worst: %+v", a.Worst)
	}

	// A second visit, in which the conflict is back, the other's mass is too low
	// and the lost token is at hand again: the last one counts.
	again := row
	again.Epoch, again.Step = 1, 2
	again.LogProb, again.TopKMass = []float32{l(.6), l(.1)}, []float32{.5, .95}
	rewrite(row, again)
	a = w.build(t, nil)
	if *a.Conflicts != (AuditChanges{Base: 1, Persisting: 1}) || a.Total.Lost != 0 || a.Epochs[0].Lost != 1 || a.Epochs[0].Conflicts.Resolved != 1 {
		t.Errorf("after two visits: %+v, %+v, %+v", *a.Conflicts, a.Total, a.Epochs)
	}

	// Without base there are no conflicts and no drift, and gates on them are wrong use.
	row.BaseLogProb, row.BaseTopKEntropy, row.BaseTopKMass = nil, nil, nil
	rewrite(row)
	a = w.build(t, nil)
	if a.Conflicts != nil || a.Drift == a.Drift || !strings.Contains(strings.Join(a.Missing, ";"), "without base annotation") {
		t.Errorf("without base: %+v", a)
	}
	c, err := ParseCondition("drift>0.01")
	must(t, err)
	if _, err := Failed(a, []Condition{c}); err == nil {
		t.Error("a gate opens although nothing was measured")
	}
}

func TestAuditRefuses(t *testing.T) {
	w := newAuditWorld(t, 8)
	other := newAuditWorld(t, 9)
	foreign := t.TempDir()
	for _, c := range []struct {
		name, want string
		change     func(o *AuditOptions)
	}{
		{"no run", "run.json", func(o *AuditOptions) { o.Run = foreign }},
		{"tokens", "--tokens", func(o *AuditOptions) { o.Tokens = other.tokens }},
		{"scores", "hashes.tokens", func(o *AuditOptions) { o.Scores = other.scores }},
		{"scores of the tuned model", "hashes.model", func(o *AuditOptions) { o.Scores = w.after }},
		{"after of another model", "hashes.model", func(o *AuditOptions) { o.After, o.Model = w.after, "sha256:else" }},
		{"confident", "--confident", func(o *AuditOptions) { o.Confident = 0.5 }},
		{"lost", "--lost", func(o *AuditOptions) { o.Lost = 0.95 }},
	} {
		o := DefaultAuditOptions()
		o.Run = w.run
		c.change(&o)
		if _, err := BuildAudit(t.Context(), o); cli.Code(err) != cli.ExitUsage || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: the error is %v", c.name, err)
		}
	}
}

// The page has every table of the text, no script, and nothing to load.
func TestAuditPage(t *testing.T) {
	w := newAuditWorld(t, 30)
	a := w.build(t, func(o *AuditOptions) { o.After, o.Model = w.after, "sha256:tuned" })
	a.Worst[0].Before = "<script>alert(1)</script>"
	var page, text bytes.Buffer
	must(t, a.HTML(&page))
	must(t, a.Text(&text, false))
	s := page.String()
	for _, bad := range []string{"<script", "http:", "https:", "src=", "ZgotmplZ"} {
		if strings.Contains(s, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	if n := strings.Count(s, "<svg viewBox=\"0 0 480"); n != 7 {
		t.Errorf("%d curves, want 7", n)
	}
	made := fmt.Sprintf("Trained from the model sha256:base in f32 on generic, eaft test; tokens %s, scores %s; the scores of --after are by the model sha256:tuned.", brief(a.Made.Tokens), brief(a.Made.Scores))
	if len(brief(a.Made.Tokens)) != 12 || len(brief(a.Made.Scores)) != 12 || !strings.Contains(s, made) || !strings.Contains(text.String(), made) {
		t.Errorf("the page and the text do not both say: %s", made)
	}
	a.Made.Engines = []AuditEngine{{1, "0.1", "avx512"}, {11, "0.1", "avx2"}, {15, "0.2", "avx2"}}
	if made, want := a.madeWords(), " in f32 on avx512, eaft 0.1; from step 11 on avx2, eaft 0.1; from step 15 on avx2, eaft 0.2; tokens "; !strings.Contains(made, want) {
		t.Errorf("%s, want %s", made, want)
	}
	for _, table := range a.tables() {
		for _, out := range []string{s, text.String()} {
			if !strings.Contains(out, table.title) || !strings.Contains(out, table.rows[0][1]) {
				t.Errorf("%s is missing in %.80s", table.title, out)
			}
		}
	}
	for _, line := range strings.Split(text.String(), "\n") {
		if line != strings.TrimRight(line, " ") {
			t.Errorf("the line %q ends in spaces", line)
		}
	}
}

// 1000 steps make at most curvePoints points, whose means weigh alike.
func TestAuditCurve(t *testing.T) {
	w := newAuditWorld(t, 2)
	points, err := readCurve(w.run)
	must(t, err)
	var steps int64
	var lr float64
	for _, p := range points {
		steps += p.Steps
		lr += float64(p.LR) * float64(p.Steps)
	}
	if steps != 1000 || len(points) > curvePoints || points[len(points)-1].Step != 1000 || math.Abs(lr/(1e-5*999*500)-1) > 1e-9 {
		t.Errorf("%d steps in %d points, learning rates sum to %v", steps, len(points), lr)
	}
}

// numpy and pyarrow compute every number again from the Parquet files.
func TestAuditOracle(t *testing.T) {
	python := os.Getenv("EAFT_PYTHON")
	if python == "" {
		t.Skip("EAFT_PYTHON names no Python with pyarrow and numpy")
	}
	w := newAuditWorld(t, 200)
	for _, after := range []string{"", w.after} {
		a := w.build(t, func(o *AuditOptions) { o.After, o.Model = after, "sha256:tuned" })
		path := filepath.Join(t.TempDir(), "audit.json")
		f, err := os.Create(path)
		must(t, err)
		must(t, JSON(f, a))
		must(t, f.Close())
		args := []string{"testdata/audit_oracle.py", w.run, w.tokens, w.scores, path}
		if after != "" {
			args = append(args, after)
		}
		out, err := exec.Command(python, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		t.Logf("%s", out)
	}
}
