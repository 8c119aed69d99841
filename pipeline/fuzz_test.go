package pipeline

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"

	"eaft/internal/bound"
)

// FuzzRunReport: whatever the stages' files hold that the report is made of, the
// page is written.
func FuzzRunReport(f *testing.F) {
	for _, s := range []string{`{"step":1,"loss":2,"lr":1e-5}`, `{"loss":1e308,"a":{"b":[1,{"c":2}]}}`, `{"loss":-1e308}`, `[1,2]`, `"x"`, `{"<b>":1,"":2}`, `{"a":1,"a":2}`, `null`} {
		f.Add([]byte(s), []byte(`{"loss":1,"step":2}`), []byte(`{"accuracy":0.5,"n":3}`))
	}
	f.Fuzz(func(t *testing.T, first, second, eval []byte) {
		bound.Memory(t, len(first)+len(second)+len(eval))
		for _, data := range [][]byte{first, second, eval} {
			if !json.Valid(data) {
				return
			}
		}
		r := &RunReport{Status: &Status{Steps: []StepStatus{{Name: "eval"}}}, Training: []json.RawMessage{first, second}, Evaluations: map[string]json.RawMessage{"eval": eval}}
		if err := r.HTML(io.Discard); err != nil {
			t.Fatal(err)
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
