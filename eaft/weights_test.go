package eaft

import (
	"encoding/json"
	"math"
	"os"
	"strconv"
	"testing"
)

// The tables are torch's, in float64 (testdata/make_weights.py). A power of a
// rounded base or a rounded exponent errs by the exponent's own error, 110 ulps
// at most here.
func TestWeights(t *testing.T) {
	const rel = 256 * 0x1p-53
	var f struct {
		X, H, DFT               []float64
		Focal, MiLe, TALR, FLOW map[string][]float64
		Gates                   []struct {
			Name        string
			Alpha, Beta float64
			Weights     []float64
		}
	}
	data, err := os.ReadFile("testdata/weights.json")
	if err == nil {
		err = json.Unmarshal(data, &f)
	}
	if err != nil {
		t.Fatal(err)
	}
	check := func(name string, at, got, want float64) {
		t.Helper()
		if !near(got, want, rel) {
			t.Errorf("%s at %v: %v, torch says %v", name, at, got, want)
		}
	}
	for i, x := range f.X {
		check("dft", x, DFTWeight(-x), f.DFT[i])
	}
	for _, c := range []struct {
		name   string
		tables map[string][]float64
		weight func(x, parameter float64) float64
	}{
		{"focal", f.Focal, func(x, gamma float64) float64 { return FocalWeight(-x, gamma) }},
		{"mile", f.MiLe, MiLeWeight},
		{"talr", f.TALR, func(x, tau float64) float64 { return TALRWeight(-x, tau) }},
		{"flow", f.FLOW, FLOWWeight},
	} {
		if len(c.tables) != 3 {
			t.Errorf("%s has %d tables", c.name, len(c.tables))
		}
		for key, table := range c.tables {
			parameter, err := strconv.ParseFloat(key, 64)
			if err != nil {
				t.Fatal(err)
			}
			for i, x := range f.X {
				check(c.name+" "+key, x, c.weight(x, parameter), table[i])
			}
		}
	}
	for _, c := range f.Gates {
		g, err := ParseGate(c.Name, c.Alpha, c.Beta)
		if err != nil {
			t.Fatal(err)
		}
		for i, h := range f.H {
			check(c.Name, h, g.Weight(h), c.Weights[i])
		}
	}
	if _, err := ParseGate("step", 1, 0); err == nil {
		t.Error("unknown gate accepted")
	}
}

func TestWeightsAtTheirLimits(t *testing.T) {
	for _, c := range []struct {
		name      string
		got, want float64
	}{
		{"talr of a certain target, tau 0", TALRWeight(0, 0), 1},
		{"talr, tau 0", TALRWeight(-1e-6, 0), 0.01},
		{"talr of an impossible target", TALRWeight(math.Inf(-1), 2), 0.01},
		{"flow, all certain", FLOWWeight(0, 0), 1},
		{"flow, tau 0", FLOWWeight(0.5, 0), 0},
		{"focal, rounding above 1", FocalWeight(1e-8, 0.5), 0},
		{"median of one", Median([]float64{3}), 3},
		{"median of two", Median([]float64{4, 1}), 2.5},
		{"median of three", Median([]float64{4, 9, 1}), 4},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", c.name, c.got, c.want)
		}
	}
	if !math.IsNaN(Median(nil)) || !math.IsNaN(Median([]float64{1, math.NaN(), 2})) {
		t.Error("a median of nothing")
	}
}
