package eaft

import (
	"testing"

	"eaft/internal/bound"
)

// FuzzThresholds: thresholds are refused, or are read again from their own text.
func FuzzThresholds(f *testing.F) {
	for _, s := range []string{"p<=0.05,h<=0.1", "q=0.15", " h <= 1 , p<=0", "q=0x1p-3", "p<=1e-400,h<=-0", "q=NaN", "p<=0.1", "p<=.1,h<=.1,q=.1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		bound.Memory(t, len(s))
		th, err := ParseThresholds(s)
		if err != nil {
			return
		}
		again, err := ParseThresholds(th.String())
		if err != nil || again != th {
			t.Fatalf("%q is %+v, and %q is %+v (%v)", s, th, th.String(), again, err)
		}
	})
}
