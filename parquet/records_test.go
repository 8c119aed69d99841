package parquet

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"eaft/internal/bound"
)

func records(path string) (out []string, err error) {
	r, err := OpenRecords(path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	for {
		raw, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		out = append(out, string(raw))
	}
}

// Nested rows of other writers; testdata/make_records.py wrote them.
func TestRecords(t *testing.T) {
	files, _ := filepath.Glob("testdata/records/*.parquet")
	if len(files) < 7 {
		t.Fatal("fixtures are missing")
	}
	for _, path := range files {
		got, err := records(path)
		if err != nil {
			t.Error(err)
			continue
		}
		data, err := os.ReadFile(strings.TrimSuffix(path, ".parquet") + ".jsonl")
		if err != nil {
			t.Fatal(err)
		}
		want := strings.Split(strings.TrimSpace(string(data)), "\n")
		if len(got) != len(want) {
			t.Errorf("%s: %d rows, want %d", path, len(got), len(want))
			continue
		}
		for i := range want {
			if !reflect.DeepEqual(decoded(t, got[i]), decoded(t, want[i])) {
				t.Errorf("%s: row %d is\n%s, want\n%s", path, i, got[i], want[i])
			}
		}
	}
}

func decoded(t *testing.T, s string) (v any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(s))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v: %s", err, s)
	}
	return numbers(v)
}

// numbers makes those that are written in several ways the same.
func numbers(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			v[k] = numbers(e)
		}
	case []any:
		for i, e := range v {
			v[i] = numbers(e)
		}
	case json.Number:
		if f, err := v.Float64(); err == nil && strings.ContainsAny(v.String(), ".e") {
			return f
		}
	}
	return v
}

// FuzzRecords: whatever the bytes, reading ends in JSON objects or an error.
func FuzzRecords(f *testing.F) {
	seeds, _ := filepath.Glob("testdata/records/*.parquet")
	more, _ := filepath.Glob("testdata/good_*.parquet")
	for _, path := range append(seeds, more...) {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "x.parquet")
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
		bound.Memory(t, len(data))
		rows, _ := records(path)
		for _, r := range rows {
			if !json.Valid([]byte(r)) {
				t.Fatalf("no JSON: %q", r)
			}
		}
	})
}

// Every single flipped byte of a nested file is read without a panic.
func TestFlippedRecords(t *testing.T) {
	data, err := os.ReadFile("testdata/records/pyarrow.parquet")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "x.parquet")
	for i := range data {
		data[i] ^= 0x5a
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
		records(path)
		data[i] ^= 0x5a
	}
}
