package template

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"eaft/internal/bound"
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

// Half of a surrogate pair is named by its path and its first byte.
func TestDecodeJSONHalfPair(t *testing.T) {
	for s, want := range map[string]string{
		`{"a": 1, "messages": [{"b": []}, {"content": "x\ud83d y\udc00"}], "c": "\ud83d"}`: `malformed JSON at byte 47: in messages[1].content: \ud83d is half`,
		`"\udc00"`:                     `malformed JSON at byte 1: \udc00 is half`,
		`["", ["\uD83D\uD83D\uDE00"]]`: `malformed JSON at byte 7: in [1][0]: \uD83D is half`,
		`{"k\ud83d": }`:                `malformed JSON at byte 3: in k` + "\ufffd" + `: \ud83d is half`,
		`["\ud83d\u00"]`:               `malformed JSON at byte 9: `,
	} {
		if v, err := DecodeJSON([]byte(s)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, %v, want %s", s, v, err, want)
		}
	}
	if v, err := DecodeJSON([]byte(`"\ud83d\ude00 \\ud83d"`)); v != `😀 \ud83d` || err != nil {
		t.Errorf("%q, %v", v, err)
	}
}

// halfPair is an escape of a surrogate, which encoding/json takes alone too.
var halfPair = regexp.MustCompile(`\\u[dD][89a-fA-F]`)

// FuzzDecodeJSON compares with encoding/json: what is JSON, and every value.
func FuzzDecodeJSON(f *testing.F) {
	for _, s := range []string{`{"messages": [{"role": "user", "content": "hi"}]}`, `[[[`, `"\ud83d\ude00 \\\"\/\b\f\n\r\t"`, `"\ud83d x"`, `"\ud83d\u0041"`,
		`"\udc00"`,
		"\"a\xffb\xed\xa0\x80\xf0\x9f\"", `[-0, 1.5e-3, 1E+10, 01, 1., .5, -, +1, 0x1]`, `[-0,0.5,1e5,-12.25E-2,123456789012345678901234567890]`, `{"a":1,"b":{"a":[]},"a":2}`,
		` true `, `nulll`, `[1,]`, `{"a":1,}`, `{,}`, "\"\x1f\"", `"\u12"`, `"\u+123"`, `"\x"`, "\ufeff1", `[]]`, `{"a" :  null , "" : false}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		bound.Memory(t, len(data))
		got, err := DecodeJSON(data)
		if deep := strings.Count(string(data), "[")+strings.Count(string(data), "{") > maxJSONDepth; deep {
			return
		}
		if err != nil && strings.Contains(err.Error(), "surrogate") && halfPair.Match(data) {
			return
		}
		dec := json.NewDecoder(bytes.NewReader(data))
		dec.UseNumber()
		var want any
		bad := dec.Decode(&want)
		if bad == nil && !json.Valid(data) {
			bad = errors.New("more than one value")
		}
		if (err == nil) != (bad == nil) {
			t.Fatalf("%q: %v; encoding/json: %v", data, err, bad)
		}
		if err == nil && !reflect.DeepEqual(unordered(got), want) {
			t.Errorf("%q: %v, want %v", data, got, want)
		}
	})
}

// unordered is v with maps for dicts.
func unordered(v any) any {
	switch v := v.(type) {
	case []any:
		for i, e := range v {
			v[i] = unordered(e)
		}
	case *Dict:
		m := map[string]any{}
		for k, e := range v.Values {
			m[k] = unordered(e)
		}
		return m
	}
	return v
}
