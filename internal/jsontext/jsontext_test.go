package jsontext

import (
	"encoding/json"
	"testing"

	"eaft/internal/bound"
)

func FuzzAppend(f *testing.F) {
	for _, s := range []string{"", "a\"\\\n\t\x00\x1f/", "é\u2028\U0001F600", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		bound.Memory(t, len(s))
		var got, want string
		if err := json.Unmarshal(Append(nil, s), &got); err != nil {
			t.Fatal(err)
		}
		other, _ := json.Marshal(s)
		if err := json.Unmarshal(other, &want); err != nil || got != want {
			t.Fatalf("%q became %q, want %q", s, got, want)
		}
	})
}
