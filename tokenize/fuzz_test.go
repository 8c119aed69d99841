package tokenize

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"eaft/internal/bound"
)

// FuzzInput: whatever a file's bytes, it is read to its end or an error names
// it; of valid JSON, every record is found.
func FuzzInput(f *testing.F) {
	l := chatML(f)
	for _, seed := range []string{
		`{"text":"one"}` + "\n\n" + `{"text":"two"}`, `[{"text":"a\"\\"}, {"text":"b"}]`, `{"x":{"text":"a"},"y":{"text":"b"}}`,
		`{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}],"tools":"[{\"name\":\"f\"}]"}`,
		`{"conversations":[{"from":"human","value":"a"},{"from":"function_call","value":"{\"name\":\"f\",\"arguments\":{}}"},{"from":"observation","value":"o"}]}`,
		`{"instruction":"a","input":"i","output":"b","history":[["q","r"]],"system":"s"}`, `{"input_ids":[1,2,3],"labels":[-100,2,3]}`,
		"text,x\n\"a\"\"b\",1\n", gzipped(`{"text":"a"}`), zstdOf(`{"text":"a"}`), "[", `{"a":`, `[{}]x`, "\xEF\xBB\xBF{}", strings.Repeat("[", 1000), `{"id":[],"text":"a"}`,
	} {
		f.Add([]byte(seed), false)
		f.Add([]byte(seed), true)
	}
	o := options("x", "x")
	o.MaxLength, o.Overlong = 16, Split
	o.Dedup = &Dedup{Exact: true, Near: 0.8}
	f.Fuzz(func(t *testing.T, data []byte, csv bool) {
		name := "x.jsonl"
		if csv {
			name = "x.csv"
		}
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		bound.Memory(t, len(data))
		s := &source{path: path, name: name}
		err := s.survey(nil)
		if err != nil && !strings.Contains(err.Error(), path) {
			t.Fatalf("an error that does not name the file: %v", err)
		}
		if want, ok := countJSON(data); ok && !csv && s.records != want {
			t.Fatalf("%d records, want %d (%v)", s.records, want, err)
		}
		if err == nil {
			r := &run{l: l, o: &o}
			err := s.each(nil, func(_, raw []byte) error {
				for _, p := range r.process(record{raw: raw, layout: s.layout}).pieces {
					if p.row != nil && (len(p.row.InputIDs) > 16 || len(p.row.Labels) != len(p.row.InputIDs)) {
						t.Fatalf("a row of %d tokens and %d labels", len(p.row.InputIDs), len(p.row.Labels))
					}
				}
				return nil
			})
			if err != nil {
				t.Fatalf("the second reading: %v", err)
			}
		}
	})
}

// countJSON counts the records of one valid JSON array, or of lines that are
// each a valid value and begin with an object.
func countJSON(data []byte) (int64, bool) {
	data = bytes.TrimSpace(data)
	if len(data) == 0 || bytes.HasPrefix(data, magicGzip) {
		return 0, false
	}
	if data[0] == '[' {
		var list []json.RawMessage
		err := json.Unmarshal(data, &list)
		return int64(len(list)), err == nil
	}
	n := int64(0)
	for i, line := range bytes.Split(data, []byte("\n")) {
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		var fields map[string]json.RawMessage
		if json.Unmarshal(line, &fields) != nil || i == 0 && keyedLine(fields) {
			return 0, false
		}
		n++
	}
	return n, true
}

func keyedLine(fields map[string]json.RawMessage) bool {
	for _, v := range fields {
		if v[0] == '{' {
			return true
		}
	}
	return false
}
