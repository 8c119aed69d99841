// Package numerics is the test that a number is raised when a change gives results
// other bits.
package numerics

import (
	"encoding/json"
	"os"
	"testing"
)

// Check compares the hashes of results with those in a file of the number, for each
// instruction set and precision that bits knows here; those of AVX512-BF16 and AMX are of
// the emulator, as make test-amx runs it. With update it writes the file, and of
// instruction sets that this machine lacks keeps what is there.
func Check(t *testing.T, path string, number int, update bool, bits func(t *testing.T, isa, dtype string) (hash string, ok bool)) {
	t.Helper()
	var want struct {
		Numerics int               `json:"numerics"`
		Bits     map[string]string `json:"bits"`
	}
	data, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(data, &want)
	}
	if err != nil {
		t.Fatal(err)
	}
	if want.Numerics != number {
		if !update {
			t.Fatalf("%s is of numerics %d, the program has %d: write it again with -update, on machines with all instruction sets", path, want.Numerics, number)
		}
		want.Numerics, want.Bits = number, map[string]string{}
	}
	checked := 0
	for _, isa := range []string{"generic", "avx2", "avx512", "avx512bf16", "amx"} {
		for _, dtype := range []string{"f32", "bf16"} {
			got, ok := bits(t, isa, dtype)
			if !ok {
				continue
			}
			name := isa + " " + dtype
			if update {
				want.Bits[name] = got
			}
			switch have, ok := want.Bits[name]; {
			case !ok:
				t.Logf("%s: no hash in %s; this machine gives %s", name, path, got)
			case have != got:
				t.Errorf("%s: the results have other bits than those of numerics %d: raise Numerics, and write %s again with -update", name, number, path)
			default:
				checked++
			}
		}
	}
	if checked == 0 {
		t.Error("nothing was compared")
	}
	if update {
		data, err := json.MarshalIndent(want, "", "  ")
		if err == nil {
			err = os.WriteFile(path, append(data, '\n'), 0o666)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
