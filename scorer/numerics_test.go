package scorer

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"eaft/compute"
	"eaft/compute/cpu"
	"eaft/internal/cli"
	"eaft/internal/numerics"
	"eaft/parquet"
)

var update = flag.Bool("update", false, "write testdata/numerics.json; of instruction sets that this machine lacks it keeps what is there")

// Whoever changes the bits of scores must raise Numerics, or datasets will be
// finished with others than they were begun with. The file has a hash of the scores
// of the demo's model for each instruction set; those of AVX512-BF16 and AMX are of the
// emulator, as make test-amx runs it.
func TestNumerics(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("the hashes are amd64's")
	}
	numerics.Check(t, filepath.Join("testdata", "numerics.json"), Numerics, *update, func(t *testing.T, isa, dtype string) (string, bool) {
		t.Setenv("EAFT_CPU", isa)
		dev, err := cpu.New(2)
		if err != nil {
			return "", false
		}
		d, err := compute.ParseDType(dtype)
		if err != nil {
			t.Fatal(err)
		}
		return bitsOfDemo(t, dev, d), true
	})
}

// bitsOfDemo hashes the scores of rows of 1 to 150 tokens, alone and beside each other.
func bitsOfDemo(t *testing.T, dev compute.Device, dtype compute.DType) string {
	t.Helper()
	m, err := load(dev, open(t, "demo"), nil, dtype)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.New()
	for _, lengths := range [][]int{{2}, {3}, {17}, {150}, {5, 60, 31, 2}} {
		var tasks []*task
		for n, length := range lengths {
			row := parquet.TokensRow{}
			for i := range length {
				row.InputIDs = append(row.InputIDs, int32((i*i*31+i*7+n*13+5)%m.Spec().Vocab))
			}
			o := Options{Targets: All}
			one := newTask(&row, o.positions(&row))
			tasks = append(tasks, &one)
		}
		b, rest := nextBatch(tasks, DefaultBudget, true)
		if len(rest) > 0 {
			t.Fatal("several batches")
		}
		if err := b.run(m, 20, 3); err != nil {
			t.Fatal(err)
		}
		for _, k := range tasks {
			for _, x := range []any{k.out.LogProb, k.out.Entropy, k.out.TopKEntropy, k.out.TopKMass, k.out.Top1LogProb, k.out.TopKLogProb, k.out.Rank, k.out.Top1ID, k.out.TopKID} {
				if err := binary.Write(sum, binary.LittleEndian, x); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	return fmt.Sprintf("%x", sum.Sum(nil))
}

// What was begun with other numerics is not gone on with, by a whole run, a worker,
// or the run that closes what workers made, and neither merged nor verified; what is
// finished stays as it is.
func TestOtherNumerics(t *testing.T) {
	o := options(dataset(t, many(vocab(t)), 2, ""), t.TempDir())
	o.Budget = 3
	o.Shards, o.ShardsOf = []int{0}, 2
	if _, _, err := run1(t, 1, o); err != nil {
		t.Fatal(err)
	}
	shard := filepath.Join(o.Out, parquet.ShardName(0, 2))
	another(t, shard)
	if _, _, err := run1(t, 1, o); cli.Code(err) != cli.ExitUsage || !strings.Contains(err.Error(), shard+`: numerics is "9", this run has "1"; scores of the two differ in their last bits; go on with the eaft that began (0.1.0), choose another --out`) {
		t.Errorf("a worker: %v", err)
	}
	o.Shards = nil
	if _, _, err := run1(t, 1, o); cli.Code(err) != cli.ExitUsage || !strings.Contains(err.Error(), "numerics") {
		t.Errorf("a whole run: %v", err)
	}
	o.Out = t.TempDir()
	if _, err := until(t, o, 30, nil); err == nil {
		t.Fatal("the run was not stopped")
	}
	saved, err := filepath.Glob(filepath.Join(o.Out, parquet.PartialName, "*.parquet"))
	if err != nil || len(saved) == 0 {
		t.Fatalf("%v, %v", saved, err)
	}
	another(t, saved[0])
	if _, _, err := run1(t, 1, o); cli.Code(err) != cli.ExitUsage || !strings.Contains(err.Error(), saved[0]+": numerics") {
		t.Errorf("what was saved of a shard: %v", err)
	}

	o.Out = t.TempDir()
	score(t, 1, o)
	other := o
	other.Tokens, other.Out = dataset(t, rows(vocab(t)), 1, ""), t.TempDir()
	score(t, 1, other)
	another(t, filepath.Join(other.Out, parquet.ManifestName))
	if _, again, err := run1(t, 1, other); err != nil || !again {
		t.Errorf("a finished dataset: %v, %v", again, err)
	}
	if _, err := Merge(t.Context(), []string{o.Out, other.Out}, filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b"), o.Log); cli.Code(err) != cli.ExitUsage || !strings.Contains(err.Error(), `numerics is "9", but "1"`) {
		t.Errorf("merge: %v", err)
	}
	if _, err := Verify(t.Context(), other.Out, "", io.Discard); cli.Code(err) != cli.ExitUsage || !strings.Contains(err.Error(), `eaft.numerics is "1", but the manifest says "9"`) {
		t.Errorf("verify: %v", err)
	}
	dev, err := cpu.New(1)
	if err != nil {
		t.Fatal(err)
	}
	v := Verified{Rows: 14}
	if err := Recompute(t.Context(), dev, open(t, llama), nil, other.Out, "", 2, &v, io.Discard); cli.Code(err) != cli.ExitUsage || !strings.Contains(err.Error(), "numerics is 9, this program has 1") {
		t.Errorf("verify --sample: %v", err)
	}
}

// another makes a file of scores, or their manifest, say that it is of numerics 9.
func another(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// In a footer the key is followed by a field's header and the length of the value.
	changed := data
	for _, c := range [][2]string{{"eaft.numerics\x18\x011", "eaft.numerics\x18\x019"}, {`"numerics": 1`, `"numerics": 9`}} {
		changed = bytes.ReplaceAll(changed, []byte(c[0]), []byte(c[1]))
	}
	if bytes.Equal(changed, data) {
		t.Fatalf("%s does not say its numerics", path)
	}
	if err := os.WriteFile(path, changed, 0o666); err != nil {
		t.Fatal(err)
	}
}
