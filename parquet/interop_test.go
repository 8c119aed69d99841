package parquet

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// expect turns a row into JSON: floats become the hex of their bits. Fields
// that are no columns are left out, those of an embedded row are its own.
func expect(row any) map[string]any {
	out := map[string]any{}
	v := reflect.ValueOf(row)
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("parquet"), ",")
		if name == "-" {
			continue
		}
		if v.Type().Field(i).Anonymous {
			maps.Copy(out, expect(v.Field(i).Interface()))
			continue
		}
		switch f := v.Field(i).Interface().(type) {
		case *float32:
			out[name] = nil
			if f != nil {
				out[name] = hex.EncodeToString(binary.LittleEndian.AppendUint32(nil, math.Float32bits(*f)))
			}
		case []float32:
			list := []string{}
			for _, x := range f {
				b := binary.LittleEndian.AppendUint32(nil, math.Float32bits(x))
				list = append(list, hex.EncodeToString(b))
			}
			out[name] = map[string]any{"hex": list}
		case []int32:
			out[name] = append([]int32{}, f...)
		case []Span:
			list := []any{}
			for _, s := range f {
				list = append(list, expect(s))
			}
			out[name] = list
		default:
			out[name] = f
		}
	}
	return out
}

func jsonLines[T any](t *testing.T, rows []T) string {
	t.Helper()
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	for _, r := range rows {
		if err := enc.Encode(expect(r)); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "want.jsonl")
	if err := os.WriteFile(path, buf.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestOthersReadOurs needs EAFT_PYTHON, an interpreter with the libraries.
func TestOthersReadOurs(t *testing.T) {
	python := os.Getenv("EAFT_PYTHON")
	if python == "" {
		t.Skip("EAFT_PYTHON is not set")
	}
	dir := t.TempDir()
	tokens, scores := filepath.Join(dir, "tokens.parquet"), filepath.Join(dir, "scores.parquet")
	tokenRows := append(someTokens()[:2:2], someTokens()[3:]...)
	writeTokens(t, tokens, tokenRows)
	f := func(v ...float32) []float32 { return v }
	scoreRows := []ScoresRow{
		{ID: "a", Pos: []int32{1, 5}, Token: []int32{3, 4}, LogProb: f(-1e-30, -80), Entropy: f(math.Nextafter32(1, 2), 3), TopKEntropy: f(0, 1), TopKMass: f(.1, 1), Top1LogProb: f(-.3, -2), Rank: []int32{0, 9}, Top1ID: []int32{3, 8}},
		{ID: "b"},
	}
	topRows := []scoresTopKRow{
		{ScoresRow: scoreRows[0], TopKID: []int32{3, 4, 8, 1}, TopKLogProb: f(-.3, -1.5, -2, -2.25)},
		{ScoresRow: scoreRows[1]},
	}
	weighted := filepath.Join(dir, "weighted.parquet")
	w, err := CreateWeightedTokens(weighted)
	if err != nil {
		t.Fatal(err)
	}
	var weightedRows []weightedRow
	for i, r := range tokenRows {
		if x := float32(i) + .1; i != 1 {
			r.Weight = &x
		}
		weightedRows = append(weightedRows, weightedRow{r, r.Weight})
		if err := w.Write(&r); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Commit(Meta{}); err != nil {
		t.Fatal(err)
	}
	top := filepath.Join(dir, "topk.parquet")
	for path, n := range map[string]int{scores: 0, top: 2} {
		w, err := CreateScores(path, n)
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range scoreRows {
			if n > 0 {
				r.TopKID, r.TopKLogProb = topRows[i].TopKID, topRows[i].TopKLogProb
			}
			if err := w.Write(&r); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := w.Commit(Meta{}); err != nil {
			t.Fatal(err)
		}
	}
	types := map[string][3]string{ // of input_ids, logprob and weight
		"pyarrow": {"list<element: int32 not null>", "list<element: float not null>", "float"}, "duckdb": {"INTEGER[]", "FLOAT[]", "FLOAT"},
		"polars": {"List(Int32)", "List(Float32)", "Float32"}, "datasets": {"List(Value('int32'))", "List(Value('float32'))", "Value('float32')"},
	}
	for lib, want := range types {
		for _, c := range []struct {
			column, shard, rows string
			kind                int
		}{
			{"input_ids", tokens, jsonLines(t, tokenRows), 0}, {"logprob", scores, jsonLines(t, scoreRows), 1},
			{"topk_logprob", top, jsonLines(t, topRows), 1}, {"weight", weighted, jsonLines(t, weightedRows), 2},
		} {
			t.Run(lib+"/"+filepath.Base(c.shard), func(t *testing.T) {
				out, err := exec.Command(python, "testdata/read_ours.py", lib, c.shard, c.rows).Output()
				var exit *exec.ExitError
				if errors.As(err, &exit) {
					if exit.ExitCode() == 3 {
						t.Skip(lib + " is not installed")
					}
					t.Fatalf("%v\n%s", err, exit.Stderr)
				}
				if err != nil {
					t.Fatal(err)
				}
				var got map[string]string
				if err := json.Unmarshal(out, &got); err != nil {
					t.Fatal(err)
				}
				if want := want[c.kind]; got[c.column] != want {
					t.Errorf("%s is %s, want %s", c.column, got[c.column], want)
				}
			})
		}
	}
}
