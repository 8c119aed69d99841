package parquet

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"eaft/internal/bound"
)

// FuzzReadScores: scores and audits, which other programs may have written:
// reading ends in rows whose columns fit each other, or in an error.
func FuzzReadScores(f *testing.F) {
	dir := f.TempDir()
	scores, audit := filepath.Join(dir, "s.parquet"), filepath.Join(dir, "a.parquet")
	w, err := CreateScores(scores, 2)
	if err != nil {
		f.Fatal(err)
	}
	one := func(x float32) []float32 { return []float32{x} }
	err = w.Write(&ScoresRow{ID: "a", Pos: []int32{3}, Token: []int32{7}, LogProb: one(-1), Entropy: one(2), TopKEntropy: one(1), TopKMass: one(0.9), Top1LogProb: one(-0.5),
		Rank: []int32{1}, Top1ID: []int32{8}, TopKID: []int32{8, 7}, TopKLogProb: []float32{-0.5, -1}})
	if err != nil {
		f.Fatal(err)
	}
	if _, err := w.Commit(Meta{Schema: SchemaScores, K: 20, Ledger: Ledger{RowsIn: 1, RowsOut: 1, Targets: 1}}); err != nil {
		f.Fatal(err)
	}
	a, err := CreateAudit(audit)
	if err != nil {
		f.Fatal(err)
	}
	err = a.Write(&AuditRow{ID: "a", Epoch: 1, Step: 2, Pos: []int32{3}, LogProb: one(-1), TopKEntropy: one(1), TopKMass: one(0.9), Weight: one(0.5),
		BaseLogProb: one(-1), BaseTopKEntropy: one(1), BaseTopKMass: one(0.9)})
	if err != nil {
		f.Fatal(err)
	}
	if _, err := a.Commit(Meta{Schema: SchemaAudit, Ledger: Ledger{RowsIn: 1, RowsOut: 1, Targets: 1}}); err != nil {
		f.Fatal(err)
	}
	for _, path := range []string{scores, audit} {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		bound.Memory(t, len(data))
		path := filepath.Join(t.TempDir(), "x.parquet")
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
		if r, err := OpenScores(path); err == nil {
			var row ScoresRow
			for r.Next(&row) == nil {
				n := len(row.Pos)
				if len(row.Token) != n || len(row.LogProb) != n || len(row.Top1ID) != n || len(row.TopKID) != n*r.StoreTopK() {
					t.Fatalf("a row of %d targets: %+v", n, row)
				}
			}
			r.Close()
		}
		if r, err := OpenAudit(path); err == nil {
			var row AuditRow
			for r.Next(&row) == nil {
				if n := len(row.Pos); len(row.Weight) != n || len(row.BaseLogProb) != n {
					t.Fatalf("a row of %d targets: %+v", n, row)
				}
			}
			r.Close()
		}
	})
}

// FuzzManifest: a manifest is refused, or names files of its folder, and what is
// written of it is read again.
func FuzzManifest(f *testing.F) {
	for _, s := range []string{`{"schema":"tokens/1","shards":[{"name":"part-00000-of-00001.parquet","rows":1,"bytes":4}],"ledger":{"rows_in":2,"rows_out":1,"dropped":{"x":1}}}`,
		`{"shards":[{"name":"../x.parquet"}]}`, `{"ledger":{"rows_in":9223372036854775807,"split":9223372036854775807,"rows_out":-2}}`, `{"shards":[{"name":"a.parquet","bytes":-1}]}`,
		`{"tokens":"../../etc","k":-1,"summary":{"a":1}}`, `{"ledger":{"tokens":-1,"targets":9223372036854775807}}`, `null`, `[]`, ``} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		bound.Memory(t, len(data))
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, ManifestName), data, 0o666); err != nil {
			t.Fatal(err)
		}
		m, err := ReadManifest(dir)
		if err != nil {
			if !strings.Contains(err.Error(), ManifestName) {
				t.Fatalf("the error does not name the file: %v", err)
			}
			return
		}
		for _, s := range m.Shards {
			if filepath.Dir(filepath.Join(dir, s.Name)) != dir {
				t.Fatalf("shard %q lies elsewhere", s.Name)
			}
		}
		l := m.Ledger
		if l.Tokens < 0 || l.Targets < 0 || l.Truncated < 0 {
			t.Fatalf("%+v", l)
		}
		if d, err := OpenDataset(dir, m.Schema); err == nil {
			for i := range d.Shards {
				d.ShardRows(i)
			}
			d.Verify()
		}
		if err := WriteManifest(dir, m); err != nil {
			t.Fatal(err)
		}
		again, err := ReadManifest(dir)
		if err != nil {
			t.Fatal(err)
		}
		a, _ := json.Marshal(m)
		if b, _ := json.Marshal(again); string(a) != string(b) {
			t.Fatalf("%s became %s", a, b)
		}
	})
}
