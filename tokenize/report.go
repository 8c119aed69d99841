package tokenize

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/bits"
	"slices"
	"strings"

	"eaft/internal/cli"
	"eaft/internal/store"
	"eaft/parquet"
)

// Report is what a dataset's rows are like, beside its ledger. It is in the
// manifest's summary and, for its rows, in every shard.
type Report struct {
	// Turns are the assistant's turns that are trained at all, Ended those of
	// them whose end of turn is trained too.
	Turns int64 `json:"trained_turns"`
	Ended int64 `json:"trained_ends"`
	// Lengths counts rows by tokens: Lengths[i] those over 2^(i-1), up to 2^i.
	Lengths  []int64            `json:"lengths"`
	Longest  int64              `json:"longest"`
	Weights  *Weights           `json:"weights,omitempty"`         // nil: no row has one
	Examples map[string]Example `json:"reject_examples,omitempty"` // by reason
}

// Example is the first row that was rejected for a reason.
type Example struct {
	Source string `json:"source"`
	Row    int64  `json:"row"`
	Detail string `json:"detail"`
}

// count takes in a row that is in the dataset.
func (r *Report) count(l *Language, row *parquet.TokensRow) {
	n := len(row.InputIDs)
	r.Longest = max(r.Longest, int64(n))
	r.Weights = r.Weights.add(weightsOf(row))
	bin := bits.Len(uint(max(n, 1) - 1))
	for len(r.Lengths) <= bin {
		r.Lengths = append(r.Lengths, 0)
	}
	r.Lengths[bin]++
	for _, s := range row.Spans {
		if s.Role == "assistant" {
			r.turn(l, row, int(s.Start), int(s.End))
		}
	}
	if len(row.Spans) == 0 {
		r.turn(l, row, 0, n)
	}
}

// turn looks at the tokens [lo, hi) of an assistant: its end is the last special
// token there, or right after.
func (r *Report) turn(l *Language, row *parquet.TokensRow, lo, hi int) {
	trained := func(i int) bool { return row.Labels[i] != ignored }
	if !slices.ContainsFunc(row.Labels[lo:hi], func(y int32) bool { return y != ignored }) {
		return
	}
	r.Turns++
	special := func(i int) bool { return l.Tokenizer.IsSpecial(row.InputIDs[i]) }
	end := hi - 1
	for end > lo && !special(end) {
		end--
	}
	if hi < len(row.InputIDs) && special(hi) && end <= lo {
		end = hi
	}
	if special(end) && trained(end) {
		r.Ended++
	}
}

// Add takes in another report, of rows that come after.
func (r *Report) Add(o *Report) {
	r.Turns += o.Turns
	r.Ended += o.Ended
	r.Longest = max(r.Longest, o.Longest)
	r.Weights = r.Weights.add(o.Weights)
	for len(r.Lengths) < len(o.Lengths) {
		r.Lengths = append(r.Lengths, 0)
	}
	for i, n := range o.Lengths {
		r.Lengths[i] += n
	}
	for reason, e := range o.Examples {
		r.example(reason, e)
	}
}

func (r *Report) example(reason string, e Example) {
	if _, ok := r.Examples[reason]; ok {
		return
	}
	if r.Examples == nil {
		r.Examples = map[string]Example{}
	}
	r.Examples[reason] = e
}

// report reads the report of a finished dataset.
func (d Made) report() (*Report, error) {
	r, err := readReport(d.Manifest.Summary)
	if err != nil {
		return nil, cli.Usagef("%s: summary: %w; remove the folder and run again", store.Join(d.Dir, parquet.ManifestName), err)
	}
	return r, nil
}

// Longest is the length of the longest row, in tokens.
func (d Made) Longest() (int64, error) {
	r, err := d.report()
	if err != nil {
		return 0, err
	}
	return r.Longest, nil
}

// maxCount is more than any dataset has of anything, and leaves room for sums;
// maxLengths is how many bins rows of up to 2^31 tokens have.
const (
	maxCount   = 1 << 50
	maxLengths = 32
)

// readReport reads a summary, and refuses counts that cannot be.
func readReport(summary []byte) (*Report, error) {
	r := &Report{}
	if err := json.Unmarshal(summary, r); err != nil {
		return nil, err
	}
	if len(r.Lengths) > maxLengths {
		return nil, fmt.Errorf("lengths has %d bins, more than %d", len(r.Lengths), maxLengths)
	}
	if w := r.Weights; w != nil && (w.Rows < 1 || w.Rows > maxCount || !(w.Least >= 0 && w.Least <= w.Most)) {
		return nil, fmt.Errorf("weights are %+v", *w)
	}
	for name, counts := range map[string][]int64{"trained_turns": {r.Turns}, "trained_ends": {r.Ended}, "longest": {r.Longest}, "lengths": r.Lengths} {
		for _, n := range counts {
			if n < 0 || n > maxCount {
				return nil, fmt.Errorf("%s is %d", name, n)
			}
		}
	}
	return r, nil
}

func share(a, b int64) float64 { return float64(a) / float64(max(b, 1)) }

// WriteText prints a dataset's ledger and report for people.
func WriteText(w io.Writer, d Made) error {
	r, err := d.report()
	if err != nil {
		return err
	}
	g := &d.Manifest.Ledger
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", d.Dir)
	fmt.Fprintf(&b, "  rows          %d of %d", g.RowsOut, g.RowsIn)
	if g.Split > 0 {
		fmt.Fprintf(&b, " (%d more by cutting long ones)", g.Split)
	}
	if g.RowsIn == 0 {
		fmt.Fprintf(&b, "\n  no row's content falls into this split: give it a larger share\n")
		_, err = io.WriteString(w, b.String())
		return err
	}
	fmt.Fprintf(&b, "\n  tokens        %d\n  trained       %d (%.1f%%)\n", g.Tokens, g.Targets, 100*share(g.Targets, g.Tokens))
	fmt.Fprintf(&b, "  end of turn   trained in %d of %d trained turns (%.1f%%)\n", r.Ended, r.Turns, 100*share(r.Ended, r.Turns))
	if w := r.Weights; w != nil {
		fmt.Fprintf(&b, "  weight        of %d rows, from %g to %g\n", w.Rows, w.Least, w.Most)
	}
	if g.Truncated > 0 {
		fmt.Fprintf(&b, "  truncated     %d rows\n", g.Truncated)
	}
	if g.RowsOut > 0 {
		fmt.Fprintf(&b, "  longest row   %d tokens; rows by length:\n", r.Longest)
	}
	most := slices.Max(append([]int64{1}, r.Lengths...))
	for i, n := range r.Lengths {
		if n > 0 {
			bar := strings.Repeat("#", int((n*40+most-1)/most))
			fmt.Fprintf(&b, "%17s %9d  %s\n", fmt.Sprintf("<= %d", 1<<i), n, bar)
		}
	}
	if len(g.Dropped) > 0 {
		fmt.Fprintf(&b, "  dropped       each is in rejects.jsonl\n")
	}
	for _, reason := range slices.Sorted(maps.Keys(g.Dropped)) {
		e := r.Examples[reason]
		fmt.Fprintf(&b, "%13d  %s; first: %s, record %d: %s\n", g.Dropped[reason], reason, e.Source, e.Row, e.Detail)
	}
	_, err = io.WriteString(w, b.String())
	return err
}

// length is a bar of the histogram in JSON.
type length struct {
	UpTo int64 `json:"up_to"`
	Rows int64 `json:"rows"`
}

type dropped struct {
	Reason  string  `json:"reason"`
	Rows    int64   `json:"rows"`
	Example Example `json:"example"`
}

// summary is a dataset's ledger and report in JSON.
type summary struct {
	Dataset      string    `json:"dataset"`
	RowsIn       int64     `json:"rows_in"`
	RowsOut      int64     `json:"rows_out"`
	SplitRows    int64     `json:"split"`
	Truncated    int64     `json:"truncated"`
	Tokens       int64     `json:"tokens"`
	Targets      int64     `json:"targets"`
	TrainedShare float64   `json:"trained_share"`
	Turns        int64     `json:"trained_turns"`
	EndShare     float64   `json:"end_of_turn_trained_share"`
	Longest      int64     `json:"longest"`
	Weights      *Weights  `json:"weights,omitempty"`
	Lengths      []length  `json:"lengths"`
	Dropped      []dropped `json:"dropped"`
}

func (d Made) summary() (*summary, error) {
	r, err := d.report()
	if err != nil {
		return nil, err
	}
	g := &d.Manifest.Ledger
	out := &summary{d.Dir, g.RowsIn, g.RowsOut, g.Split, g.Truncated, g.Tokens, g.Targets, share(g.Targets, g.Tokens), r.Turns, share(r.Ended, r.Turns), r.Longest, r.Weights,
		[]length{}, []dropped{}}
	for i, n := range r.Lengths {
		if n > 0 {
			out.Lengths = append(out.Lengths, length{1 << i, n})
		}
	}
	for _, reason := range slices.Sorted(maps.Keys(g.Dropped)) {
		out.Dropped = append(out.Dropped, dropped{reason, g.Dropped[reason], r.Examples[reason]})
	}
	return out, nil
}

// LogJSON makes one record of what WriteText prints.
func LogJSON(log *cli.Log, d Made) error {
	out, err := d.summary()
	if err == nil {
		log.Info("dataset", "report", out)
	}
	return err
}

// WriteJSON prints the same as one JSON object a line for each dataset.
func WriteJSON(w io.Writer, d Made) error {
	out, err := d.summary()
	if err != nil {
		return err
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(out)
}
