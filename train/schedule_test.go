package train

import (
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"
)

// rate is the default schedule, with which the golden runs were made.
func rate(lr, warmup float64, i, n int) float64 {
	return (&Options{LR: lr, Warmup: warmup, Schedule: ScheduleCosine}).rateAt(i, n)
}

// The schedules are transformers', but that a warm-up step i of w has (i+1)/w,
// where transformers has i/w, and never begins at min_lr, as its wsd does.
func TestScheduleGolden(t *testing.T) {
	var cases []struct {
		Schedule             string
		Steps, Warmup, Decay int
		MinLR                float64 `json:"min_lr"`
		Rates                []float64
	}
	data, err := os.ReadFile("testdata/schedules.json")
	must(t, err)
	must(t, json.Unmarshal(data, &cases))
	for _, c := range cases {
		n := float64(c.Steps)
		o := &Options{LR: 1, Schedule: c.Schedule, Warmup: float64(c.Warmup) / n, Decay: float64(c.Decay) / n, MinLR: c.MinLR}
		for i := range c.Steps {
			if i < c.Warmup && c.Schedule == ScheduleWSD && c.MinLR > 0 {
				continue
			}
			want := c.Rates[i]
			if i+1 < c.Warmup {
				want = c.Rates[i+1]
			} else if i < c.Warmup {
				want = 1
			}
			if got := o.rateAt(i, c.Steps); math.Abs(got-want) > 1e-14 {
				t.Errorf("%s, %d steps, warm-up %d, decay %d, min_lr %v: step %d has %v, transformers %v",
					c.Schedule, c.Steps, c.Warmup, c.Decay, c.MinLR, i, got, want)
			}
		}
	}
}

func TestScheduleOptions(t *testing.T) {
	for _, c := range []struct {
		schedule   string
		decay, low float64
		want       string
	}{
		{ScheduleConstant, 0, 0, ""},
		{ScheduleLinear, 0, 0.1, ""},
		{ScheduleWSD, 0.1, 0.1, ""},
		{"step", 0, 0, "constant, linear, cosine or wsd"},
		{ScheduleWSD, 0, 0, "--decay 0"},
		{ScheduleWSD, 1.5, 0, "--decay 1.5"},
		{ScheduleCosine, 0.1, 0, "--decay is the share"},
		{ScheduleConstant, 0, 0.1, "--min-lr has no effect"},
		{ScheduleLinear, 0, 1.1, "--min-lr 1.1"},
	} {
		err := (&Options{Schedule: c.schedule, Decay: c.decay, MinLR: c.low}).checkSchedule()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
