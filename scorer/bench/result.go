package bench

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// Result is what a run measured. Rates are 1e9 a second. What could not be
// measured is 0.
type Result struct {
	CPU         string  `json:"cpu"`
	ISA         string  `json:"isa"`
	Threads     int     `json:"threads"`
	Instruction string  `json:"peak_instruction"`
	Peak        float64 `json:"peak_gflops"`
	Bandwidth   float64 `json:"read_gb_per_s"`
	Buffer      int     `json:"read_buffer_bytes"`
	Model       string  `json:"model"`
	DType       string  `json:"dtype"`
	Tokens      int     `json:"tokens"`
	Rows        int     `json:"rows"`
	RowLength   int     `json:"row_length"`
	Passes      int     `json:"passes"` // of which the median is shown
	Score       *Pass   `json:"score"`
	Decode      *Pass   `json:"decode"` // products of one token
	Train       *Pass   `json:"train,omitempty"`
}

// Pass is a pass of median time.
type Pass struct {
	Seconds         float64 `json:"seconds"`
	TokensPerSecond float64 `json:"tokens_per_second"`
	Rates
	Parts []Part `json:"parts"`
}

// Part is one kind of operation in a pass.
type Part struct {
	Phase   string  `json:"phase,omitempty"`
	Name    string  `json:"part"`
	Calls   int     `json:"calls"`
	Seconds float64 `json:"seconds"`
	Share   float64 `json:"share"` // of the pass
	Rates
}

// Rates are operations and bytes, and the speed of them. Operations are two for
// each multiply-add of the matrix products; bytes are counted of operations that
// are none.
type Rates struct {
	Flops          float64 `json:"flop"`
	Bytes          float64 `json:"bytes"`
	GFlops         float64 `json:"gflops"`
	PeakShare      float64 `json:"peak_share"`
	GBytes         float64 `json:"gb_per_s"`
	BandwidthShare float64 `json:"read_share"` // above 1: it lay in a cache
}

// otherName is the part of a pass's time that no operation has.
const otherName = "between them"

// pass adds the parts up and sorts each phase by time.
func (s sample) pass(tokens int) *Pass {
	p := &Pass{Seconds: s.seconds, TokensPerSecond: float64(tokens) / s.seconds}
	rest := s.seconds
	phases := []string{}
	for _, part := range s.parts {
		rest -= part.Seconds
		p.Flops += part.Flops
		p.Bytes += part.Bytes
		if !slices.Contains(phases, part.Phase) {
			phases = append(phases, part.Phase)
		}
	}
	p.Parts = append(s.parts, Part{Name: otherName, Seconds: max(0, rest)})
	order := func(x Part) int {
		if x.Name == otherName {
			return len(phases)
		}
		return slices.Index(phases, x.Phase)
	}
	slices.SortStableFunc(p.Parts, func(a, b Part) int {
		return cmp.Or(cmp.Compare(order(a), order(b)), cmp.Compare(b.Seconds, a.Seconds))
	})
	return p
}

// compare fills in rates and their shares of the machine's limits.
func (r *Result) compare() {
	for _, p := range []*Pass{r.Score, r.Decode, r.Train} {
		if p == nil {
			continue
		}
		r.rate(&p.Rates, p.Seconds)
		for i := range p.Parts {
			part := &p.Parts[i]
			part.Share = part.Seconds / p.Seconds
			r.rate(&part.Rates, part.Seconds)
		}
	}
}

func (r *Result) rate(x *Rates, seconds float64) {
	if seconds <= 0 {
		return
	}
	x.GFlops, x.GBytes = x.Flops/seconds/1e9, x.Bytes/seconds/1e9
	if r.Peak > 0 {
		x.PeakShare = x.GFlops / r.Peak
	}
	if r.Bandwidth > 0 {
		x.BandwidthShare = x.GBytes / r.Bandwidth
	}
}

// JSON writes the result for programs.
func (r *Result) JSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// Text writes the result for people.
func (r *Result) Text(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "CPU     %s, ISA %s", r.CPU, r.ISA)
	if r.Threads > 0 {
		fmt.Fprintf(&b, ", %s\n", count(r.Threads, "thread"))
		fmt.Fprintf(&b, "peak    %.4g GFLOP/s: %s in registers, all threads at once\n", r.Peak, r.Instruction)
		fmt.Fprintf(&b, "memory  %.3g GB/s read from %d MiB, all threads at once\n", r.Bandwidth, r.Buffer>>20)
	} else {
		b.WriteString("\npeak    not known of this device\n")
	}
	fmt.Fprintf(&b, "model   %s in %s, %d tokens in %s of up to %d\n\n", r.Model, r.DType, r.Tokens, count(r.Rows, "row"), r.RowLength)
	fmt.Fprintf(&b, "Of every pass the one of median time, of %d after one to warm up; limits are the best of\n10 rounds, half before the passes and half after. GFLOP/s count the matrix products, two\nfor each multiply-add, masked scores left out; GB/s the operands of everything else, each\nonce, and may exceed the memory's where they lie in a cache.\n", r.Passes)
	r.Score.text(&b, "Score every position", true)
	r.Decode.text(&b, "Products of one token", false)
	if r.Train != nil {
		r.Train.text(&b, "Train on every position: forward, backward, optimizer", true)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// text writes a pass as a table; whole says that its products are held against the peak.
func (p *Pass) text(b *strings.Builder, title string, whole bool) {
	fmt.Fprintf(b, "\n%s: %.4g ms, %.0f tokens/s", title, 1e3*p.Seconds, p.TokensPerSecond)
	if whole {
		fmt.Fprintf(b, ", %.4g GFLOP/s, %s of the peak\n\n", p.GFlops, percent(p.PeakShare))
	} else {
		fmt.Fprintf(b, ", %.3g GB/s of weights (%.3g MB), %s of the memory's\n\n", p.GBytes, p.Bytes/1e6, percent(p.BandwidthShare))
	}
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "\tcalls\tms\tshare\tGFLOP/s\tof peak\tGB/s\tof memory\t\n")
	names := newColumn(p.Parts)
	phase := ""
	for i, part := range p.Parts {
		if part.Phase != phase {
			phase = part.Phase
			if phase != "" {
				fmt.Fprintf(w, "%s\t\t\t\t\t\t\t\t\n", names.pad(phase))
			}
		}
		fmt.Fprintf(w, "%s\t%s\t%.3f\t%s\t%s\t%s\t%s\t%s\t\n", names.pad(names.of(p.Parts[i])), blank(part.Calls > 0, fmt.Sprint(part.Calls)),
			1e3*part.Seconds, percent(part.Share),
			blank(part.Flops > 0, fmt.Sprintf("%.1f", part.GFlops)), blank(part.Flops > 0, percent(part.PeakShare)),
			blank(part.Bytes > 0, fmt.Sprintf("%.1f", part.GBytes)), blank(part.Bytes > 0, percent(part.BandwidthShare)))
	}
	_ = w.Flush() // a strings.Builder takes everything
	for line := range strings.Lines(table.String()) {
		b.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
}

// column is the width of the names, which stand left of right-aligned numbers.
type column int

func newColumn(parts []Part) (c column) {
	for _, p := range parts {
		c = max(c, column(len(c.of(p))))
	}
	return c
}

func (column) of(p Part) string {
	if p.Phase != "" {
		return "  " + p.Name
	}
	return p.Name
}

func (c column) pad(s string) string { return fmt.Sprintf("%-*s", int(c), s) }

func blank(ok bool, s string) string {
	if ok {
		return s
	}
	return ""
}

func percent(x float64) string {
	if x > 0 && x < 0.0995 {
		return fmt.Sprintf("%.1f%%", 100*x)
	}
	return fmt.Sprintf("%.0f%%", 100*x)
}
