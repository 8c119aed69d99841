package model_test

import (
	"strings"
	"testing"

	"eaft/compute"
	"eaft/model"
)

func TestBatchesThatAreRefused(t *testing.T) {
	m := load(t, newDevice(t, 1), "testdata/llama", model.Options{})
	ids, cu := []int32{5, 6, 7, 8}, []int32{0, 2, 4}
	for _, c := range []struct {
		b       model.Batch
		targets []int32
		k       int
		says    string
	}{
		{model.Batch{IDs: []int32{5, 6, 7, 97}, CuSeqlens: cu}, []int32{1}, 20, "row 1, position 1: token id 97 lies outside the model's vocabulary of 97"},
		{model.Batch{IDs: []int32{-1, 6, 7, 8}, CuSeqlens: cu}, []int32{1}, 20, "row 0, position 0: token id -1"},
		{model.Batch{IDs: ids, CuSeqlens: []int32{0, 2}}, []int32{1}, 20, "cu_seqlens"},
		{model.Batch{IDs: ids, CuSeqlens: nil}, []int32{1}, 20, "cu_seqlens"},
		{model.Batch{IDs: ids, CuSeqlens: []int32{0, 5, 4}}, []int32{1}, 20, "cu_seqlens[2]"},
		{model.Batch{IDs: ids, CuSeqlens: cu}, []int32{2}, 20, "first token of row 1"},
		{model.Batch{IDs: ids, CuSeqlens: cu}, []int32{0}, 20, "first token of row 0"},
		{model.Batch{IDs: ids, CuSeqlens: cu}, []int32{4}, 20, "position 4 of a batch of 4"},
		{model.Batch{IDs: ids, CuSeqlens: cu}, []int32{3, 1}, 20, "does not ascend"},
		{model.Batch{IDs: ids, CuSeqlens: cu}, []int32{1}, 0, "k is 0"},
		{model.Batch{IDs: ids, CuSeqlens: cu}, []int32{1}, 98, "k is 98"},
		{model.Batch{IDs: ids, CuSeqlens: cu, Parent: []int32{-1}}, []int32{1}, 20, "1 parents are given for 2 segments"},
		{model.Batch{IDs: ids, CuSeqlens: cu, Parent: []int32{-1, 1}}, []int32{1}, 20, "the parent of segment 1 is 1"},
		{model.Batch{IDs: ids, CuSeqlens: cu, Parent: []int32{-1, -2}}, []int32{1}, 20, "the parent of segment 1 is -2"},
		{model.Batch{IDs: ids, CuSeqlens: cu, Parent: []int32{-1, -1}}, []int32{2}, 20, "first token of row 1"},
		{model.Batch{IDs: ids, CuSeqlens: []int32{0, 0, 4}, Parent: []int32{-1, 0}}, []int32{0}, 20, "first token of row 1"},
		{model.Batch{IDs: []int32{5, 6, 7, 97}, CuSeqlens: cu, Parent: []int32{-1, 0}}, []int32{1}, 20, "row 1, position 3: token id 97"},
	} {
		_, err := m.Score(c.b, c.targets, c.k)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v %v: the error should say %q: %v", c.b, c.targets, c.says, err)
		}
	}
	if _, err := m.Accumulate(model.Batch{IDs: ids, CuSeqlens: cu}, []int32{1}, 20, nil); err == nil {
		t.Error("a model loaded for scoring accumulates gradients")
	}
	train := load(t, newDevice(t, 1), "testdata/llama", model.Options{Train: true})
	if _, err := train.Accumulate(model.Batch{IDs: ids, CuSeqlens: cu, Parent: []int32{-1, 0}}, []int32{1}, 20, nil); err == nil || !strings.Contains(err.Error(), "parents") {
		t.Errorf("training on rows that share a prefix: %v", err)
	}
	// Empty rows and no targets are nothing to complain about.
	stats, err := m.Score(model.Batch{IDs: ids, CuSeqlens: []int32{0, 0, 4, 4}}, nil, 20)
	if err != nil || len(stats.LogProb) != 0 {
		t.Errorf("no targets: %v, %v", stats, err)
	}
	if _, err := m.Score(model.Batch{IDs: ids, CuSeqlens: []int32{0, 0, 4, 4}}, []int32{1, 3}, 20); err != nil {
		t.Error(err)
	}
}

func TestRandomInit(t *testing.T) {
	dir := copyFolder(t, "qwen2", func(map[string]any) {})
	dev := newDevice(t, 2)
	e := readExpected(t, "qwen2")
	score := func(seed uint64, train bool) *compute.HeadStats {
		s, err := load(t, dev, dir, model.Options{RandomInit: true, Seed: seed, Train: train}).Score(e.batch, e.targets, topK)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	a, b, c := score(1, false), score(1, true), score(2, false)
	sameBits(t, "one seed", a, b, 0, len(e.targets))
	if a.LogProb[0] == c.LogProb[0] {
		t.Error("two seeds give one model")
	}
	for _, p := range load(t, dev, dir, model.Options{RandomInit: true, Train: true}).Params() {
		w := read(dev, p.Value)
		sum, square := 0.0, 0.0
		for _, x := range w {
			sum += float64(x)
			square += float64(x) * float64(x)
		}
		n := float64(len(w))
		switch {
		case p.Decay: // 500 draws or more: the deviation is good to 15% at four sigma
			if std := square/n - sum*sum/n/n; std < 0.016*0.016 || std > 0.024*0.024 {
				t.Errorf("%s has variance %g, want 0.02^2", p.Name, std)
			}
		case strings.HasSuffix(p.Name, "norm.weight"):
			if sum != n {
				t.Errorf("%s is not all ones", p.Name)
			}
		default:
			if square != 0 {
				t.Errorf("%s is not zero", p.Name)
			}
		}
	}
}
