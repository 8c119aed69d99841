package eaft

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"testing"
)

type fixture struct {
	Logits  [][]float64
	Targets []int
	Cases   []struct {
		Alpha            float64
		Factory, Axolotl []float64
		FactoryLoss      float64 `json:"factory_loss"`
		AxolotlLoss      float64 `json:"axolotl_loss"`
	}
	X, Y []float64
	Q    [][2]float64
	R    float64
}

// load reads what testdata/make_fixtures.py computed with torch and numpy.
func load(t *testing.T) (f fixture) {
	t.Helper()
	data, err := os.ReadFile("testdata/losses.json")
	if err == nil {
		err = json.Unmarshal(data, &f)
	}
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func softmax(x []float64) []float64 {
	p, sum, top := make([]float64, len(x)), 0.0, slices.Max(x)
	for i, v := range x {
		p[i] = math.Exp(v - top)
		sum += p[i]
	}
	for i := range p {
		p[i] /= sum
	}
	return p
}

func near(a, b, rel float64) bool { return math.Abs(a-b) <= rel*math.Abs(b) }

// Twenty probabilities near 1, each rounded to 2^-53, leave an entropy h off by
// 2e-15: 2.5e-11 of the smallest one here, 8.8e-5, and twice that under alpha 2.
func TestPublicLosses(t *testing.T) {
	const rel = 5e-11
	f := load(t)
	for _, c := range f.Cases {
		var lossF, lossA float64
		for i, logits := range f.Logits {
			logprob := math.Log(softmax(logits)[f.Targets[i]])
			top := slices.Sorted(slices.Values(logits))
			probs := softmax(top[len(top)-20:])
			var h float64
			for _, p := range probs {
				if p > 0 {
					h -= p * math.Log(p)
				}
			}
			wf, wa := LLaMAFactoryWeight(h, c.Alpha), AxolotlWeight(probs, c.Alpha)
			if !near(wf, c.Factory[i], rel) || !near(wa, c.Axolotl[i], rel) {
				t.Errorf("alpha %v, row %d: weights %v %v, want %v %v", c.Alpha, i, wf, wa, c.Factory[i], c.Axolotl[i])
			}
			lossF -= wf * logprob / float64(len(f.Logits))
			lossA -= wa * logprob / float64(len(f.Logits))
		}
		if !near(lossF, c.FactoryLoss, rel) || !near(lossA, c.AxolotlLoss, rel) {
			t.Errorf("alpha %v: losses %v %v, want %v %v", c.Alpha, lossF, lossA, c.FactoryLoss, c.AxolotlLoss)
		}
	}
}

func TestQuantileAndCorrelation(t *testing.T) {
	f := load(t)
	for _, q := range f.Q {
		x := make([]float32, len(f.X))
		for i, v := range f.X {
			x[i] = float32(v)
		}
		// numpy goes back from the upper of two values where that is nearer: two roundings.
		if got := Quantile(x, q[0]); math.Abs(got-q[1]) > 0x1p-50 {
			t.Errorf("quantile %v: %v, want %v", q[0], got, q[1])
		}
	}
	var all, a, b Correlation
	for i := range f.X {
		all.Add(f.X[i], f.Y[i])
		if i < 11 {
			a.Add(f.X[i], f.Y[i])
		} else {
			b.Add(f.X[i], f.Y[i])
		}
	}
	a.Merge(&b)
	// Sums of 37 terms, each rounded to 2^-53.
	if math.Abs(all.Value()-f.R) > 37*0x1p-53 || math.Abs(a.Value()-f.R) > 37*0x1p-53 {
		t.Errorf("correlation %v, merged %v, want %v", all.Value(), a.Value(), f.R)
	}
	if !math.IsNaN(new(Correlation).Value()) || !math.IsNaN(Quantile(nil, 0.5)) {
		t.Error("nothing has a correlation or a quantile")
	}
}

// The cases that DESIGN's comparison of the estimators rests on, in closed form.
func TestGateEntropy(t *testing.T) {
	lnK := math.Log(20)
	// Uniform over 50,000: the top 20 hold 20/50000.
	m, lnV := 20.0/50000, math.Log(50000)
	for _, c := range []struct {
		est  Estimator
		want float64
	}{{Renorm, 1}, {Trunc, m * lnV / lnK}, {Full, 1}} {
		if got := GateEntropy(c.est, lnK, m, lnV, 20); !near(got, c.want, 1e-12) {
			t.Errorf("%s of the flat distribution: %v, want %v", c.est, got, c.want)
		}
	}
	for _, est := range []Estimator{Renorm, Trunc, Full} {
		if h := GateEntropy(est, 0, 1, 0, 20); h != 0 {
			t.Errorf("%s of one certain token: %v", est, h)
		}
		if h := GateEntropy(est, -1e-9, 1.0000001, -1e-9, 20); h != 0 {
			t.Errorf("%s: rounding leaves [0, 1]: %v", est, h)
		}
		if h := GateEntropy(est, 0, 1, 0, 1); h != 0 {
			t.Errorf("%s with K = 1: %v", est, h)
		}
	}
	if _, err := ParseEstimator("top"); err == nil {
		t.Error("unknown estimator accepted")
	}
}

func TestThresholds(t *testing.T) {
	for s, want := range map[string]Thresholds{
		"":                   {Quantile: 0.15, MinMass: 0.9},
		"q=0.15":             {Quantile: 0.15, MinMass: 0.9},
		"p<=0.05,h<=0.1":     {Prob: 0.05, H: 0.1, MinMass: 0.9},
		" h <= 0.1, p<=5e-2": {Prob: 0.05, H: 0.1, MinMass: 0.9},
	} {
		got, err := ParseThresholds(s)
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v", s, got, err)
		}
		if again, err := ParseThresholds(got.String()); err != nil || again != got {
			t.Errorf("%q does not survive String: %q, %v", s, got, err)
		}
	}
	for _, s := range []string{"p<=0.05", "h<=1", "q=0", "q=1", "q=2", "q<=0.1", "p=0.1,h=0.1", "p<=x,h<=1",
		"p<=0.1,p<=0.2", "q=0.1,p<=0.1,h<=0.1", "z<=1", "p<=NaN,h<=0.1", ",", "p<=0.1,h<=-1"} {
		if got, err := ParseThresholds(s); err == nil {
			t.Errorf("%q was read as %+v", s, got)
		}
	}
	c := Thresholds{Quantile: 0.5, MinMass: 0.9}.Cuts([]float32{3, 1, 2}, []float32{0.25, 0.75})
	if c != (Cuts{Prob: 2, H: 0.5, MinMass: 0.9}) {
		t.Errorf("cuts %+v", c)
	}
	if !c.Conflict(2, 0.5, 0.9) || c.Conflict(2.1, 0.5, 1) || c.Conflict(1, 0.6, 1) || c.Conflict(1, 0.1, 0.89) || c.Conflict(math.NaN(), 0, 1) {
		t.Error("Conflict does not keep its bounds")
	}
	if DefaultThresholds().Cuts(nil, nil).Conflict(0, 0, 1) {
		t.Error("a conflict without targets")
	}
}

// A target on a cut is under it, whichever way the question is asked.
func TestTargetConflict(t *testing.T) {
	x := Target{LogProb: -2.9957323, Entropy: 0.4, TopKEntropy: 0.3, TopKMass: 0.95}
	for _, est := range []Estimator{Renorm, Trunc, Full} {
		prob, h := x.Point(est, 20)
		if want := GateEntropy(est, float64(x.TopKEntropy), float64(x.TopKMass), float64(x.Entropy), 20); h != float32(want) || prob != float32(math.Exp(float64(x.LogProb))) {
			t.Errorf("%s: p %v, h %v, want h %v", est, prob, h, want)
		}
		on := Cuts{Prob: float64(prob), H: float64(h), MinMass: 0.9}
		below := math.Nextafter32(h, 0)
		for _, c := range []struct {
			cuts Cuts
			want bool
		}{{on, true}, {Cuts{on.Prob, float64(below), 0.9}, false}, {Cuts{on.Prob / 2, on.H, 0.9}, false}, {Cuts{on.Prob, on.H, 0.96}, false}} {
			if got := x.Conflict(est, 20, c.cuts); got != c.want {
				t.Errorf("%s, %+v: %v", est, c.cuts, got)
			}
		}
	}
}
