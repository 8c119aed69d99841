package report

import (
	"fmt"
	"io"
	"strings"
)

// Text writes a for people.
func (a *Audit) Text(w io.Writer, colour bool) error {
	t := &text{colour: colour}
	t.f("%s\n\n", t.paint(bold, a.headline()))
	if made := a.madeWords(); made != "" {
		t.f("%s\n\n", made)
	}
	if a.Cuts != nil {
		t.f("  conflict                 p <= %s and h <= %s, with top-K mass >= %s (the base annotation's cuts)\n", num(a.Cuts.Prob), num(a.Cuts.H), num(a.Cuts.MinMass))
	}
	t.f("  loss removed             %9s   (sum of (1-w)(-ln p), of the sum of -ln p)\n", percent(float64(a.Total.LossShare)))
	t.f("  gradient removed         %9s   (sum of (1-w)(1-p), of the sum of 1-p; |dL/dz| of a target's logit is w(1-p))\n", percent(float64(a.Total.GradientShare)))
	t.f("  mean weight              %9s\n", num(a.Total.MeanWeight))
	if x := a.AtConflicts; x.Visits > 0 && a.Total.GradientRemoved != 0 {
		t.f("  at the base's conflicts  %9s   (of all gradient removed; of their own %s)\n", percent(float64(x.OfAllRemoved)), percent(float64(x.GradientShare)))
	}
	if a.Total.Confident > 0 {
		t.f("  drift                    %9s   (%s)\n", percent(float64(a.Drift)), a.driftWords())
	}
	if c := a.Conflicts; c != nil {
		t.f("  conflicts of the base    %9s   (%s resolved, %s persisting; %s new; by %s)\n", thousands(c.Base), thousands(c.Resolved), thousands(c.Persisting), thousands(c.New), a.MeasuredBy)
	}
	t.warnings(a.Missing)
	for _, table := range a.tables() {
		t.title(table.title, table.note)
		t.table(table)
	}
	if len(a.Worst) > 0 {
		t.title("Lost knowledge", "targets that the base was sure of; {token, p of the base -> p now}")
		for _, l := range a.Worst {
			head := "row " + l.ID
			if l.Source != "" {
				head += ", " + l.Source
			}
			t.f("  %s\n", t.paint(bold, clip(fmt.Sprintf("%s, token %d", head, l.Pos), width-2)))
			ln := line{t: t, indent: "    "}
			ln.words(l.Before)
			change := percent(float64(l.BaseProb)) + " -> " + percent(float64(l.Prob))
			ln.add("{"+clip(l.Text, 24)+" "+change+"}", "{"+t.paint(red, clip(l.Text, 24))+" "+change+"}")
			ln.words(l.After)
			ln.end()
		}
	}
	_, err := w.Write(t.b.Bytes())
	return err
}

func (a *Audit) headline() string {
	return fmt.Sprintf("%s trained tokens of %s rows, seen %s times in %s steps of %s", thousands(a.Targets), thousands(a.Rows), thousands(a.Total.Visits), thousands(int64(a.Steps)), a.Loss)
}

// madeWords are "" of a run that does not say what was trained.
func (a *Audit) madeWords() string {
	m := &a.Made
	if m.Model == "" {
		return ""
	}
	s := fmt.Sprintf("Trained from the model %s in %s on ", brief(m.Model), m.DType)
	for i, e := range m.Engines {
		if i > 0 {
			s += fmt.Sprintf("; from step %d on ", e.Step)
		}
		s += e.ISA + ", eaft " + e.Version
	}
	if len(m.Engines) == 0 {
		s += m.ISA + ", eaft " + m.Version
	}
	s += "; tokens " + brief(m.Tokens)
	if m.Scores != "" {
		s += ", scores " + brief(m.Scores)
	}
	if m.After != "" {
		s += "; the scores of --after are by the model " + brief(m.After)
	}
	return s + "."
}

func (a *Audit) driftWords() string {
	by := "when training saw them last, before that step's update"
	if a.MeasuredBy == "after" {
		by = "after training, by the scores of --after"
	}
	return fmt.Sprintf("%s of %s tokens that the base had with p >= %s are below %s %s",
		thousands(a.Total.Lost), thousands(a.Total.Confident), num(a.Confident), num(a.Lost), by)
}

// auditTable is a table of the report: the text's and the page's. The first
// column is text, the others are numbers.
type auditTable struct {
	title, note string
	heads       []string
	rows        [][]string
}

func (a *Audit) tables() []auditTable {
	var list []auditTable
	epochs := auditTable{title: "By epoch", note: "as training saw the targets, before each step's update",
		heads: []string{"epoch", "visits", "sft loss", "loss", "mean weight", "loss removed", "gradient removed"}}
	if a.Conflicts != nil {
		epochs.heads = append(epochs.heads, "conflicts of the base", "resolved", "persisting", "new")
	}
	if a.Total.Confident > 0 {
		epochs.heads = append(epochs.heads, "drift")
	}
	for _, e := range a.Epochs {
		row := []string{thousands(int64(e.Epoch)), thousands(e.Visits), num(e.SFTLoss), num(e.WeightedLoss), num(e.MeanWeight), percent(float64(e.LossShare)), percent(float64(e.GradientShare))}
		if a.Conflicts != nil {
			c := e.Conflicts
			row = append(row, thousands(c.Base), thousands(c.Resolved), thousands(c.Persisting), thousands(c.New))
		}
		if a.Total.Confident > 0 {
			row = append(row, percent(float64(e.Drift)))
		}
		epochs.rows = append(epochs.rows, row)
	}
	list = append(list, epochs)
	for _, g := range []struct {
		title, head string
		groups      []AuditGroup
	}{{"By source", "source", a.BySource}, {"By class of token", "class", a.ByClass}} {
		if len(g.groups) == 0 {
			continue
		}
		table := auditTable{title: g.title, note: "what the weights removed",
			heads: []string{g.head, "visits", "mean weight", "loss removed", "gradient removed", "of all removed"}}
		if a.Total.Confident > 0 {
			table.note += ", and where the base's confident tokens were lost"
			table.heads = append(table.heads, "confident", "lost", "drift")
		}
		for _, x := range g.groups[:min(len(g.groups), auditGroups)] {
			row := []string{x.Name, thousands(x.Visits), num(x.MeanWeight), percent(float64(x.LossShare)), percent(float64(x.GradientShare)), percent(float64(x.OfAllRemoved))}
			if a.Total.Confident > 0 {
				row = append(row, thousands(x.Confident), thousands(x.Lost), percent(float64(x.Drift)))
			}
			table.rows = append(table.rows, row)
		}
		if n := len(g.groups) - auditGroups; n > 0 {
			table.note += fmt.Sprintf("; %s more in the JSON", thousands(int64(n)))
		}
		list = append(list, table)
	}
	if n := len(a.Curve); n > 0 {
		curve := auditTable{title: "By step", note: "means of the steps up to this one", heads: []string{"step", "loss", "sft loss", "mean weight", "gradient norm", "learning rate"}}
		shown := min(n, 10)
		for i := range shown {
			p := a.Curve[(i+1)*n/shown-1]
			curve.rows = append(curve.rows, []string{thousands(p.Step), num(p.Loss), num(p.SFTLoss), num(p.MeanWeight), num(p.GradNorm), num(p.LR)})
		}
		list = append(list, curve)
	}
	return list
}

// auditGroups is how many sources a table has.
const auditGroups = 40

// table sets the columns as wide as they need, in two lines of heads.
func (t *text) table(x auditTable) {
	first := len(x.heads[0])
	for _, r := range x.rows {
		first = max(first, len([]rune(r[0])))
	}
	first = min(first, 32)
	var top, low []string
	for _, h := range x.heads[1:] {
		a, b := "", h
		if i := strings.LastIndexByte(h, ' '); i >= 0 && len(h) > 9 {
			a, b = h[:i], h[i+1:]
		}
		top, low = append(top, a), append(low, b)
	}
	widths := make([]int, len(low))
	for i := range widths {
		widths[i] = max(len(top[i]), len(low[i]), 6)
		for _, r := range x.rows {
			widths[i] = max(widths[i], len(r[i+1]))
		}
	}
	write := func(name string, cells []string) {
		s := "  " + pad(name, first)
		for i, c := range cells {
			s += fmt.Sprintf("  %*s", widths[i], c)
		}
		t.f("%s\n", strings.TrimRight(s, " "))
	}
	if strings.Join(top, "") != "" {
		write("", top)
	}
	write(x.heads[0], low)
	for _, r := range x.rows {
		write(r[0], r[1:])
	}
}
