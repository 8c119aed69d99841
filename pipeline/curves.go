package pipeline

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
)

// curve is a quantity over the steps of a training run, as points of an SVG
// polyline in a box of curveWidth by curveHeight, from step 0 to the last one.
type curve struct {
	Name                  string
	Points                string
	Dots                  []dot // the points, where they are few
	Low, High, First, End string
	Values                int
	Of                    string // what the values are of: steps or evaluations
}

type dot struct{ X, Y string }

const (
	curveWidth, curveHeight = 320, 110
	maxPoints               = 1000
	maxDots                 = 40
)

// series are the values of a curve at steps.
type series struct {
	name   string
	xs, ys []float64
}

// curves are those of all numbers in the lines of metrics, in the order of the
// first line, and of the held-out rows, all over the same steps.
func curves(training, heldOut []json.RawMessage) (train, held []curve) {
	metrics, evals := metricSeries(training), heldOutSeries(heldOut)
	end := 0.0
	for _, s := range slices.Concat(metrics, evals) {
		end = max(end, slices.Max(s.xs))
	}
	for _, s := range metrics {
		train = append(train, s.draw(end, "steps", false))
	}
	for _, s := range evals {
		held = append(held, s.draw(end, "evaluations", len(s.xs) <= maxDots))
	}
	return train, held
}

// metricSeries are those of metrics.jsonl. A line without a step is one behind the
// one before.
func metricSeries(lines []json.RawMessage) (out []series) {
	if len(lines) < 2 {
		return nil
	}
	rows, steps := make([]map[string]float64, len(lines)), make([]float64, len(lines))
	last := 0.0
	for i, l := range lines {
		rows[i] = numbers(l)
		steps[i] = last + 1
		if x, ok := rows[i]["step"]; ok && x >= 0 {
			steps[i] = x
		}
		last = steps[i]
	}
	for _, name := range order(lines[0]) {
		if name == "step" || name == "epoch" || name == "time" {
			continue
		}
		s := series{name: name}
		for i, r := range rows {
			if y, ok := r[name]; ok {
				s.xs, s.ys = append(s.xs, steps[i]), append(s.ys, y)
			}
		}
		if len(s.ys) > 1 {
			out = append(out, s)
		}
	}
	return out
}

// heldOutMeasures are the numbers of a line of eval.jsonl that are drawn.
var heldOutMeasures = []string{"loss", "accuracy", "base_agreement", "base_kl"}

// heldOutSeries are those of eval.jsonl, by set in the order in which they come.
func heldOutSeries(lines []json.RawMessage) (out []series) {
	sets := map[string]int{} // where its series begin
	for _, l := range lines {
		var set struct{ Name string }
		json.Unmarshal(l, &set) // what has no name is a set of none
		n := numbers(l)
		step, ok := n["step"]
		if !ok || step < 0 {
			continue
		}
		first, known := sets[set.Name]
		if !known {
			first = len(out)
			sets[set.Name] = first
			for _, m := range heldOutMeasures {
				out = append(out, series{name: strings.TrimSpace(set.Name + " " + m)})
			}
		}
		for i, m := range heldOutMeasures {
			if y, ok := n[m]; ok {
				s := &out[first+i]
				s.xs, s.ys = append(s.xs, step), append(s.ys, y)
			}
		}
	}
	return slices.DeleteFunc(out, func(s series) bool { return len(s.xs) < 2 })
}

func (s *series) draw(end float64, of string, dots bool) curve {
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, y := range s.ys {
		lo, hi = min(lo, y), max(hi, y)
	}
	span := max(hi-lo, 1e-300)
	text := func(x float64) string { return fmt.Sprintf("%.4g", x) }
	c := curve{Name: s.name, Low: text(lo), High: text(hi), First: text(s.ys[0]), End: text(s.ys[len(s.ys)-1]), Values: len(s.ys), Of: of}
	var b strings.Builder
	every := (len(s.ys) + maxPoints - 1) / maxPoints
	for i := 0; i < len(s.ys); i += every {
		d := dot{fmt.Sprintf("%.1f", s.xs[i]/max(end, 1)*curveWidth), fmt.Sprintf("%.1f", curveHeight-(s.ys[i]-lo)/span*curveHeight)}
		fmt.Fprintf(&b, "%s,%s ", d.X, d.Y)
		if dots {
			c.Dots = append(c.Dots, d)
		}
	}
	c.Points = strings.TrimSpace(b.String())
	return c
}

// heldOutWords say from what to what the loss of each held-out set went.
func heldOutWords(lines []json.RawMessage) string {
	var said []string
	for _, s := range heldOutSeries(lines) {
		if set, is := strings.CutSuffix(s.name, " loss"); is {
			best := slices.Min(s.ys)
			words := fmt.Sprintf("%s loss %.4g to %.4g", set, s.ys[0], s.ys[len(s.ys)-1])
			if at := slices.Index(s.ys, best); at > 0 && at < len(s.ys)-1 {
				words += fmt.Sprintf(" (least %.4g at step %.0f)", best, s.xs[at])
			}
			said = append(said, words)
		}
	}
	return strings.Join(said, ", ")
}
