package tokenize

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"eaft/internal/cli"
	"eaft/parquet"
)

// weightedRows are the rows of a dataset by their ids, and whether all shards, or none,
// have the column weight.
func weightedRows(t *testing.T, dir string) (rows map[string]parquet.TokensRow, weighted bool) {
	t.Helper()
	d, err := parquet.OpenDataset(dir, schema)
	if err != nil {
		t.Fatal(err)
	}
	rows = map[string]parquet.TokensRow{}
	for i, shard := range d.Shards {
		r, err := parquet.OpenTokens(shard)
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 && r.Weighted() != weighted {
			t.Errorf("%s and the shards before it differ in their columns", shard)
		}
		weighted = r.Weighted()
		for {
			var row parquet.TokensRow
			if err := r.Next(&row); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			rows[row.ID] = row
		}
		r.Close()
	}
	return rows, weighted
}

// weightedCorpus has n rows, each third one without a weight, the others with a
// quarter of their number.
func weightedCorpus(t *testing.T, n int) string {
	t.Helper()
	var b strings.Builder
	for i := range n {
		weight := fmt.Sprintf(`,"meta":{"w":%v}`, float64(i)/4)
		switch {
		case i%6 == 2:
			weight = ""
		case i%6 == 5:
			weight = `,"meta":{"w":null}`
		case i%6 == 4:
			weight = fmt.Sprintf(`,"meta":{"w":" %v "}`, float64(i)/4) // as CSV has them
		}
		fmt.Fprintf(&b, `{"id":"r%d","question":"Tell me %d","answer":"It is %d, as far as I know"%s}`+"\n", i, i, i, weight)
	}
	path := filepath.Join(t.TempDir(), "in.jsonl")
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// A row has the weight of its record, whatever order, split, shard or piece it comes
// into; nothing else of it changes, and without the mapping there is no column.
func TestRowWeights(t *testing.T) {
	const n = 60
	l, in := chatML(t), weightedCorpus(t, n)
	seed := uint64(3)
	change := map[string]func(o *Options){
		"plain":   func(o *Options) {},
		"pieces":  func(o *Options) { o.MaxLength, o.Overlong = 12, Split },
		"cut":     func(o *Options) { o.MaxLength, o.Overlong = 20, Truncate },
		"shuffle": func(o *Options) { o.Shuffle, o.Split = &seed, []Share{{"held-out", 0.3}} },
	}
	for name, change := range change {
		all := map[bool]map[string]parquet.TokensRow{}
		for _, mapped := range []bool{false, true} {
			o := options(t.TempDir(), in)
			o.Shards = 7
			if change(&o); mapped {
				o.Map = map[string]string{weightTarget: "meta.w"}
			}
			made, _, err := Run(context.Background(), l, o)
			if err != nil {
				t.Fatal(err)
			}
			all[mapped] = map[string]parquet.TokensRow{}
			var sum *Weights
			for _, d := range made {
				rows, weighted := weightedRows(t, d.Dir)
				if weighted != mapped {
					t.Errorf("%s: the column is there: %v, asked for: %v", name, weighted, mapped)
				}
				for id, row := range rows {
					all[mapped][id] = row
				}
				r, err := d.report()
				if err != nil {
					t.Fatal(err)
				}
				sum = sum.add(r.Weights)
			}
			if !mapped && sum != nil {
				t.Errorf("%s: weights without a mapping: %+v", name, *sum)
			}
			if !mapped {
				continue
			}
			have, least, most := int64(0), float32(1e9), float32(-1)
			for _, row := range all[true] {
				if row.Weight != nil {
					have, least, most = have+1, min(least, *row.Weight), max(most, *row.Weight)
				}
			}
			if sum == nil || *sum != (Weights{have, least, most}) || have < 2*n/3 {
				t.Errorf("%s: the report says %+v of %d weights from %v to %v", name, sum, have, least, most)
			}
		}
		if len(all[true]) < n || len(all[true]) != len(all[false]) {
			t.Fatalf("%s: %d rows with weights, %d without", name, len(all[true]), len(all[false]))
		}
		for id, row := range all[true] {
			want := (*float32)(nil)
			if row.Row%3 != 2 {
				w := float32(row.Row) / 4
				want = &w
			}
			if (row.Weight == nil) != (want == nil) || want != nil && *row.Weight != *want {
				t.Errorf("%s: row %s of record %d has the weight %v", name, id, row.Row, row.Weight)
			}
			other := all[false][id]
			if row.Text != other.Text || fmt.Sprint(row.InputIDs, row.Labels, row.Spans) != fmt.Sprint(other.InputIDs, other.Labels, other.Spans) {
				t.Errorf("%s: the mapping changes row %s", name, id)
			}
		}
	}
}

// What is no weight makes its row a reject that names the field; rows that differ in
// their weight alone are one row.
func TestRowWeightsRefused(t *testing.T) {
	l := chatML(t)
	line := func(w string) string {
		return fmt.Sprintf(`{"question":"Tell me","answer":"It is so","weight":%s}`, w)
	}
	o := options("")
	o.Map = map[string]string{weightTarget: "weight"}
	for _, w := range []string{"-1", "-0.001", "1e39", `"NaN"`, `"inf"`, `"heavy"`, "true", "[1]", "{}"} {
		_, err := encodeOne(l, &o, line(w))
		var why *reject
		if !errors.As(err, &why) || why.reason != wrongType || !strings.HasPrefix(why.detail, "weight is ") {
			t.Errorf("%s: %v", w, err)
		}
	}
	for w, want := range map[string]float32{"0": 0, "0.1": 0.1, "-0.0": 0, "1e-3": 1e-3, `"2.5"`: 2.5, "3.4e38": 3.4e38} {
		if row, err := encodeOne(l, &o, line(w)); err != nil || row.Weight == nil || *row.Weight != want {
			t.Errorf("%s: %+v, %v", w, row, err)
		}
	}
	for _, w := range []string{"null", `""`} {
		if row, err := encodeOne(l, &o, line(w)); err != nil || row.Weight != nil {
			t.Errorf("%s: %+v, %v", w, row, err)
		}
	}

	write := func(lines ...string) string {
		path := filepath.Join(t.TempDir(), "in.jsonl")
		if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	run := func(in string, change func(o *Options)) (string, error) {
		o := options(t.TempDir(), in)
		o.Map = map[string]string{weightTarget: "weight"}
		change(&o)
		_, _, err := Run(context.Background(), l, o)
		return o.Out, err
	}
	dir, err := run(write(line("1"), line("-2"), line("0.5")), func(o *Options) { o.Dedup = &Dedup{} })
	if err != nil {
		t.Fatal(err)
	}
	rejects := folder(t, dir)["rejects.jsonl"]
	if !strings.Contains(rejects, `{"source":"in.jsonl","row":1,"reason":"wrong type","detail":"weight is \"-2\", and a weight is a finite number >= 0"}`) ||
		!strings.Contains(rejects, `"row":2,"reason":"duplicate"`) {
		t.Errorf("the rejects are %s", rejects)
	}
	_, err = run(write(line("1"), line("-2")), func(o *Options) { o.MaxReject = 0.01 })
	if cli.Code(err) != cli.ExitGate || !strings.Contains(err.Error(), "in.jsonl, record 1: weight is") {
		t.Errorf("over --max-reject: %v", err)
	}
	dir, err = run(write(line("1"), line("2")), func(o *Options) { o.Map[weightTarget] = "wieght" })
	if cli.Code(err) != cli.ExitUsage || !strings.Contains(err.Error(), "--map weight=wieght: no row has this field") {
		t.Errorf("a field that is not there: %v", err)
	}
	if _, err := parquet.OpenDataset(dir, schema); err == nil && folder(t, dir)[parquet.ManifestName] != "" {
		t.Error("there is a dataset of it")
	}
	if _, err := run(write(line(`"a"`), line(`"b"`)), func(o *Options) {}); err == nil || !strings.Contains(err.Error(), `record 0: wrong type: weight is "a"`) {
		t.Errorf("a field of words: %v", err)
	}
}
