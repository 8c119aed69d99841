package report

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"eaft/internal/bound"
)

// FuzzWhere: a filter is refused, or says of a target yes or no, and its
// contrary the contrary.
func FuzzWhere(f *testing.F) {
	for _, s := range []string{"p<=0.1 and h<0.2 and class=digit and source~math", "conflict", "not conflict AND rank>=3", "id='a'", "p!=1e-400", "token~ and ", "expected_p=NaN", "why=content", "row==1", "source~a and b"} {
		f.Add(s)
	}
	x := &Target{ID: "a", Source: "math.jsonl", Class: "digit", Why: "content", Role: "assistant", Text: "1", ExpectedText: "2"}
	f.Fuzz(func(t *testing.T, s string) {
		bound.Memory(t, len(s))
		w, err := ParseWhere(s)
		if err != nil {
			return
		}
		yes := w.matches(x)
		if len(w.terms) != 1 {
			return
		}
		contrary := map[string]string{"<": ">=", "<=": ">", ">": "<=", ">=": "<", "=": "!=", "!=": "=", "conflict": "not conflict", "not conflict": "conflict"}
		if other, ok := contrary[w.terms[0].op]; ok {
			w.terms[0].op = other
			if w.matches(x) == yes {
				t.Fatalf("%q and its contrary say %v", s, yes)
			}
		}
	})
}

// FuzzCondition: a gate is refused, or compares a number that the report has.
func FuzzCondition(f *testing.F) {
	for _, s := range []string{"conflict_rate>0.03", "by_class.digit.conflict_rate<=1", "a.b.c==1e400", "x!=-0", ">1", "by_class.0.n>=1", "a..b>1", "p=0.1,h=0.05", "a>0x1p4"} {
		f.Add(s, []byte(`{"conflict_rate":0.1,"by_class":[{"name":"digit","conflict_rate":1},{"n":2}],"a.b":{"c":null}}`))
	}
	f.Fuzz(func(t *testing.T, s string, tree []byte) {
		bound.Memory(t, len(s)+len(tree))
		ParseWhatIf(s)
		c, err := ParseCondition(s)
		if err != nil || !json.Valid(tree) {
			return
		}
		if math.IsNaN(c.bound) {
			t.Fatalf("%q has the bound %v", s, c.bound)
		}
		Failed(json.RawMessage(tree), []Condition{c})
	})
}

// FuzzCurve: metrics.jsonl is refused or becomes at most as many points as a
// curve has.
func FuzzCurve(f *testing.F) {
	for _, s := range []string{`{"step":1,"loss":2.5,"sft_loss":3,"mean_weight":0.5,"grad_norm":1,"lr":1e-5}` + "\n" + `{"step":2,"loss":null}`, "{}\n\n", "null", `{"loss":1e999}`, `{"step":9223372036854775807,"loss":1}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		bound.Memory(t, len(data))
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "metrics.jsonl"), data, 0o666); err != nil {
			t.Fatal(err)
		}
		if points, err := readCurve(dir); err == nil && len(points) > curvePoints {
			t.Fatalf("%d points", len(points))
		}
	})
}
