package train

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"eaft/internal/cli"
	"eaft/model/weights"
	"eaft/parquet"
	"eaft/report"
)

// The report of the audit says what the run said itself: the conflicts of the
// summary, and over the epochs the losses and weights of the metrics.
func TestReportOfTheAudit(t *testing.T) {
	w := newWorld(t)
	must(t, w.run(t.Context()))
	o := report.DefaultAuditOptions()
	o.Run = w.o.Out
	a, err := report.BuildAudit(t.Context(), o)
	must(t, err)
	var s Summary
	data, err := os.ReadFile(filepath.Join(w.o.Out, SummaryName))
	must(t, err)
	must(t, json.Unmarshal(data, &s))
	c := s.Conflicts
	if *a.Conflicts != (report.AuditChanges{Base: c.Base, Resolved: c.Resolved, Persisting: c.Persisting, New: c.New}) || a.Targets != c.Targets || c.Base == 0 {
		t.Errorf("the audit's conflicts are %+v of %d, the summary's %+v", *a.Conflicts, a.Targets, *c)
	}
	targets := map[int32]float64{} // by step
	for _, v := range audits(t, filepath.Join(w.o.Out, AuditName)) {
		targets[v.Step] += float64(len(v.Pos))
		if len(v.TopKMass) != len(v.Pos) || len(v.BaseTopKMass) != len(v.Pos) {
			t.Fatalf("row %s has %d targets and the masses of %d and %d", v.ID, len(v.Pos), len(v.TopKMass), len(v.BaseTopKMass))
		}
	}
	var loss, sft, weight float64
	for _, p := range a.Curve {
		n := targets[int32(p.Step)]
		loss, sft, weight = loss+n*float64(p.Loss), sft+n*float64(p.SFTLoss), weight+n*float64(p.MeanWeight)
	}
	var epochs float64
	for _, e := range a.Epochs {
		epochs += float64(e.Visits) * float64(e.WeightedLoss)
	}
	same := func(name string, x, y float64) {
		t.Helper()
		if !(math.Abs(x-y) <= 1e-9*math.Abs(y)) {
			t.Errorf("%s is %v in the audit and %v in the metrics", name, x, y)
		}
	}
	same("loss", epochs, loss)
	same("loss less what is removed", float64(a.Total.Loss-a.Total.LossRemoved), loss)
	same("sft loss", float64(a.Total.Loss), sft)
	same("weight", float64(a.Total.MeanWeight)*float64(a.Total.Visits), weight)
	if len(a.Epochs) != w.o.Epochs || len(a.Missing) != 1 || !strings.Contains(a.Missing[0], "_tokenizer.json") {
		t.Errorf("%d epochs, missing %q", len(a.Epochs), a.Missing)
	}
}

// Scores that say they are of another tokenizer than the model's are refused.
func TestScoresOfAnotherTokenizer(t *testing.T) {
	w := newWorld(t)
	c, err := weights.Open("demo")
	must(t, err)
	defer c.Close()
	m, err := parquet.ReadManifest(w.o.Scores)
	must(t, err)
	hash, err := c.Hash()
	must(t, err)
	m.Hashes["model"], m.Hashes["tokenizer"] = hash, "sha256:other"
	must(t, parquet.WriteManifest(w.o.Scores, m))
	err = Run(t.Context(), w.dev, c, w.o)
	if cli.Code(err) != cli.ExitUsage || !strings.Contains(err.Error(), "hashes.tokenizer is sha256:other") || !strings.Contains(err.Error(), w.o.Scores) {
		t.Errorf("the error is %v", err)
	}
}
