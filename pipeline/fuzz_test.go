package pipeline

import (
	"cmp"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"eaft/internal/bound"
	"eaft/internal/store"
)

// FuzzRunReport: whatever the stages' files hold that the report is made of, the
// page is written.
func FuzzRunReport(f *testing.F) {
	for _, s := range []string{`{"step":1,"loss":2,"lr":1e-5}`, `{"loss":1e308,"a":{"b":[1,{"c":2}]}}`, `{"loss":-1e308}`, `[1,2]`, `"x"`, `{"<b>":1,"":2}`, `{"a":1,"a":2}`, `null`, `{"step":-1,"name":"x","loss":1}`, `{"step":1e308,"name":7,"loss":1}`} {
		f.Add([]byte(s), []byte(`{"loss":1,"step":2}`), []byte(`{"accuracy":0.5,"n":3}`))
	}
	f.Add([]byte(`{"step":1,"name":"a","loss":1}`), []byte(`1`), []byte(`{"held_out":{"base":[{"name":"a"},null,[]],"last":[{"name":"a","loss":null}],"best_step":1,"merged":{"best":[7]}}}`))
	f.Fuzz(func(t *testing.T, first, second, eval []byte) {
		bound.Memory(t, len(first)+len(second)+len(eval))
		for _, data := range [][]byte{first, second, eval} {
			if !json.Valid(data) {
				return
			}
		}
		r := &RunReport{Status: &Status{Steps: []StepStatus{{Name: "eval"}}}, Training: []json.RawMessage{first, second}, HeldOut: []json.RawMessage{first, second, eval}, Summary: eval, Evaluations: map[string]json.RawMessage{"eval": eval}}
		if err := r.HTML(io.Discard); err != nil {
			t.Fatal(err)
		}
		heldOutWords(r.HeldOut)
	})
}

// FuzzPlan: whatever stands in the files of a run, where it stands is said or a file
// is refused by name, and nothing outside of its folders is touched.
func FuzzPlan(f *testing.F) {
	dir := f.TempDir()
	write := func(t testing.TB, name string, data []byte) {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write(f, "run.yaml", []byte("model: m\ncorpora: c.jsonl\nout: out\ntokenize: {shards: 2}\n"))
	write(f, "c.jsonl", []byte("{}\n"))
	c, err := Load(filepath.Join(dir, "run.yaml"), nil, someFlags)
	if err != nil {
		f.Fatal(err)
	}
	p := &Pipeline{Config: c, Runner: &Runner{Out: io.Discard, Err: io.Discard}, ModelHash: func(string) (string, error) { return "sha256:m", nil },
		ISA: func(name string) (string, error) { return cmp.Or(name, "generic"), nil }}
	plan, err := p.Plan(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	folder, key := plan[0].Folder, plan[0].Key
	manifest := []byte(`{"schema":"tokens/1","shards":[{"name":"part-00000-of-00002.parquet"}],"ledger":{"rows_in":1,"rows_out":1,"tokens":9223372036854775807}}`)
	sum, err := store.Hash(filepath.Join(dir, "c.jsonl"))
	if err != nil {
		f.Fatal(err)
	}
	record := func(rest string) string { return `{"step":"tokenize","key":"` + key + `",` + rest + `}` }
	done := func(name, rest string) string {
		return `{"shard":0,"files":[{"name":"` + name + `","sha256":"x"}],"ledger":{"rows_in":1,"rows_out":1},` + rest + `}`
	}
	shard := "out/part-00000-of-00002.parquet"
	for _, s := range [][5]string{
		{`{"isa":"amx"}`, `{}`, `{"tokenize":{"a":"b"}}`, record(`"done":true,"results":{"out/_manifest.json":"` + sum + `"}`), done(shard, `"seconds":1,"beside":2`)},
		{`{"isa":1}`, `{"corpora":{"stamp":1}}`, `[]`, record(`"attempts":[{"ended":true,"exit":3,"seconds":1e308,"workers":-1},{"ended":true,"seconds":1e308}]`), done(shard, `"seconds":1e308,"beside":-1`)},
		{``, ``, ``, record(`"attempts":[{"seconds":-1}],"done":false`), done("../../c.jsonl", `"seconds":0`)},
		{`null`, `null`, `null`, record(`"attempts":[{"ended":true,"seconds":5e-324,"peak_memory":-1}]`), done(filepath.ToSlash(dir)+"/c.jsonl", `"peak_memory":1`)},
		{`{}`, `{}`, `{}`, record(`"done":false`), done("../../c.jsonl", `"seconds":0`)},
		{`{}`, `{}`, `{}`, record(`"done":false`), done(filepath.ToSlash(dir)+"/c.jsonl", `"seconds":0`)},
		{`{}`, `{"x":{"stamp":"a","hash":"b"}}`, `{"tokenize":null}`, `{"key":"other"}`, `{"files":[]}`},
		{`{}`, `{`, `{}`, record(`"attempts":[{"ended":true,"seconds":5e-324}]`), `{"files":null,"ledger":{"rows_in":-1}}`},
	} {
		f.Add([]byte(s[0]), []byte(s[1]), []byte(s[2]), []byte(s[3]), []byte(s[4]), manifest)
		f.Add([]byte(`{}`), []byte(`{}`), []byte(`{}`), []byte(s[3]), []byte(s[4]), []byte(`{}`))
	}
	f.Fuzz(func(t *testing.T, pin, hashes, state, record, done, manifest []byte) {
		bound.Memory(t, len(pin)+len(hashes)+len(state)+len(record)+len(done)+len(manifest))
		for name, data := range map[string][]byte{"out/pin.json": pin, "out/" + hashesName: hashes, "out/" + stateName: state, folder + "/" + recordName: record,
			folder + "/out/_manifest.json": manifest, folder + "/" + shardsDir + "/00000.done.json": done, folder + "/" + shard: []byte("x")} {
			write(t, name, data)
		}
		plan, err := p.Plan(t.Context())
		if err != nil {
			if !strings.Contains(err.Error(), ".json") {
				t.Fatalf("the error names no file: %v", err)
			}
			return
		}
		st := p.status(plan)
		if err := st.JSON(io.Discard); err != nil {
			t.Fatal(err)
		}
		if err := st.Text(io.Discard); err != nil {
			t.Fatal(err)
		}
		openMetrics(st, time.Unix(0, 0))
		if err := p.intact(&plan[0]); err != nil && !strings.Contains(err.Error(), ".json") {
			t.Fatalf("the error names no file: %v", err)
		}
		if _, err := os.Stat(filepath.Join(dir, "c.jsonl")); err != nil {
			t.Fatalf("%s: a file of somebody else is gone: %v", done, err)
		}
	})
}

// FuzzRecord: a step's record is read or refused.
func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"step":"train","key":"k","parts":{"a":"b"},"done":true,"attempts":[{"started":"2026-01-02T03:04:05Z","exit":75}]}`))
	f.Add([]byte(`{"attempts":null,"key":"\u0000"}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		bound.Memory(t, len(data))
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, recordName), data, 0o666); err != nil {
			t.Fatal(err)
		}
		c := &Config{Dir: dir}
		if r, err := c.record(&Step{Name: "train", Key: "k"}); err == nil {
			c.damage(&Step{Name: "train", Key: "k", Markers: []string{recordName}}, r, true)
		}
	})
}
