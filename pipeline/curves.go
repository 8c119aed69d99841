package pipeline

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
)

// curve is a quantity over the steps of a training run, as points of an SVG
// polyline in a box of curveWidth by curveHeight.
type curve struct {
	Name                  string
	Points                string
	Low, High, First, End string
	Steps                 int
}

const (
	curveWidth, curveHeight = 320, 110
	maxPoints               = 1000
)

// curves are those of all numbers in the lines of metrics, in the order of the
// first line.
func curves(lines []json.RawMessage) (out []curve) {
	if len(lines) < 2 {
		return nil
	}
	rows := make([]map[string]float64, len(lines))
	for i, l := range lines {
		rows[i] = numbers(l)
	}
	for _, name := range order(lines[0]) {
		if name == "step" || name == "epoch" || name == "time" {
			continue
		}
		var xs, ys []float64
		for i, r := range rows {
			if y, ok := r[name]; ok {
				xs, ys = append(xs, float64(i)), append(ys, y)
			}
		}
		if len(ys) < 2 {
			continue
		}
		out = append(out, draw(name, xs, ys))
	}
	return out
}

func draw(name string, xs, ys []float64) curve {
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, y := range ys {
		lo, hi = min(lo, y), max(hi, y)
	}
	span := max(hi-lo, 1e-300)
	var b strings.Builder
	every := (len(ys) + maxPoints - 1) / maxPoints
	for i := 0; i < len(ys); i += every {
		fmt.Fprintf(&b, "%.1f,%.1f ", xs[i]/xs[len(xs)-1]*curveWidth, curveHeight-(ys[i]-lo)/span*curveHeight)
	}
	text := func(x float64) string { return fmt.Sprintf("%.4g", x) }
	return curve{name, strings.TrimSpace(b.String()), text(lo), text(hi), text(ys[0]), text(ys[len(ys)-1]), len(ys)}
}
