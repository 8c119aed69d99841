package report

import (
	"encoding/binary"
	"encoding/json"
	"io"
	"math"
	"os"
	"path/filepath"
	"testing"

	"eaft/eaft"
	"eaft/internal/bound"
	"eaft/internal/cli"
	"eaft/parquet"
)

// words gives the bits of data, four bytes at a time; ok is false at its end.
type words []byte

func (w *words) next() (bits uint32, ok bool) {
	if len(*w) < 4 {
		return 0, false
	}
	bits = binary.LittleEndian.Uint32(*w)
	*w = (*w)[4:]
	return bits, true
}

func (w *words) floats(lists ...[]float32) {
	for _, list := range lists {
		for i := range list {
			if bits, ok := w.next(); ok {
				list[i] = math.Float32frombits(bits)
			}
		}
	}
}

func (w *words) ints(lists ...[]int32) {
	for _, list := range lists {
		for i := range list {
			if bits, ok := w.next(); ok {
				list[i] = int32(bits)
			}
		}
	}
}

// hostileWords are numbers that no model gives.
func hostileWords(f *testing.F, add func(data []byte)) {
	add(nil)
	for _, bits := range []uint32{0x7fc00000, 0x7f800000, 0xff800000, 0x80000000, 0, 0x7f7fffff, 0xff7fffff, 1, 0x3f800000, 0x3f7fffff, 9, 1 << 16} {
		data := binary.LittleEndian.AppendUint32(nil, bits)
		add(data)
		for range 9 {
			data = append(data, data...)
		}
		add(data)
	}
}

// FuzzInspect: whatever numbers scores hold, well-formed ones, everything that is
// said and written of them is, or is refused. The upper bits of how say what.
func FuzzInspect(f *testing.F) {
	const likeliest = 2
	base, tokens := writeTopK(f, small, "all", likeliest)
	hostileWords(f, func(data []byte) {
		for how := range 8 {
			f.Add(data, testK, byte(how<<5+how))
		}
		f.Add(data, math.MaxInt, byte(0))
	})
	for _, k := range []int{0, 1, -1} {
		f.Add([]byte{}, k, byte(0))
	}
	rows := map[string][]parquet.ScoresRow{}
	d, err := parquet.OpenDataset(base, parquet.SchemaScores)
	must(f, err)
	for _, path := range d.Shards {
		r, err := parquet.OpenScores(path)
		must(f, err)
		for range r.NumRows() {
			var row parquet.ScoresRow
			must(f, r.Next(&row))
			rows[filepath.Base(path)] = append(rows[filepath.Base(path)], row)
		}
		r.Close()
	}
	vocabulary, err := os.ReadFile(filepath.Join(base, "_tokenizer.json"))
	must(f, err)
	f.Fuzz(func(t *testing.T, data []byte, k int, how byte) {
		bound.Memory(t, len(data))
		scores := filepath.Join(t.TempDir(), "scores")
		must(t, os.Mkdir(scores, 0o777))
		m := *d.Manifest
		m.K, m.Tokens, m.Shards = k, tokens, nil
		w := words(data)
		for _, path := range d.Shards {
			sw, err := parquet.CreateScores(filepath.Join(scores, filepath.Base(path)), likeliest)
			must(t, err)
			for _, row := range rows[filepath.Base(path)] {
				s := row
				for _, list := range []*[]float32{&s.LogProb, &s.Entropy, &s.TopKEntropy, &s.TopKMass, &s.Top1LogProb, &s.TopKLogProb} {
					*list = append([]float32(nil), *list...)
					w.floats(*list)
				}
				for _, list := range []*[]int32{&s.Rank, &s.Top1ID, &s.TopKID} {
					*list = append([]int32(nil), *list...)
					w.ints(*list)
				}
				must(t, sw.Write(&s))
			}
			info, err := sw.Commit(parquet.Meta{Schema: parquet.SchemaScores, K: k})
			must(t, err)
			m.Shards = append(m.Shards, info)
		}
		if how&16 != 0 {
			m.Tokens, m.Targets = "", "trained"
		}
		must(t, parquet.WriteManifest(scores, &m))
		if how&1 == 0 {
			must(t, os.WriteFile(filepath.Join(scores, "_tokenizer.json"), vocabulary, 0o666))
		}
		thresholds := "q=0.15"
		if how&2 != 0 {
			thresholds = "p<=1,h<=1"
		}
		o := options(t, scores, thresholds)
		o.Estimator = []eaft.Estimator{eaft.Renorm, eaft.Trunc, eaft.Full}[how/4%3]
		o.Shown, o.WhatIf = 9, []eaft.Cuts{{Prob: 0.5, H: 0.5}}
		all, err := ParseWhere("rank>=0")
		must(t, err)
		switch how >> 5 {
		case 0, 1:
			r, err := Build(t.Context(), o)
			if err != nil {
				break
			}
			must(t, Text(io.Discard, r, true))
			must(t, JSON(io.Discard, r))
			must(t, HTML(io.Discard, r))
			if r.Rows != int64(len(small)) {
				t.Fatalf("%d rows of %d", r.Rows, len(small))
			}
		case 2, 3:
			if r, err := FindRow(t.Context(), o, small[k&1].id); err == nil {
				must(t, r.Text(io.Discard, true))
				must(t, JSON(io.Discard, r))
			}
		case 4, 5:
			if d, err := BuildDiff(t.Context(), o, scores); err == nil {
				must(t, d.Text(io.Discard, true))
				must(t, JSON(io.Discard, d))
			}
		case 6:
			for _, format := range Formats {
				if err := Export(t.Context(), io.Discard, o, all, format); err != nil && cli.Code(err) != cli.ExitUsage {
					t.Fatal(err)
				}
			}
		case 7:
			if _, err := Filter(t.Context(), o, all, "mask", filepath.Join(t.TempDir(), "out")); err != nil && cli.Code(err) != cli.ExitUsage {
				t.Fatal(err)
			}
		}
	})
}

// FuzzAudit: whatever a run's record and summary say and its audit's numbers are,
// the audit is made and written, or refused.
func FuzzAudit(f *testing.F) {
	w := newAuditWorld(f, 8)
	record, err := os.ReadFile(filepath.Join(w.run, "run.json"))
	must(f, err)
	hostileWords(f, func(data []byte) {
		f.Add(record, []byte(`{"conflicts":{"cuts":{"prob":0.1,"h":0.2,"min_mass":0.9}}}`), data, false)
		f.Add(record, []byte(`{"conflicts":{"cuts":{"prob":0.1,"h":0.2,"min_mass":0.9}}}`), data, true)
	})
	var fields map[string]json.RawMessage
	must(f, json.Unmarshal(record, &fields))
	for _, ledger := range []string{`{"rows_in":8,"rows_out":9223372036854775807}`, `{"rows_in":8,"rows_out":8,"tokens":4611686018427387904}`, `{"rows_out":-1}`, `{"rows_in":1,"rows_out":1,"targets":1125899906842624}`, `null`, `[]`, `{}`} {
		fields["ledger"] = json.RawMessage(ledger)
		data, err := json.Marshal(fields)
		must(f, err)
		f.Add(data, []byte(`{"conflicts":{"cuts":{}}}`), []byte{}, true)
		f.Add(data, []byte(`{"conflicts":{}}`), []byte{}, false)
	}
	for _, s := range []string{``, `null`, `[]`, `{"hashes":null}`, `{"conflicts":{"cuts":[]}}`} {
		f.Add([]byte(s), []byte(s), []byte{}, false)
		f.Add(record, []byte(s), []byte{}, true)
	}
	audit := filepath.Join(w.run, "audit")
	d, err := parquet.OpenDataset(audit, parquet.SchemaAudit)
	must(f, err)
	f.Fuzz(func(t *testing.T, record, summary, data []byte, alone bool) {
		bound.Memory(t, len(record)+len(summary)+len(data))
		run := t.TempDir()
		must(t, os.WriteFile(filepath.Join(run, "run.json"), record, 0o666))
		must(t, os.WriteFile(filepath.Join(run, "summary.json"), summary, 0o666))
		must(t, os.WriteFile(filepath.Join(run, "metrics.jsonl"), []byte(`{"step":1,"loss":1}`), 0o666))
		must(t, os.Mkdir(filepath.Join(run, "audit"), 0o777))
		m := *d.Manifest
		m.Tokens, m.Scores, m.Shards = w.tokens, w.scores, nil
		if alone {
			m.Tokens, m.Scores = "", ""
		}
		bits := words(data)
		for _, path := range d.Shards {
			r, err := parquet.OpenAudit(path)
			must(t, err)
			aw, err := parquet.CreateAudit(filepath.Join(run, "audit", filepath.Base(path)))
			must(t, err)
			for range r.NumRows() {
				var a parquet.AuditRow
				must(t, r.Next(&a))
				bits.floats(a.LogProb, a.TopKEntropy, a.TopKMass, a.Weight, a.BaseLogProb, a.BaseTopKEntropy, a.BaseTopKMass)
				if x, ok := bits.next(); ok {
					a.Epoch, a.Step = int32(x), int32(x>>7)
				}
				must(t, aw.Write(&a))
			}
			r.Close()
			info, err := aw.Commit(parquet.Meta{Schema: parquet.SchemaAudit})
			must(t, err)
			m.Shards = append(m.Shards, info)
		}
		must(t, parquet.WriteManifest(filepath.Join(run, "audit"), &m))
		o := DefaultAuditOptions()
		o.Run = run
		a, err := BuildAudit(t.Context(), o)
		if err != nil {
			if cli.Code(err) != cli.ExitUsage {
				t.Fatal(err)
			}
			return
		}
		must(t, a.Text(io.Discard, true))
		must(t, JSON(io.Discard, a))
		must(t, a.HTML(io.Discard))
		if a.Rows == 0 {
			t.Fatal("no rows of a run that has visits")
		}
	})
}
