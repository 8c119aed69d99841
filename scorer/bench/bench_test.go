package bench

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"eaft/compute"
	"eaft/compute/cpu"
	"eaft/model"
	"eaft/model/weights"
)

// tiny has 2 layers, hidden size 24, 4 heads of 6 that share 2 key/value heads,
// intermediate size 40 and a vocabulary of 97.
func tiny(t *testing.T) *weights.Checkpoint {
	t.Helper()
	c, err := weights.Open("../../model/testdata/llama")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// slow is a device that says nothing about its machine, so that tests do not
// measure it.
type slow struct{ compute.Device }

func device(t *testing.T) compute.Device {
	t.Helper()
	dev, err := cpu.New(2)
	if err != nil {
		t.Fatal(err)
	}
	return slow{dev}
}

func run(t *testing.T, o Options) *Result {
	t.Helper()
	r, err := Run(t.Context(), device(t), tiny(t), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// 10 tokens in rows of 4, 4 and 2, so 7 targets and 10+10+3 = 23 pairs of query
// and key, of which the second and last layer asks for 6+6+1 = 13; all by hand.
func TestCountedOperations(t *testing.T) {
	r := run(t, Options{Model: "tiny", DType: compute.F32, Tokens: 10, RowLength: 4, Passes: 2})
	const (
		qo, kv, mlp = 2 * 24 * 24, 2 * 12 * 24, 3 * 24 * 40
		linear      = 2*10*(qo+kv+mlp) + 2*(10*kv+7*(qo+mlp)) // the last layer: keys and values of all tokens
		attention   = 4 * (23 + 13) * 4 * 6
		head        = 2 * 7 * 97 * 24
	)
	if want := float64(linear + attention + head); r.Score.Flops != want || want != 196176 {
		t.Errorf("a score pass counts %.0f operations, want %.0f", r.Score.Flops, want)
	}
	if want := float64(3*linear + attention*7/2 + 4*head); r.Train.Flops != want || want != 622848 {
		t.Errorf("a training step counts %.0f operations, want %.0f", r.Train.Flops, want)
	}
	// 4 bytes of every matrix, of the tied head too.
	if want := 4.0 * (2*4608 + 97*24); r.Decode.Bytes != want {
		t.Errorf("one token reads %.0f bytes of weights, want %.0f", r.Decode.Bytes, want)
	}
	names := map[string]float64{}
	for _, p := range r.Train.Parts {
		names[p.Phase+": "+p.Name] += p.Bytes
	}
	for name, bytes := range map[string]float64{"forward: q": 0, "forward: k, v": 0, "forward: o": 0, "forward: gate, up, SwiGLU": 0,
		"backward: down, SwiGLU": 0, "backward: q, k, v": 0, "forward: RMSNorm": 4 * 2 * 24 * (3*10 + 3*7), "backward: RoPE": 4 * 2 * (2*12*10 + 24*(10+7)),
		"update: AdamW": 28 * (2*(4608+48) + 97*24 + 24)} {
		if got, ok := names[name]; !ok || got != bytes {
			t.Errorf("%s: %.0f bytes, want %.0f; there are %v", name, got, bytes, names)
		}
	}
}

func TestPairs(t *testing.T) {
	for _, c := range []struct {
		a    compute.Attention
		want float64
	}{
		{compute.Attention{CuSeqlens: []int32{0, 3, 3, 5}}, 6 + 3},
		{compute.Attention{CuSeqlens: []int32{0, 5}, Window: 2}, 1 + 2 + 2 + 2 + 2},
		{compute.Attention{CuSeqlens: []int32{0, 3, 5, 6}, Parent: []int32{-1, 0, 1}}, 6 + 4 + 5 + 6},
		{compute.Attention{CuSeqlens: []int32{0, 3, 5}, Parent: []int32{-1, 0}, Queries: []int32{2, 4}}, 3 + 5},
	} {
		if got := pairs(c.a); got != c.want {
			t.Errorf("%+v: %v pairs, want %v", c.a, got, c.want)
		}
	}
}

// The results of a measured device are those of the device, bit for bit.
func TestProfilePassesThrough(t *testing.T) {
	for _, dtype := range []compute.DType{compute.F32, compute.BF16} {
		plain := device(t)
		spec, err := model.SpecOf(tiny(t))
		if err != nil {
			t.Fatal(err)
		}
		b, targets := batch(Options{Tokens: 30, RowLength: 8}, spec.Vocab)
		var stats []*compute.HeadStats
		var grads [][]float32
		for _, dev := range []compute.Device{plain, NewProfile(plain, projectionNames(spec))} {
			m, err := model.Load(dev, tiny(t), model.Options{DType: dtype, Train: true})
			if err != nil {
				t.Fatal(err)
			}
			s, err := m.Score(b, targets, 5)
			if err != nil {
				t.Fatal(err)
			}
			stats = append(stats, s)
			s, err = m.Accumulate(b, targets, 5, func(s *compute.HeadStats) []float32 { return s.TopKEntropy })
			if err != nil {
				t.Fatal(err)
			}
			stats = append(stats, s)
			var all []float32
			for _, p := range m.Params() {
				g := make([]float32, p.Grad.Rows()*p.Grad.Cols())
				dev.Read(g, p.Grad)
				all = append(all, g...)
			}
			grads = append(grads, all)
		}
		if !reflect.DeepEqual(stats[:2], stats[2:]) || !reflect.DeepEqual(grads[0], grads[1]) {
			t.Errorf("%v: results differ under measurement", dtype)
		}
	}
}

func TestResult(t *testing.T) {
	r := run(t, Options{Model: "tiny", DType: compute.BF16, Tokens: 10, RowLength: 4, Passes: 1, ForwardOnly: true})
	if r.Train != nil || r.Peak != 0 {
		t.Errorf("a training step or a peak from nowhere: %+v", r)
	}
	r.Threads, r.Instruction, r.Peak, r.Bandwidth = 2, "FMA", 1e-3, 1
	r.compare()
	share := 0.0
	for _, p := range r.Score.Parts {
		share += p.Share
	}
	if share < 0.999 || share > 1.001 {
		t.Errorf("the parts are %v of the pass", share)
	}
	if got, want := r.Score.PeakShare, r.Score.Flops/r.Score.Seconds/1e6; got < 0.999*want || got > 1.001*want {
		t.Errorf("share of the peak %v, want %v", got, want)
	}
	var text, js bytes.Buffer
	if err := r.Text(&text); err != nil || !strings.Contains(text.String(), "head statistics") || strings.Contains(text.String(), " \n") {
		t.Errorf("%v\n%s", err, text.String())
	}
	if err := r.JSON(&js); err != nil {
		t.Fatal(err)
	}
	var back Result
	if err := json.Unmarshal(js.Bytes(), &back); err != nil || !reflect.DeepEqual(&back, r) {
		t.Errorf("%v: what was written reads back as something else", err)
	}
}
