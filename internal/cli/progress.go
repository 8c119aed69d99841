package cli

import (
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// Progress shows how far a stage is: a bar that redraws itself on a terminal,
// elsewhere a line every 30 seconds, of a Log a record. It is used by one goroutine.
type Progress struct {
	w           io.Writer
	log         *Log // nil: w is for people
	tty         bool
	what, unit  string
	total       int64
	done, start int64 // start: what an earlier run had done, which says nothing about this run's speed
	began, last time.Time
}

// NewProgress reports on w; total and done count units (tokens, rows, bytes).
func NewProgress(w io.Writer, what, unit string, total, done int64) *Progress {
	log, _ := w.(*Log)
	now := time.Now()
	return &Progress{w: w, log: log, tty: Terminal(w), what: what, unit: unit,
		total: total, done: done, start: done, began: now, last: now}
}

// Rate is units a second in this run.
func (p *Progress) Rate() float64 {
	return float64(p.done-p.start) / max(time.Since(p.began).Seconds(), 1e-9)
}

// Add counts n more units; note is shown at the end of the line.
func (p *Progress) Add(n int64, note string) {
	p.done += n
	every := 30 * time.Second
	if p.tty {
		every = 100 * time.Millisecond
	}
	if time.Since(p.last) < every {
		return
	}
	p.last = time.Now()
	p.print(note)
}

// Done ends the bar's line.
func (p *Progress) Done() {
	if p.tty {
		p.print("")
		fmt.Fprintln(p.w)
	}
}

func (p *Progress) print(note string) {
	if p.log != nil {
		more := []any{"stage", p.what, "done", p.done, "total", p.total, "unit", p.unit, "per_second", p.Rate()}
		if r := p.Rate(); r > 0 {
			more = append(more, "eta_seconds", math.Round(float64(p.total-p.done)/r))
		}
		if note != "" {
			more = append(more, "note", note)
		}
		p.log.Info("progress", more...)
		return
	}
	share := float64(p.done) / float64(max(p.total, 1))
	eta := "?"
	if r := p.Rate(); r > 0 {
		eta = (time.Duration(float64(p.total-p.done)/r) * time.Second).String()
	}
	line := fmt.Sprintf("%s %3.0f%%  %s  ETA %s  %s", p.what, 100*share, p.amounts(), eta, note)
	if !p.tty {
		fmt.Fprintln(p.w, strings.TrimSpace(line))
		return
	}
	columns := 80
	if w, _, err := term.GetSize(int(p.w.(*os.File).Fd())); err == nil && w > 0 {
		columns = w
	}
	fmt.Fprintf(p.w, "\r\x1b[K%s", fit(line, share, columns))
}

// amounts are what is done of all, and the rate.
func (p *Progress) amounts() string {
	if p.unit == "bytes" {
		return fmt.Sprintf("%.1f/%.1f MB  %.1f MB/s", float64(p.done)/1e6, float64(p.total)/1e6, p.Rate()/1e6)
	}
	rate := fmt.Sprintf("%.0f", p.Rate())
	if p.Rate() < 10 {
		rate = fmt.Sprintf("%.2g", p.Rate())
	}
	return fmt.Sprintf("%d/%d %s  %s/s", p.done, p.total, p.unit, rate)
}

// fit makes a line of a terminal: the text with a bar before it, if both have room;
// what has none is left out, for a line that wraps cannot be drawn anew.
func fit(text string, share float64, columns int) string {
	const width = 24
	line := []rune(strings.TrimSpace(text))
	if len(line)+width+3 < columns {
		fill := min(width, int(share*width))
		return fmt.Sprintf("[%s%s] %s", strings.Repeat("=", fill), strings.Repeat(" ", width-fill), string(line))
	}
	return string(line[:min(len(line), max(columns-1, 0))])
}
