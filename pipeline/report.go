package pipeline

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"eaft/internal/cli"
	"eaft/internal/machine"
	"eaft/internal/store"
	"eaft/internal/version"
	"eaft/parquet"
)

const (
	reportDir     = "report"
	conflictsName = "conflicts.txt"
)

// RunReport is report.json: everything that is known of a run.
type RunReport struct {
	*Status
	Version     string                     `json:"version"`
	CPU         string                     `json:"cpu"` // of the machine that wrote the report
	ISA         string                     `json:"isa"`
	Evaluations map[string]json.RawMessage `json:"evaluations"`       // by step
	Training    []json.RawMessage          `json:"training"`          // metrics.jsonl, a line each
	HeldOut     []json.RawMessage          `json:"held_out"`          // eval.jsonl: held-out rows during the training
	Summary     json.RawMessage            `json:"summary,omitempty"` // summary.json of the training
	Conflicts   json.RawMessage            `json:"conflicts,omitempty"`
	Logs        map[string]string          `json:"-"` // their ends, by step
	Files       []string                   `json:"files"`
}

const (
	maxCurve = 64 << 20 // bytes of metrics.jsonl that are read, and of eval.jsonl
	logEnd   = 4 << 10  // bytes of a log that are shown
)

// Report writes out/report, a folder that says all there is to say of the run:
// index.html and report.json, the conflict report, the curves, the file itself.
func (p *Pipeline) Report(ctx context.Context, plan []Planned) error {
	dir := p.at(p.Out, reportDir)
	if err := store.MkdirAll(dir); err != nil {
		return err
	}
	if err := store.CleanTemps(dir); err != nil {
		return err
	}
	isa, err := p.isa()
	if err != nil {
		return err
	}
	r := &RunReport{Status: p.status(plan), Version: version.Version, CPU: machine.CPU(), ISA: isa,
		Evaluations: map[string]json.RawMessage{}, Training: []json.RawMessage{}, HeldOut: []json.RawMessage{}, Logs: map[string]string{}}
	for i := range plan {
		if err := p.gather(ctx, r, &plan[i]); err != nil {
			return err
		}
	}
	for _, f := range []string{"conflicts.html", "conflicts.json", "conflicts.txt", "metrics.jsonl", "eval.jsonl", "summary.json"} {
		if err := p.keep(r, f); err != nil {
			return err
		}
	}
	file, err := store.ReadFile(p.Path)
	if err != nil {
		return err
	}
	if err := store.WriteFile(p.at(p.Out, reportDir, "run.yaml"), file); err != nil {
		return err
	}
	r.Files = append(r.Files, "run.yaml")
	if err := writeJSON(p.at(p.Out, reportDir, "report.json"), r); err != nil {
		return err
	}
	var page bytes.Buffer
	if err := r.HTML(&page); err != nil {
		return err
	}
	return store.WriteFile(p.at(p.Out, reportDir, "index.html"), page.Bytes())
}

// keep lists a file of the report if it is there.
func (p *Pipeline) keep(r *RunReport, name string) error {
	_, err := store.Stat(p.at(p.Out, reportDir, name))
	if err == nil {
		r.Files = append(r.Files, name)
	} else if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return err
}

// gather takes from a step's folder what belongs into the report. What is not
// there, for the step has not come so far, is removed from the report as well.
func (p *Pipeline) gather(ctx context.Context, r *RunReport, pl *Planned) error {
	if data, err := tail(p.at(pl.Folder, logName), logEnd); err == nil && pl.What != Done {
		r.Logs[pl.Name] = data
	}
	into := func(from, name string) error {
		data, err := store.ReadFile(p.at(pl.Folder, from))
		if errors.Is(err, fs.ErrNotExist) {
			return store.RemoveIfThere(p.at(p.Out, reportDir, name))
		}
		if err != nil {
			return err
		}
		return store.WriteFile(p.at(p.Out, reportDir, name), data)
	}
	switch pl.kind {
	case "inspect":
		if data, err := store.ReadFile(p.at(pl.Folder, "out/report.json")); err == nil && json.Valid(data) {
			r.Conflicts = data
			if err := p.conflictsText(ctx, pl); err != nil {
				return err
			}
		}
		return errors.Join(into("out/report.html", "conflicts.html"), into("out/report.json", "conflicts.json"), into(conflictsName, conflictsName))
	case "train":
		if err := errors.Join(into("out/metrics.jsonl", "metrics.jsonl"), into("out/eval.jsonl", "eval.jsonl"), into("out/summary.json", "summary.json")); err != nil {
			return err
		}
		r.Training = append(r.Training, records(p.at(pl.Folder, "out/metrics.jsonl"))...)
		r.HeldOut = append(r.HeldOut, records(p.at(pl.Folder, "out/eval.jsonl"))...)
		if data, err := store.ReadFile(p.at(pl.Folder, "out/summary.json")); err == nil && json.Valid(data) {
			r.Summary = data
		}
	case "eval":
		if data, err := store.ReadFile(p.at(pl.Folder, "out/eval.json")); err == nil && json.Valid(data) {
			r.Evaluations[pl.Name] = data
		}
	}
	return nil
}

// records are the lines of JSON of a file; none where it is not begun.
func records(name string) (lines []json.RawMessage) {
	f, err := store.Open(name)
	if err != nil {
		return nil
	}
	defer f.Close()
	for dec := json.NewDecoder(io.LimitReader(f, maxCurve)); ; {
		var line json.RawMessage
		if dec.Decode(&line) != nil {
			return lines // the last line of a stopped run may be cut
		}
		lines = append(lines, line)
	}
}

// conflictsText makes the report for a terminal, without the gates, which have had
// their say. It stays in the step's folder until the step runs again, so that a run
// with nothing to do reads no scores.
func (p *Pipeline) conflictsText(ctx context.Context, pl *Planned) error {
	path := p.at(pl.Folder, conflictsName)
	if _, err := store.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var args []string
	skip := false
	for _, a := range pl.Args {
		switch {
		case skip:
			skip = false
		case a == "--html":
			skip = true
		case a == "--json", strings.HasPrefix(a, "--fail-if="), strings.HasPrefix(a, "--html-rows="):
		default:
			args = append(args, a)
		}
	}
	if _, err := store.Stat(p.at(pl.Args[1], parquet.ManifestName)); errors.Is(err, fs.ErrNotExist) {
		return nil // the scores are gone, and the run failed to make them again
	}
	var out, said bytes.Buffer
	if err := p.Runner.Run(ctx, Stage{Program: pl.Program, Args: args, Out: &out, Err: &said, Quiet: true}); ctx.Err() != nil {
		return ctx.Err()
	} else if err != nil {
		return &cli.Error{Code: cli.Code(err), Err: fmt.Errorf("the report's %s: %s; pipeline run --verify makes again what is damaged", conflictsName, lastLine(said.String(), pl.Program))}
	}
	return store.WriteFile(path, out.Bytes())
}

// lastLine is what a program said last, without its name.
func lastLine(said, program string) string {
	lines := strings.Split(strings.TrimSpace(said), "\n")
	return strings.TrimPrefix(lines[len(lines)-1], program+": ")
}

func tail(path string, n int64) (string, error) {
	f, err := store.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.NewSectionReader(f, max(0, f.Size()-n), n))
	return strings.ToValidUTF8(string(data), "\uFFFD"), err
}

//go:embed report.html
var pageSource string

var page = template.Must(template.New("report").Funcs(template.FuncMap{
	"seconds": func(s float64) string {
		return (time.Duration(s*1000) * time.Millisecond).Round(time.Millisecond * 100).String()
	},
	"mib": func(b int64) int64 { return b >> 20 },
	"dropped": func(l *parquet.Ledger) string {
		var out []string
		for reason, n := range l.Dropped {
			out = append(out, fmt.Sprintf("%d %s", n, reason))
		}
		slices.Sort(out)
		return strings.Join(out, ", ")
	},
	"brief": brief, "quote": quote, "again": setFlags, "has": slices.Contains[[]string],
}).Parse(pageSource))

// HTML writes the report as one page, which fetches nothing.
func (r *RunReport) HTML(w io.Writer) error {
	train, held := curves(r.Training, r.HeldOut)
	end, stopped := heldOutAtEnd(r.Summary, r.HeldOut)
	return page.Execute(w, struct {
		*RunReport
		Curves, HeldOutCurves []curve
		Tables                []evalTable
		HeldOutEnd            evalTable
		Stopped               string
	}{r, train, held, tabulate(r), end, stopped})
}

// numbers are the fields of an object that are numbers.
func numbers(data json.RawMessage) map[string]float64 {
	var fields map[string]any
	out := map[string]float64{}
	if json.Unmarshal(data, &fields) != nil {
		return out
	}
	for k, v := range fields {
		if x, ok := v.(float64); ok {
			out[k] = x
		}
	}
	return out
}

// order is that in which an object's fields stand; of what is no object, none.
func order(data json.RawMessage) (keys []string) {
	dec := json.NewDecoder(bytes.NewReader(data))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil
	}
	depth, key := 1, true
	for {
		tok, err := dec.Token()
		if err != nil {
			return keys
		}
		switch d, isDelim := tok.(json.Delim); {
		case isDelim && (d == '{' || d == '['):
			depth++
		case isDelim:
			depth--
			if depth == 1 {
				key = true
			}
		case depth == 1 && key:
			keys = append(keys, tok.(string))
			key = false
		case depth == 1:
			key = true
		}
	}
}

// gate reports that the run ended at a gate.
func (s StepStatus) gate() bool {
	n := len(s.Attempts)
	return n > 0 && s.Attempts[n-1].Ended && s.Attempts[n-1].Exit == cli.ExitGate
}

// Outcome is a word for the page.
func (s StepStatus) Outcome() string {
	switch {
	case s.State == Done:
		return "done"
	case s.gate():
		return "refused by a gate"
	case len(s.Attempts) == 0:
		return "not run"
	}
	return s.State
}
