package scorer

import (
	"context"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"

	"eaft/compute/cpu"
	"eaft/internal/cli"
	"eaft/model"
	"eaft/parquet"
)

// The likeliest tokens are the model's, to the bit, whatever runs beside them, and
// change nothing else.
func TestStoreTopK(t *testing.T) {
	const n = 3
	all := rows(vocab(t))
	one, three := dataset(t, all, 1, ""), dataset(t, all, 3, "")
	dev, err := cpu.New(1)
	if err != nil {
		t.Fatal(err)
	}
	m, err := model.Load(dev, open(t, llama), model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	o := options(one, t.TempDir())
	o.StoreTopK = n
	score(t, 1, o)
	want := read(t, o.Out)
	for i, r := range want {
		if len(r.Pos) == 0 {
			continue
		}
		s, err := m.Score(model.Batch{IDs: all[i].InputIDs, CuSeqlens: []int32{0, int32(len(all[i].InputIDs))}}, r.Pos, o.K)
		if err != nil {
			t.Fatal(err)
		}
		for j := range r.Pos {
			ids, logProbs := r.TopK(j)
			if !slices.Equal(ids, s.TopIDs[j*o.K:][:n]) || !slices.Equal(logProbs, s.TopLogProbs[j*o.K:][:n]) || ids[0] != r.Top1ID[j] || logProbs[0] != r.Top1LogProb[j] {
				t.Errorf("row %s, target %d: %v with %v", r.ID, j, ids, logProbs)
			}
		}
	}
	for _, c := range []struct {
		tokens          string
		threads, budget int
		alone           bool
	}{{one, 2, 1, false}, {one, 3, 30, true}, {three, 1, 64, false}, {three, 2, 0, false}} {
		other := options(c.tokens, t.TempDir())
		other.StoreTopK, other.Budget, other.NoPrefixSharing = n, c.budget, c.alone
		score(t, c.threads, other)
		if !reflect.DeepEqual(read(t, other.Out), want) {
			t.Errorf("%+v: other scores", c)
		}
	}
	without := options(one, t.TempDir())
	score(t, 1, without)
	for i, r := range read(t, without.Out) {
		w := want[i]
		w.TopKID, w.TopKLogProb = nil, nil
		if !reflect.DeepEqual(r, w) {
			t.Errorf("row %s: other scores without the likeliest tokens", r.ID)
		}
	}
	for _, wrong := range []int{0, n + 1} {
		again := o
		again.StoreTopK = wrong
		if _, _, err := run1(t, 1, again); err == nil || cli.Code(err) != cli.ExitUsage || !strings.Contains(err.Error(), "store_topk is \"3\"") {
			t.Errorf("--store-topk %d in a folder of 3: %v", wrong, err)
		}
	}
	for _, wrong := range []int{-1, o.K + 1} {
		refused := options(one, t.TempDir())
		refused.StoreTopK = wrong
		if _, _, err := run1(t, 1, refused); err == nil || cli.Code(err) != cli.ExitUsage || !strings.Contains(err.Error(), "--store-topk") {
			t.Errorf("--store-topk %d: %v", wrong, err)
		}
	}
	ctx := context.Background()
	v, err := Verify(ctx, o.Out, "", io.Discard)
	if err == nil {
		err = Recompute(ctx, dev, open(t, llama), nil, o.Out, "", 14, &v, io.Discard)
	}
	if err != nil || v.Recomputed != 14 {
		t.Errorf("verify: %+v, %v", v, err)
	}
	if mf, err := parquet.ReadManifest(o.Out); err != nil || mf.StoreTopK != n {
		t.Errorf("the manifest says %+v, %v", mf, err)
	}
	good := want[1]
	for name, spoil := range map[string]func(r *parquet.ScoresRow){
		"topk_id":      func(r *parquet.ScoresRow) { r.TopKID[1] = r.TopKID[0] },
		"topk_logprob": func(r *parquet.ScoresRow) { r.TopKLogProb[2] = r.TopKLogProb[0] + 1 },
	} {
		bad := good
		bad.TopKID, bad.TopKLogProb = slices.Clone(good.TopKID), slices.Clone(good.TopKLogProb)
		spoil(&bad)
		if err := inRange(&bad, o.K); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("spoilt %s: %v", name, err)
		}
	}
	if err := inRange(&good, o.K); err != nil {
		t.Error(err)
	}
}
