package parquet

import (
	"fmt"

	pq "github.com/parquet-go/parquet-go"
)

// ScoresReader reads scores/1 in order.
type ScoresReader struct {
	*reader
	id     *column
	ints   [4]*column // pos, token, rank, top1_id
	floats [5]*column // logprob, entropy, topk_entropy, topk_mass, top1_logprob

	topID, topLogProb *column
}

// OpenScores opens a shard and checks its schema.
func OpenScores(path string) (r *ScoresReader, err error) {
	base, err := openReader(path)
	if err != nil {
		return nil, err
	}
	r = &ScoresReader{reader: base}
	defer func() {
		if err = r.ready(recover()); err != nil {
			r = nil
		}
	}()
	r.id = r.scalar("id", "a string", true, pq.ByteArray)
	for i, name := range []string{"pos", "token", "rank", "top1_id"} {
		r.ints[i] = r.list(name, "an integer", true, pq.Int32, pq.Int64)
	}
	for i, name := range []string{"logprob", "entropy", "topk_entropy", "topk_mass", "top1_logprob"} {
		r.floats[i] = r.list(name, "float32", true, pq.Float)
	}
	if r.own.StoreTopK != 0 {
		r.topID = r.list("topk_id", "an integer", true, pq.Int32, pq.Int64)
		r.topLogProb = r.list("topk_logprob", "float32", true, pq.Float)
	}
	known := []string{"id", "pos", "token", "logprob", "entropy", "topk_entropy", "topk_mass", "top1_logprob", "rank", "top1_id"}
	if r.own.StoreTopK != 0 {
		known = append(known, "topk_id", "topk_logprob")
	}
	r.only(r.pq.Root().Columns(), "", known...)
	return r, nil
}

// Meta is what the shard's footer says of it; empty if it is not ours.
func (r *ScoresReader) Meta() Meta { return r.own }

// StoreTopK is how many likeliest tokens of each target the shard stores.
func (r *ScoresReader) StoreTopK() int { return r.own.StoreTopK }

// Next reads the next row into fresh slices; io.EOF after the last one.
func (r *ScoresReader) Next(s *ScoresRow) error {
	return r.next(func() error {
		*s = ScoresRow{}
		id, ok, err := r.id.text()
		if err := must(r.id, ok, err); err != nil {
			return err
		}
		s.ID = id
		for i, dst := range []*[]int32{&s.Pos, &s.Token, &s.Rank, &s.Top1ID} {
			if err := r.int32List(dst, r.ints[i]); err != nil {
				return err
			}
		}
		for i, dst := range []*[]float32{&s.LogProb, &s.Entropy, &s.TopKEntropy, &s.TopKMass, &s.Top1LogProb} {
			if err := r.float32List(dst, r.floats[i], len(s.Pos)); err != nil {
				return err
			}
		}
		if err := s.sameLens(); err != nil {
			return err
		}
		if r.topID != nil {
			if err := r.int32List(&s.TopKID, r.topID); err != nil {
				return err
			}
			if err := r.float32List(&s.TopKLogProb, r.topLogProb, len(s.TopKID)); err != nil {
				return err
			}
			if err := s.topKLens(r.own.StoreTopK); err != nil {
				return err
			}
		}
		return ascending(s.Pos)
	})
}

func ascending(pos []int32) error {
	last := int32(0) // the first token of a row is never a target
	for i, p := range pos {
		if p <= last {
			return fmt.Errorf("column pos, element %d: %d does not ascend from %d", i, p, last)
		}
		last = p
	}
	return nil
}

// AuditReader reads audit/1 in order.
type AuditReader struct {
	*reader
	id, epoch, step, pos *column
	floats               [7]*column // auditFloats
}

var auditFloats = [7]string{"logprob", "topk_entropy", "topk_mass", "weight", "base_logprob", "base_topk_entropy", "base_topk_mass"}

// OpenAudit opens a shard and checks its schema.
func OpenAudit(path string) (r *AuditReader, err error) {
	base, err := openReader(path)
	if err != nil {
		return nil, err
	}
	r = &AuditReader{reader: base}
	defer func() {
		if err = r.ready(recover()); err != nil {
			r = nil
		}
	}()
	r.id = r.scalar("id", "a string", true, pq.ByteArray)
	r.epoch = r.scalar("epoch", "int32", true, pq.Int32)
	r.step = r.scalar("step", "int32", true, pq.Int32)
	r.pos = r.list("pos", "an integer", true, pq.Int32, pq.Int64)
	for i, name := range auditFloats {
		r.floats[i] = r.list(name, "float32", true, pq.Float)
	}
	r.only(r.pq.Root().Columns(), "", append(auditFloats[:], "id", "epoch", "step", "pos")...)
	return r, nil
}

// Next reads the next row into fresh slices; io.EOF after the last one.
func (r *AuditReader) Next(a *AuditRow) error {
	return r.next(func() error {
		*a = AuditRow{}
		id, ok, err := r.id.text()
		if err := must(r.id, ok, err); err != nil {
			return err
		}
		a.ID = id
		epoch, ok, err := r.epoch.int64()
		if err := must(r.epoch, ok, err); err != nil {
			return err
		}
		step, ok, err := r.step.int64()
		if err := must(r.step, ok, err); err != nil {
			return err
		}
		a.Epoch, a.Step = int32(epoch), int32(step)
		if err := r.int32List(&a.Pos, r.pos); err != nil {
			return err
		}
		for i, dst := range []*[]float32{&a.LogProb, &a.TopKEntropy, &a.TopKMass, &a.Weight, &a.BaseLogProb, &a.BaseTopKEntropy, &a.BaseTopKMass} {
			if err := r.float32List(dst, r.floats[i], len(a.Pos)); err != nil {
				return err
			}
		}
		if err := a.sameLens(); err != nil {
			return err
		}
		return ascending(a.Pos)
	})
}
