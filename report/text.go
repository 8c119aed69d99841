package report

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"regexp"
	"strings"
	"unicode/utf8"
)

const width = 100 // columns that the text keeps to

// Text writes r for people. colour uses ANSI colours: only for a terminal.
func Text(w io.Writer, r *Report, colour bool) error {
	t := &text{colour: colour}
	if r.Targets == 0 {
		_, err := fmt.Fprintf(w, "No trained token in %s rows: there is nothing to report.\n", thousands(r.Rows))
		return err
	}
	t.header(r)
	t.plane(r)
	t.whatIf(r)
	t.why(r)
	t.gates(r)
	t.groups("By source", "source", r.BySource)
	if len(r.ByRole) > 1 { // all of one role is no news
		t.groups("By role", "role", r.ByRole)
	}
	if len(r.ByTurn) > 1 {
		t.groups("By turn", "turn, from 0", r.ByTurn)
	}
	t.groups("By place in the answer", "place of the token, from 1", r.ByPosition)
	t.groups("By class of token", "class", r.ByClass)
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
		thousands(r.Conflicts), thousands(r.Targets), percent(float64(r.ConflictRate)), thousands(r.Rows))))
	t.f("Here the model was sure of another token than the one in the data. A conflict has\n")
	t.f("probability <= %s and gate entropy <= %s, with top-%d mass >= %s  (%s, h: %s).\n",
		num(r.Cuts.Prob), num(r.Cuts.H), r.K, num(r.Cuts.MinMass), r.Cuts.Thresholds, r.Cuts.Estimator)
	if r.Made.Model != "" {
		model := brief(r.Made.Model)
		if r.Made.Name != "" {
			model = r.Made.Name + " (" + model + ")"
		}
		t.f("Scored by the model %s in %s on %s, eaft %s.\n", model, r.Made.DType, r.Made.ISA, r.Made.Version)
	}
	t.f("\n")
	t.f("  mean log-probability     %9s   (perplexity %s)\n", num(r.MeanLogProb), num(Num(math.Exp(-float64(r.MeanLogProb)))))
	t.f("  mean gate entropy h      %9s   (0: sure, 1: knows nothing)\n", num(r.MeanH))
	t.f("  mean top-%-3d mass        %9s\n", r.K, num(r.MeanTopKMass))
	t.f("  top-%-3d ~ full entropy   %9s   (correlation)\n", r.K, num(r.Correlation))
	t.f("  share of the loss        %9s   (of -log p, in the conflicts)\n", percent(float64(r.ConflictLoss)/float64(r.Loss)))
	t.f("  rows with a conflict     %9s   (%s)\n", thousands(r.ConflictRows), percent(float64(r.ConflictRows)/float64(r.Rows)))
	if !math.IsNaN(float64(r.RateLow)) && r.Conflicts > 0 {
		t.f("  conflict rate            %9s   (95%% interval, rows resampled: %s - %s)\n", percent(float64(r.ConflictRate)), percent(float64(r.RateLow)), percent(float64(r.RateHigh)))
	}
	if c := r.Calibration; c != nil {
		t.f("  calibration error        %9s   (of the top token, in %s targets of ordinary text)\n", num(c.ECE), thousands(c.Targets))
	}
	t.warnings(r.Warnings)
}

var hashes = regexp.MustCompile(`sha256:([0-9a-f]{12})[0-9a-f]*`)

// brief shortens hashes.
func brief(s string) string { return hashes.ReplaceAllString(s, "$1") }

// warnings sets off what the reader must know of the numbers.
func (t *text) warnings(list []string) {
	for i, s := range list {
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

// shownGroups bounds the lines of a dimension; JSON has them all.
const shownGroups = 30

func (t *text) groups(title, name string, list []Group) {
	if len(list) == 0 {
		return
	}
	t.title(title, "")
	t.f("  %-36s %9s %12s %9s %7s   %s\n", name, "rows", "tokens", "conflicts", "rate", "95% interval")
	for i, g := range list {
		if i == shownGroups {
			t.f("  and %s more\n", thousands(int64(len(list)-i)))
			break
		}
		label := g.Name
		if label == "" {
			label = "(unnamed)"
		}
		interval := "-"
		if !math.IsNaN(float64(g.Low)) && g.Conflicts > 0 { // resampled, no conflict stays none
			interval = percent(float64(g.Low)) + " - " + percent(float64(g.High))
		}
		t.f("  %s %9s %12s %9s %7s   %s\n", pad(label, 36), thousands(g.Rows), thousands(g.Targets), thousands(g.Conflicts), percent(float64(g.ConflictRate)), interval)
	}
}

func (t *text) why(r *Report) {
	if r.Conflicts == 0 || len(r.Why) == 0 {
		return
	}
	t.title("Why", "what the conflicts are; an example each")
	for _, w := range r.Why {
		if w.Conflicts == 0 {
			continue
		}
		t.f("  %s %9s %7s  %s\n", pad(w.Why, 12), thousands(w.Conflicts), percent(float64(w.Share)), t.paint(dim, whyMeanings[w.Why]))
		if len(w.Examples) == 0 {
			continue
		}
		e := w.Examples[0]
		l := line{t: t, indent: "      "}
		l.words(tail(e.Before, 40))
		l.add(fmt.Sprintf("{%s %s | %s %s}", clip(e.GivenText, 24), percent(float64(e.Prob)), clip(e.ExpectedText, 24), percent(float64(e.ExpectedProb))),
			"{"+t.paint(red, clip(e.GivenText, 24))+" "+percent(float64(e.Prob))+" | "+t.paint(green, clip(e.ExpectedText, 24))+" "+percent(float64(e.ExpectedProb))+"}")
		if e.Rows > 1 {
			l.words(fmt.Sprintf("  in %s rows", thousands(e.Rows)))
		}
		l.end()
	}
}

// whyMeanings spell the reasons out.
var whyMeanings = map[string]string{
	"format":       "template, markup or punctuation on either side",
	"tokenization": "the two tokens spell prefixes of each other",
	"variant":      "the same but for case, white space, a letter more or two swapped",
	"number":       "one number for another",
	"repeated":     "one word for another, after the same tokens in three rows or more",
	"content":      "one word for another",
	"unknown":      "tokens that the vocabulary does not spell",
}

func (t *text) gates(r *Report) {
	if r.Targets == 0 {
		return
	}
	t.title("What a gate would do", "to these targets, before any training")
	t.f("  %-16s %12s %22s %14s %12s\n", "gate", "mean weight", "effective sample size", "gradient kept", "loss kept")
	for _, g := range r.Gates {
		t.f("  %-16s %12s %22s %14s %12s\n", g.Gate, num(g.MeanWeight), percent(float64(g.EffShare)), percent(float64(g.GradientKept)), percent(float64(g.LossKept)))
	}
	t.f("\n  A gate multiplies each target's loss by a weight; plain SFT has 1 everywhere. The effective\n  sample size is (sum w)^2 / sum w^2, of the targets; kept is what is left of SFT's.\n")
}

func (t *text) whatIf(r *Report) {
	if len(r.WhatIf) == 0 {
		return
	}
	t.title("What if", "the cuts were others")
	t.f("  %-28s %12s %9s %16s\n", "cuts", "conflicts", "rate", "share of loss")
	for _, w := range r.WhatIf {
		t.f("  %-28s %12s %9s %16s\n", "p<="+num(w.Prob)+", h<="+num(w.H), thousands(w.Conflicts), percent(float64(w.ConflictRate)), percent(float64(w.ConflictLoss)/float64(r.Loss)))
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
	t.title("What the model expected, and what the data gave", fmt.Sprintf("%s of %s pairs", thousands(int64(len(r.Pairs))), thousands(int64(r.PairsTotal))))
	t.f("  %7s  %s %8s      %s %8s\n", "count", pad("expected", 32), "mean p", pad("given", 32), "mean p")
	for _, p := range r.Pairs {
		t.f("  %7s  %s %8s  ->  %s %8s\n", thousands(p.Count),
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

// end ends the line, without the spaces behind its last word.
func (l *line) end() {
	if l.col > 0 {
		l.t.b.Truncate(len(bytes.TrimRight(l.t.b.Bytes(), " ")))
		l.t.f("\n")
	}
	l.col = 0
}
