package template

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func TestDecodeJSONKeepsOrder(t *testing.T) {
	v, err := DecodeJSON([]byte(`{"z": 1, "a": [true, null, "é"], "m": {"y": 1.50, "b": {}}, "z": 2}`))
	if err != nil {
		t.Fatal(err)
	}
	d := v.(*Dict)
	if want := []string{"z", "a", "m"}; !reflect.DeepEqual(d.Keys, want) {
		t.Errorf("keys %v, want %v", d.Keys, want)
	}
	if z, _ := d.Get("z"); z != json.Number("2") {
		t.Errorf("z is %v, want the last value, 2", z)
	}
	if a, _ := d.Get("a"); !reflect.DeepEqual(a, []any{true, nil, "é"}) {
		t.Errorf("a is %v", a)
	}
	m, _ := d.Get("m")
	if y, _ := m.(*Dict).Get("y"); y != json.Number("1.50") {
		t.Errorf("y is %v, want 1.50 as written", y)
	}
}

func TestDecodeJSONRefuses(t *testing.T) {
	for _, s := range []string{``, `{`, `[1,`, `{"a"}`, `{"a":1} 2`, `{"a":1}}`, `nul`,
		strings.Repeat("[", 1000) + strings.Repeat("]", 1000)} {
		if v, err := DecodeJSON([]byte(s)); err == nil {
			t.Errorf("%.20q decodes to %v", s, v)
		}
	}
}

func FuzzDecodeJSON(f *testing.F) {
	f.Add([]byte(`{"messages": [{"role": "user", "content": "hi"}]}`))
	f.Add([]byte(`[[[`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := DecodeJSON(data); err == nil && !json.Valid(data) {
			t.Errorf("accepts %q, which is not JSON", data)
		}
	})
}
