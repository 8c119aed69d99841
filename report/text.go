package report

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"strings"
	"unicode/utf8"
)

const width = 100 // columns that the text keeps to

// Text writes r for people. colour uses ANSI colours: only for a terminal.
func Text(w io.Writer, r *Report, colour bool) error {
	t := &text{colour: colour}
	t.header(r)
	t.plane(r)
	t.sources(r)
	t.worst(r)
	t.pairs(r)
	_, err := w.Write(t.b.Bytes())
	return err
}

type text struct {
	b      bytes.Buffer
	colour bool
}

func (t *text) f(format string, a ...any) { fmt.Fprintf(&t.b, format, a...) }

// ANSI colours.
const (
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
)

func (t *text) paint(code, s string) string {
	if !t.colour {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (t *text) title(s, note string) {
	t.f("\n%s", t.paint(bold, s))
	if note != "" {
		t.f("  %s", t.paint(dim, note))
	}
	t.f("\n\n")
}

func (t *text) header(r *Report) {
	t.f("%s\n\n", t.paint(bold, fmt.Sprintf("%s confident conflicts in %s trained tokens (%s) of %s rows",
		group(r.Conflicts), group(r.Targets), percent(float64(r.ConflictRate)), group(r.Rows))))
	t.f("Here the model was sure of another token than the one in the data. A conflict has\n")
	t.f("probability <= %s and gate entropy <= %s, with top-%d mass >= %s  (%s, h: %s).\n\n",
		num(r.Cuts.Prob), num(r.Cuts.H), r.K, num(r.Cuts.MinMass), r.Cuts.Thresholds, r.Cuts.Estimator)
	t.f("  mean log-probability     %9s   (perplexity %s)\n", num(r.MeanLogProb), num(Num(math.Exp(-float64(r.MeanLogProb)))))
	t.f("  mean gate entropy h      %9s   (0: sure, 1: knows nothing)\n", num(r.MeanH))
	t.f("  mean top-%-3d mass        %9s\n", r.K, num(r.MeanTopKMass))
	t.f("  top-%-3d ~ full entropy   %9s   (correlation)\n", r.K, num(r.Correlation))
	t.f("  share of the loss        %9s   (of -log p, in the conflicts)\n", percent(float64(r.ConflictLoss)/float64(r.Loss)))
	t.f("  rows with a conflict     %9s   (%s)\n", group(r.ConflictRows), percent(float64(r.ConflictRows)/float64(r.Rows)))
	for i, s := range r.Warnings {
		if i == 0 {
			t.f("\n")
		}
		for j, line := range wrap(s, width-4) {
			mark := "!"
			if j > 0 {
				mark = " "
			}
			t.f("  %s %s\n", t.paint(yellow, mark), line)
		}
	}
}

// plane draws the counts; the cells under both cuts stand in [ ].
func (t *text) plane(r *Report) {
	if r.Targets == 0 {
		return
	}
	t.title("Probability x gate entropy", "tokens per cell, of any mass; [ ]: under both cuts")
	t.f("   h <=\n")
	p := r.Plane
	for i := len(p.Counts) - 1; i >= 0; i-- {
		t.f("%7s |", short(p.HEdges[i+1]))
		for j, n := range p.Counts[i] {
			cell := "."
			if n > 0 {
				cell = compact(n)
			}
			if p.HEdges[i+1] <= float64(r.Cuts.H) && p.ProbEdges[j+1] <= float64(r.Cuts.Prob) {
				t.f(" %s", t.paint(red, fmt.Sprintf("[%5s]", cell)))
			} else {
				t.f(" %6s%s", cell, gutter(j, len(p.Counts[i])))
			}
		}
		t.f("\n")
	}
	t.f("        +%s\n  p <=   ", strings.Repeat("-", 8*(len(p.ProbEdges)-1)))
	for j, e := range p.ProbEdges[1:] {
		t.f(" %6s%s", short(e), gutter(j, len(p.ProbEdges)-1))
	}
	t.f("\n")
}

// gutter follows every column but the last, so that no line ends in a space.
func gutter(j, n int) string {
	if j == n-1 {
		return ""
	}
	return " "
}

func (t *text) sources(r *Report) {
	if len(r.BySource) == 0 {
		return
	}
	t.title("By source", "")
	t.f("  %-44s %10s %12s %10s %8s\n", "source", "rows", "tokens", "conflicts", "rate")
	for _, s := range r.BySource {
		name := s.Source
		if name == "" {
			name = "(unnamed)"
		}
		t.f("  %s %10s %12s %10s %8s\n", pad(name, 44), group(s.Rows), group(s.Targets), group(s.Conflicts), percent(float64(s.ConflictRate)))
	}
}

func (t *text) worst(r *Report) {
	if len(r.WorstRows) == 0 {
		return
	}
	t.title("Worst rows", "by -log p summed over their conflicts; {given p | expected p}")
	for i, row := range r.WorstRows {
		head := fmt.Sprintf("%2d. row %d, id %s", i+1, row.Row, row.ID)
		if row.Source != "" {
			head += ", " + row.Source
		}
		tail := fmt.Sprintf("  %d of %d tokens, loss %.1f", row.Conflicts, row.Targets, float64(row.ConflictLoss))
		t.f("%s%s\n", t.paint(bold, clip(head, width-len(tail))), tail)
		t.pieces(row.Pieces)
	}
}

// shownConflicts bounds the text of a row; JSON has them all.
const shownConflicts = 8

func (t *text) pieces(pieces []Piece) {
	l := line{t: t, indent: "    "}
	shown, left := 0, 0
	for i, p := range pieces {
		if i > 0 && p.Conflict != nil && pieces[i-1].Conflict != nil && left == 0 {
			l.words(" ")
		}
		switch c := p.Conflict; {
		case c != nil && shown == shownConflicts:
			left++
		case c != nil:
			shown++
			l.add(fmt.Sprintf("{%s %s | %s %s}", clip(p.Text, 24), percent(float64(c.Prob)), clip(c.ExpectedText, 24), percent(float64(c.ExpectedProb))),
				"{"+t.paint(red, clip(p.Text, 24))+" "+percent(float64(c.Prob))+" | "+t.paint(green, clip(c.ExpectedText, 24))+" "+percent(float64(c.ExpectedProb))+"}")
		case left > 0:
		case p.Skipped > 0:
			l.add("…", t.paint(dim, "…"))
		default:
			l.words(p.Text)
		}
	}
	if left > 0 {
		s := fmt.Sprintf(" … and %d more conflicts", left)
		l.add(s, t.paint(dim, s))
	}
	l.end()
}

func (t *text) pairs(r *Report) {
	if len(r.Pairs) == 0 {
		return
	}
	t.title("What the model expected, and what the data gave", fmt.Sprintf("%s of %s pairs", group(int64(len(r.Pairs))), group(int64(r.PairsTotal))))
	t.f("  %7s  %s %8s      %s %8s\n", "count", pad("expected", 32), "mean p", pad("given", 32), "mean p")
	for _, p := range r.Pairs {
		t.f("  %7s  %s %8s  ->  %s %8s\n", group(p.Count),
			t.paint(green, pad(p.ExpectedText, 32)), percent(float64(p.MeanExpectedProb)),
			t.paint(red, pad(p.GivenText, 32)), percent(float64(p.MeanGivenProb)))
	}
}

// line breaks a stream of stretches at width.
type line struct {
	t      *text
	indent string
	col    int
}

// add writes plain's columns as painted, on one line.
func (l *line) add(plain, painted string) {
	n := utf8.RuneCountInString(plain)
	if l.col > 0 && l.col+n > width {
		l.end()
	}
	if l.col == 0 {
		l.t.f("%s", l.indent)
		l.col = len(l.indent)
	}
	l.t.f("%s", painted)
	l.col += n
}

// words breaks before words, and inside of those longer than a line.
func (l *line) words(s string) {
	for _, word := range strings.SplitAfter(s, " ") {
		for runes := []rune(word); len(runes) > 0; {
			n := min(len(runes), width-len(l.indent))
			l.add(string(runes[:n]), string(runes[:n]))
			runes = runes[n:]
		}
	}
}

func (l *line) end() {
	if l.col > 0 {
		l.t.f("\n")
	}
	l.col = 0
}
