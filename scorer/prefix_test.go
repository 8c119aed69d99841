package scorer

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"eaft/compute"
	"eaft/compute/cpu"
	"eaft/parquet"
)

// tries are rows of at most 64 tokens that begin alike: most take a part of an
// earlier one or all of it, and go on by themselves, in runs of step equal tokens.
func tries(rng *rand.Rand, n, step, vocab int) [][]int32 {
	var rows [][]int32
	for range n {
		var row []int32
		if len(rows) > 0 && rng.IntN(4) > 0 {
			from := rows[rng.IntN(len(rows))]
			row = slices.Clone(from[:rng.IntN(len(from)/step+1)*step])
		}
		for range rng.IntN(12) {
			if len(row)+step <= 64 {
				row = append(row, slices.Repeat([]int32{rng.Int32N(int32(vocab))}, step)...)
			}
		}
		if len(row) == 0 {
			row = make([]int32, step)
		}
		rows = append(rows, row)
	}
	return rows
}

// A forest must give every row back token by token, cut off no short heads, and,
// where rows part after minShared tokens or a multiple, hold no prefix twice.
func TestForestHoldsEveryRow(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 1))
		step := []int{1, 3, minShared}[rng.IntN(3)]
		rows := tries(rng, 1+rng.IntN(20), step, 2+rng.IntN(5))
		slices.SortFunc(rows, slices.Compare[[]int32])
		var f forest
		var ends []int
		for _, row := range rows {
			before, segs, n := f.size, len(f.segs), f.shared(row)
			ends = append(ends, f.add(row))
			if f.size-before != len(row)-n {
				t.Fatalf("seed %d: %v costs %d tokens, not %d", seed, row, f.size-before, len(row)-n)
			}
			if len(f.segs) == segs+2 && f.segs[segs].hi-f.segs[segs].lo < minShared {
				t.Fatalf("seed %d: %+v is cut off for %v", seed, f.segs[segs], row)
			}
		}
		b, at := f.batch()
		if len(b.IDs) != f.size || len(at) != len(f.segs) {
			t.Fatalf("seed %d: %d tokens of %d, %d segments of %d", seed, len(b.IDs), f.size, len(at), len(f.segs))
		}
		prefixes := map[string]bool{}
		for i, row := range rows {
			pos := make([]int32, len(row))
			for p := range pos {
				pos[p] = int32(p)
				prefixes[fmt.Sprint(row[:p+1])] = true
			}
			got := make([]int32, len(row))
			for p, x := range f.flat(ends[i], pos, at) {
				got[p] = b.IDs[x]
			}
			if !slices.Equal(got, row) {
				t.Fatalf("seed %d: row %v came back as %v", seed, row, got)
			}
		}
		for _, seg := range f.segs {
			if seg.lo >= seg.hi {
				t.Fatalf("seed %d: segment %+v", seed, seg)
			}
		}
		for s, p := range b.Parent {
			if int(p) >= s {
				t.Fatalf("seed %d: the parent of segment %d is %d", seed, s, p)
			}
		}
		if step == minShared && f.size != len(prefixes) {
			t.Fatalf("seed %d: %d tokens for %d prefixes of %v", seed, f.size, len(prefixes), rows)
		}
	}
}

// Batches take every task once, and beside what all their rows begin with a
// budget of tokens or as much again, or one row.
func TestBatchesKeepTheBudget(t *testing.T) {
	for seed := range uint64(100) {
		rng := rand.New(rand.NewPCG(seed, 2))
		share, budget := rng.IntN(2) == 0, 1+rng.IntN(80)
		var w window
		for _, row := range tries(rng, 30, 1+rng.IntN(9), 3) {
			w.add(task{ids: row})
		}
		rest := w.order(share)
		seen := map[*task]bool{}
		for len(rest) > 0 {
			var b *batch
			b, rest = nextBatch(rest, budget, share)
			root := slices.Clone(b.tasks[0].ids)
			for _, k := range b.tasks {
				seen[k] = true
				n := 0
				for n < min(len(root), len(k.ids)) && root[n] == k.ids[n] {
					n++
				}
				root = root[:n]
			}
			if !share {
				root = nil
			}
			if len(b.tasks) > 1 && b.size > len(root)+max(budget, len(root)) {
				t.Fatalf("seed %d: %d tokens, %d of them common, for a budget of %d", seed, b.size, len(root), budget)
			}
		}
		if len(seen) != len(w.tasks) {
			t.Fatalf("seed %d: %d of %d rows are run", seed, len(seen), len(w.tasks))
		}
	}
}

func tokensRows(rng *rand.Rand, rows [][]int32) []parquet.TokensRow {
	var out []parquet.TokensRow
	for i, ids := range rows {
		r := parquet.TokensRow{ID: fmt.Sprintf("row%d", i), InputIDs: ids}
		trained := rng.IntN(4)
		for _, id := range ids {
			if rng.IntN(3) >= trained {
				id = parquet.Ignore
			}
			r.Labels = append(r.Labels, id)
		}
		out = append(out, r)
	}
	return out
}

// The files must not show whether prefixes were shared, on any numeric path, in
// any batches, also if a run that shares goes on with what one that does not began.
func TestSharingChangesNoByte(t *testing.T) {
	v := vocab(t)
	seen := map[string]bool{}
	for _, isa := range []string{"generic", "avx2", "avx512", "avx512bf16", "amx"} {
		t.Setenv("EAFT_CPU", isa)
		dev, err := cpu.New(1)
		if err != nil || seen[dev.ISA()] {
			continue
		}
		seen[dev.ISA()] = true
		for seed := range uint64(4) {
			rng := rand.New(rand.NewPCG(seed, 3))
			tokens := dataset(t, tokensRows(rng, tries(rng, 30, 1+rng.IntN(9), v)), 2, "")
			plain := options(tokens, t.TempDir())
			plain.NoPrefixSharing, plain.Targets, plain.DType = true, []Targets{All, Trained}[seed%2], []compute.DType{compute.F32, compute.BF16}[seed/2%2]
			alone := score(t, 1, plain)
			want := files(t, plain.Out)
			for _, budget := range []int{1, 40, 0} {
				o := plain
				o.NoPrefixSharing, o.Budget, o.Out = false, budget, t.TempDir()
				sum := score(t, 2, o)
				if !reflect.DeepEqual(contents(t, o.Out), contents(t, plain.Out)) {
					t.Errorf("%s, seed %d, budget %d: other files", dev.ISA(), seed, budget)
				}
				if budget == 0 && (sum.Work.Computed >= alone.Work.Computed || sum.Work.Tokens != alone.Work.Tokens) {
					t.Errorf("seed %d: %v, without sharing %v", seed, sum.Work, alone.Work)
				}
			}
			for _, name := range []string{parquet.ManifestName, parquet.ShardName(1, 2)} {
				if err := os.Remove(filepath.Join(plain.Out, name)); err != nil {
					t.Fatal(err)
				}
			}
			plain.NoPrefixSharing = false
			score(t, 1, plain)
			if !reflect.DeepEqual(files(t, plain.Out), want) {
				t.Errorf("seed %d: a resumed run that shares leaves other bytes", seed)
			}
		}
	}
}

// contents are a dataset's files but for the way to its tokens.
func contents(t *testing.T, dir string) map[string]string {
	out := files(t, dir)
	m, err := parquet.ReadManifest(dir)
	if err != nil {
		t.Fatal(err)
	}
	m.Tokens = ""
	out[parquet.ManifestName] = fmt.Sprintf("%+v", *m)
	return out
}

// What must be computed of rows with a common beginning, be it longer than the
// budget, of equal rows and of rows whose end is not asked for.
func TestWorkIsWhatTheTargetsNeed(t *testing.T) {
	prefix := make([]int32, 50)
	for i := range prefix {
		prefix[i] = int32(3 + i)
	}
	row := func(labels int, own ...int32) parquet.TokensRow {
		r := parquet.TokensRow{InputIDs: slices.Concat(prefix, own)}
		for p, id := range r.InputIDs {
			if p < 50 || p >= 50+labels {
				id = parquet.Ignore
			}
			r.Labels = append(r.Labels, id)
		}
		return r
	}
	all := []parquet.TokensRow{
		row(3, 1, 2, 3), row(0, 9, 9, 9, 9), row(3, 2, 2, 3), // 50 + 3, nothing, 3
		row(1, 3, 1, 1, 1, 1, 1), row(3, 1, 2, 3), row(2, 4, 3), // 1, nothing new, 2
	}
	for i := range all {
		all[i].ID = fmt.Sprint(i)
	}
	o := options(dataset(t, all, 1, ""), t.TempDir())
	o.Budget = 8 // less than the 9 tokens that are not of the prefix
	if w := score(t, 1, o).Work; w.Computed != 50+3+3+1+2 || w.Tokens != 6*50+3+4+3+6+3+2 {
		t.Errorf("%v", w)
	}
	o.Out, o.NoPrefixSharing = t.TempDir(), true
	if w := score(t, 1, o).Work; w.Computed != 5*50+3+3+1+3+2 {
		t.Errorf("without sharing: %v", w)
	}
}
