package scorer

import (
	"context"
	"encoding/json"
	"io"
	"math"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"

	"eaft/compute"
	"eaft/compute/cpu"
	"eaft/internal/cli"
	"eaft/model"
	"eaft/model/weights"
	"eaft/parquet"
)

// adapter writes an adapter of the fixture whose B is not zero, and opens it.
func adapter(t *testing.T, seed uint64) *weights.Checkpoint {
	t.Helper()
	dev, err := cpu.New(1)
	if err != nil {
		t.Fatal(err)
	}
	m, err := model.Load(dev, open(t, llama), model.Options{DType: compute.F32})
	if err == nil {
		err = m.AddLoRA(model.LoRA{Rank: 4, Alpha: 12, Targets: model.AllLinear, Seed: seed})
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range m.Params() {
		x := make([]float32, p.Value.Rows()*p.Value.Cols())
		dev.Read(x, p.Value)
		for i := range x {
			x[i] += float32(i*7%13-6) / 64
		}
		dev.Write(p.Value, x)
	}
	m.Refresh()
	dir := t.TempDir()
	if err := m.SaveAdapter(dir, llama); err != nil {
		t.Fatal(err)
	}
	return openAdapter(t, dir)
}

func openAdapter(t *testing.T, dir string) *weights.Checkpoint {
	t.Helper()
	a, err := weights.OpenAdapter(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

// Scores with an adapter are bitwise the same however they are computed, name it
// by its content, and are taken for those of no other model.
func TestAdapter(t *testing.T) {
	tokens := dataset(t, rows(vocab(t)), 1, "")
	plain := options(tokens, t.TempDir())
	score(t, 1, plain)
	for _, dtype := range []compute.DType{compute.F32, compute.BF16} {
		o := options(tokens, t.TempDir())
		o.Adapter, o.DType = adapter(t, 3), dtype
		score(t, 1, o)
		want := read(t, o.Out)
		if reflect.DeepEqual(want, read(t, plain.Out)) {
			t.Error("the adapter changes nothing")
		}
		other := o
		other.Out, other.Budget, other.NoPrefixSharing = t.TempDir(), 1, true
		score(t, 3, other)
		if !reflect.DeepEqual(read(t, other.Out), want) {
			t.Errorf("%v: the scores depend on batches, threads or prefixes", dtype)
		}
		if dtype != compute.F32 {
			continue
		}
		m, err := parquet.ReadManifest(o.Out)
		if err != nil {
			t.Fatal(err)
		}
		base, _ := open(t, llama).Hash()
		own, _ := o.Adapter.Hash()
		if have := m.Hashes["model"]; have != base+"+"+own {
			t.Errorf("hashes.model is %s, of the base %s and the adapter %s", have, base, own)
		}
		for _, wrong := range []*weights.Checkpoint{nil, adapter(t, 4)} {
			again := o
			again.Adapter = wrong
			if _, _, err := run1(t, 1, again); cli.Code(err) != cli.ExitUsage || !strings.Contains(err.Error(), "model is") {
				t.Errorf("in the folder of an adapter's scores: %v", err)
			}
			if _, err := recompute(t, wrong, o.Out); cli.Code(err) != cli.ExitUsage || !strings.Contains(err.Error(), "hashes.model") {
				t.Errorf("verified with another adapter: %v", err)
			}
		}
		if v, err := recompute(t, o.Adapter, o.Out); err != nil || v.Recomputed != 14 {
			t.Errorf("verify: %+v, %v", v, err)
		}
	}
}

func recompute(t *testing.T, a *weights.Checkpoint, scores string) (Verified, error) {
	t.Helper()
	dev, err := cpu.New(1)
	if err != nil {
		t.Fatal(err)
	}
	v, err := Verify(context.Background(), scores, "", io.Discard)
	if err == nil {
		err = Recompute(context.Background(), dev, open(t, llama), a, scores, "", 14, &v, io.Discard)
	}
	return v, err
}

// Scores with an adapter that PEFT has written are what PEFT and transformers say.
// The bound is model's TestPEFTLoadsAdapters'.
func TestAdapterEqualsPEFT(t *testing.T) {
	python := os.Getenv("EAFT_PYTHON")
	if python == "" {
		t.Skip("EAFT_PYTHON does not name a Python with torch, transformers and peft")
	}
	all := rows(vocab(t))
	dir := t.TempDir()
	in, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, "testdata/peft_scores.py", llama, dir)
	cmd.Stdin, cmd.Stderr = strings.NewReader(string(in)), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var want [][]struct{ LogProb, Entropy, TopKEntropy, TopKMass float64 }
	if err := json.Unmarshal(out, &want); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	o := options(dataset(t, all, 1, ""), t.TempDir())
	o.Adapter = openAdapter(t, dir)
	score(t, 2, o)
	worst, n := 0.0, 0
	for i, r := range read(t, o.Out) {
		if len(r.Pos) != len(want[i]) {
			t.Fatalf("row %s: %d targets, PEFT has %d", r.ID, len(r.Pos), len(want[i]))
		}
		for j, w := range want[i] {
			n++
			for _, d := range []float64{float64(r.LogProb[j]) - w.LogProb, float64(r.Entropy[j]) - w.Entropy,
				float64(r.TopKEntropy[j]) - w.TopKEntropy, float64(r.TopKMass[j]) - w.TopKMass} {
				worst = max(worst, math.Abs(d))
			}
		}
	}
	t.Logf("%d targets, off by %.2g at most", n, worst)
	if n == 0 || !(worst <= 2e-5) {
		t.Errorf("%d targets, off by %v", n, worst)
	}
}
