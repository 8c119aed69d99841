package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"strings"
)

//go:embed audit.html
var auditHTML string

var auditPage = template.Must(template.New("audit").Parse(auditHTML))

// HTML writes a as one page that needs nothing else: no network, no script.
func (a *Audit) HTML(w io.Writer) error {
	type table struct {
		Title, Note string
		Heads       []string
		Rows        [][]string
	}
	type number struct{ Name, Value string }
	type lost struct {
		AuditLost
		Was, Is string
	}
	page := struct {
		CSS      template.CSS
		Headline string
		Made     string
		Numbers  []number
		Cuts     string
		Drift    string
		Missing  []string
		Charts   []template.HTML
		Tables   []table
		Worst    []lost
	}{CSS: template.CSS(pageCSS), Headline: a.headline(), Made: a.madeWords(), Missing: a.Missing}
	page.Numbers = []number{{"loss removed", percent(float64(a.Total.LossShare))}, {"gradient removed", percent(float64(a.Total.GradientShare))}, {"mean weight", num(a.Total.MeanWeight)}}
	if a.Total.Confident > 0 {
		page.Numbers = append(page.Numbers, number{"drift", percent(float64(a.Drift))})
		page.Drift = "Drift: " + a.driftWords() + "."
	}
	if c := a.Conflicts; c != nil {
		page.Numbers = append(page.Numbers, number{"conflicts of the base", thousands(c.Base)}, number{"resolved", thousands(c.Resolved)}, number{"persisting", thousands(c.Persisting)}, number{"new", thousands(c.New)})
	}
	if c := a.Cuts; c != nil {
		page.Cuts = fmt.Sprintf("A conflict has p ≤ %s and h ≤ %s, with top-K mass ≥ %s: the cuts of the base annotation.", num(c.Prob), num(c.H), num(c.MinMass))
	}
	for _, c := range a.charts() {
		page.Charts = append(page.Charts, c.svg())
	}
	for _, t := range a.tables() {
		page.Tables = append(page.Tables, table{t.title, t.note, t.heads, t.rows})
	}
	for _, l := range a.Worst {
		page.Worst = append(page.Worst, lost{l, percent(float64(l.BaseProb)), percent(float64(l.Prob))})
	}
	return auditPage.Execute(w, page)
}

// chart is lines over one axis. Not more than two lines: they differ by
// whether they are broken, not by colour alone.
type chart struct {
	title, axis string
	x           []float64
	lines       []chartLine
}

type chartLine struct {
	name string
	y    []float64
}

func (a *Audit) charts() []chart {
	steps := func(title string, lines ...struct {
		name string
		of   func(AuditPoint) Num
	}) chart {
		c := chart{title: title, axis: "step"}
		for _, p := range a.Curve {
			c.x = append(c.x, float64(p.Step))
		}
		for _, l := range lines {
			y := make([]float64, len(a.Curve))
			for i, p := range a.Curve {
				y[i] = float64(l.of(p))
			}
			c.lines = append(c.lines, chartLine{l.name, y})
		}
		return c
	}
	type line = struct {
		name string
		of   func(AuditPoint) Num
	}
	list := []chart{
		steps("Loss", line{"loss", func(p AuditPoint) Num { return p.Loss }}, line{"sft loss", func(p AuditPoint) Num { return p.SFTLoss }}),
		steps("Mean weight", line{"mean weight", func(p AuditPoint) Num { return p.MeanWeight }}),
		steps("Gradient norm", line{"gradient norm", func(p AuditPoint) Num { return p.GradNorm }}),
		steps("Learning rate", line{"learning rate", func(p AuditPoint) Num { return p.LR }}),
	}
	if len(a.Epochs) > 1 {
		epochs := func(title, name string, of func(AuditEpoch) float64) chart {
			c := chart{title: title, axis: "epoch", lines: []chartLine{{name: name}}}
			for _, e := range a.Epochs {
				c.x, c.lines[0].y = append(c.x, float64(e.Epoch)), append(c.lines[0].y, of(e))
			}
			return c
		}
		if a.Conflicts != nil {
			list = append(list, epochs("Conflicts of the base that persist, by epoch", "persisting", func(e AuditEpoch) float64 { return float64(e.Conflicts.Persisting) }),
				epochs("New conflicts, by epoch", "new", func(e AuditEpoch) float64 { return float64(e.Conflicts.New) }))
		}
		if a.Total.Confident > 0 {
			list = append(list, epochs("Drift by epoch", "drift", func(e AuditEpoch) float64 { return float64(e.Drift) }))
		}
	}
	return list
}

// Sizes of a chart, in its own units.
const (
	chartW, chartH                               = 480.0, 200.0
	chartLeft, chartRight, chartTop, chartBottom = 64.0, 8.0, 8.0, 36.0
)

func (c *chart) svg() template.HTML {
	var b strings.Builder
	low, high := math.Inf(1), math.Inf(-1)
	for _, l := range c.lines {
		for _, y := range l.y {
			if !math.IsNaN(y) {
				low, high = min(low, y), max(high, y)
			}
		}
	}
	if low > high {
		return ""
	}
	low = min(low, 0)
	if high == low {
		high = low + 1
	}
	first, last := c.x[0], c.x[len(c.x)-1]
	px := func(x float64) float64 {
		if last == first {
			return (chartLeft + chartW - chartRight) / 2
		}
		return chartLeft + (x-first)/(last-first)*(chartW-chartLeft-chartRight)
	}
	py := func(y float64) float64 {
		return chartTop + (high-y)/(high-low)*(chartH-chartTop-chartBottom)
	}
	esc := template.HTMLEscapeString
	desc := ""
	for _, l := range c.lines {
		desc += fmt.Sprintf("%s: %s at %s %s, %s at %s %s. ", l.name, num(Num(l.y[0])), c.axis, num(Num(first)), num(Num(l.y[len(l.y)-1])), c.axis, num(Num(last)))
	}
	fmt.Fprintf(&b, `<figure><figcaption>%s</figcaption><svg viewBox="0 0 %g %g" role="img" aria-label="%s">`, esc(c.title), chartW, chartH, esc(c.title+". "+strings.TrimSpace(desc)))
	for _, y := range []float64{low, (low + high) / 2, high} {
		fmt.Fprintf(&b, `<path class="grid" d="M%g %.1fH%g"/><text x="%g" y="%.1f" text-anchor="end" dominant-baseline="middle">%s</text>`, chartLeft, py(y), chartW-chartRight, chartLeft-6, py(y), short(y))
	}
	fmt.Fprintf(&b, `<text x="%g" y="%g">%s %s</text><text x="%g" y="%g" text-anchor="end">%s</text>`, chartLeft, chartH-chartBottom+16, esc(c.axis), num(Num(first)), chartW-chartRight, chartH-chartBottom+16, num(Num(last)))
	for i, l := range c.lines {
		fmt.Fprintf(&b, `<path class="line%d" d="`, i)
		pen := "M"
		for j, y := range l.y {
			if math.IsNaN(y) {
				pen = "M"
				continue
			}
			fmt.Fprintf(&b, "%s%.1f %.1f", pen, px(c.x[j]), py(y))
			pen = "L"
		}
		b.WriteString(`"/>`)
		if len(l.y) <= 12 {
			for j, y := range l.y {
				if !math.IsNaN(y) {
					fmt.Fprintf(&b, `<circle class="dot%d" cx="%.1f" cy="%.1f" r="3"/>`, i, px(c.x[j]), py(y))
				}
			}
		}
	}
	b.WriteString("</svg>")
	if len(c.lines) > 1 {
		b.WriteString(`<p class="legend">`)
		for i, l := range c.lines {
			fmt.Fprintf(&b, `<svg viewBox="0 0 28 10" class="key" aria-hidden="true"><path class="line%d" d="M2 5H26"/></svg> %s `, i, esc(l.name))
		}
		b.WriteString("</p>")
	}
	b.WriteString("</figure>")
	return template.HTML(b.String())
}
