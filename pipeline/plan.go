package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"

	"eaft/internal/cli"
	"eaft/internal/store"
)

// What is to be done of a step.
const (
	Done   = "done"
	Anew   = "run"    // nothing of it is there
	Resume = "resume" // begun, and not finished
	Mend   = "mend"   // finished, and damaged since
)

// Planned is a step and what would be done of it.
type Planned struct {
	*Step
	What   string
	Why    []string
	Record *Record
}

// Pipeline is a run with what it works with.
type Pipeline struct {
	*Config
	Runner    *Runner
	ModelHash func(ref string) (string, error)
	// ISA is the instruction set of this machine that goes by the name (EAFT_CPU);
	// the best one for "".
	ISA     func(name string) (string, error)
	Wait    bool          // for another run or for workers, instead of refusing
	Verify  bool          // read all shards of what is finished and compare hashes
	Until   string        // the last step to run; "": all
	Metrics string        // file of OpenMetrics text; "": none
	Lease   time.Duration // after which a worker that shows no life has lost its claim
	Set     []string      // what --set said, which a worker must be told to read the same Config
	// Environment is what the environment set instead of the file, as --set says it: where
	// a scheduler runs a worker it is another one.
	Environment []string
}

// pin is out/pin.json: what all machines of a run must have alike.
type pin struct {
	ISA string `json:"isa"`
}

// isa is the instruction set of the run: what its file says, else what its first
// machine had, else the best one here.
func (p *Pipeline) isa() (string, error) {
	if p.CPU != "" {
		return p.CPU, nil
	}
	var have pin
	err := readJSON(p.at(p.Out, "pin.json"), &have)
	if err == nil && have.ISA != "" {
		return have.ISA, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	return p.ISA("")
}

// able makes sure that this machine can make the run: it has a folder for it, and
// computes as the run does. Nothing is written.
func (p *Pipeline) able() (isa string, err error) {
	if err := p.creatable(); err != nil {
		return "", err
	}
	if isa, err = p.isa(); err != nil {
		return "", unusable(err)
	}
	if _, err := p.ISA(isa); err != nil {
		from := p.at(p.Out, "pin.json")
		if p.CPU != "" {
			from = p.place("cpu")
		}
		return "", cli.Usagef("this run computes with %s, which all of its machines need (%s): %w; run elsewhere, or set cpu to what all have", isa, from, err)
	}
	return isa, nil
}

// creatable refuses a folder of this machine that is none, or that the user may not
// make or write in.
func (p *Pipeline) creatable() error {
	out := p.at(p.Out)
	if store.IsURL(out) {
		return nil // asked when something is written
	}
	for dir := filepath.Clean(out); ; dir = filepath.Dir(dir) {
		st, err := os.Stat(dir)
		if errors.Is(err, fs.ErrNotExist) && filepath.Dir(dir) != dir {
			continue
		}
		if errors.Is(err, syscall.ENOTDIR) {
			continue // below a file, which is met next
		}
		if err == nil && !st.IsDir() {
			return cli.Usagef("out: %s is a file; name a folder", dir)
		}
		if err == nil {
			err = unix.Access(dir, unix.W_OK|unix.X_OK)
		}
		if err != nil {
			return cli.Usagef("out: %s cannot be written: %s: %w", out, dir, err)
		}
		return nil
	}
}

// provide is able, and pins how the run computes.
func (p *Pipeline) provide() (isa string, err error) {
	if isa, err = p.able(); err != nil || p.CPU != "" {
		return isa, err
	}
	if err := store.MkdirAll(p.at(p.Out)); err != nil {
		return "", cli.Usagef("out: %w", err)
	}
	made, err := store.CreateNew(p.at(p.Out, "pin.json"), fmt.Appendf(nil, "{\"isa\": %q}\n", isa))
	if err == nil && !made {
		// Since the look above, or it is this one; another's machine may be another one.
		var now string
		if now, err = p.isa(); err == nil && now != isa {
			return p.provide()
		}
	}
	return isa, unusable(err)
}

// unusable is wrong use where a folder cannot be had at all: it is not there, or not
// this user's.
func unusable(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return cli.Usagef("out: %w", err)
	}
	return err
}

// Plan says for every step of the run whether it is done, and if not, why.
func (p *Pipeline) Plan(ctx context.Context) ([]Planned, error) {
	isa, err := p.isa()
	if err != nil {
		return nil, err
	}
	if err := p.fetch(ctx, true); err != nil {
		return nil, err
	}
	m := openMemo(p.at(p.Out, hashesName))
	if p.Verify {
		m.known = nil
	}
	steps, err := p.Steps(Facts{p.ModelHash, isa, m})
	if err != nil {
		return nil, err
	}
	m.save()
	var last map[string]map[string]string // parts by step
	if err := readJSON(p.at(p.Out, stateName), &last); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, unusable(err)
	}
	var out []Planned
	for _, s := range steps {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		pl := Planned{Step: s}
		if pl.Record, err = p.record(s); err != nil {
			return nil, unusable(err)
		}
		if err := p.look(&pl, last); err != nil {
			return nil, unusable(err)
		}
		out = append(out, pl)
	}
	return out, nil
}

// Checked is Plan, and refuses what Run would: what this machine cannot make, and
// options that a stage of what would run does not take.
func (p *Pipeline) Checked(ctx context.Context) ([]Planned, error) {
	if _, err := p.able(); err != nil {
		return nil, err
	}
	plan, err := p.Plan(ctx)
	if err != nil {
		return nil, err
	}
	p.Runner.Work = p.workplace()
	return plan, p.probe(ctx, plan)
}

// look decides about one step.
func (p *Pipeline) look(pl *Planned, last map[string]map[string]string) error {
	r := pl.Record
	switch {
	case r.Done:
		why, err := p.damage(pl.Step, r, p.Verify)
		if err != nil {
			return err
		}
		pl.What = Done
		if why != "" {
			pl.What, pl.Why = Mend, []string{why}
		}
		return nil
	case len(r.Attempts) > 0:
		a := r.Attempts[len(r.Attempts)-1]
		pl.What = Resume
		switch {
		case !a.Ended:
			pl.Why = []string{"was killed, or is at work"}
		case a.Exit == cli.ExitStopped:
			pl.Why = []string{"was stopped"}
		case a.Exit == cli.ExitGate:
			pl.Why = []string{"a gate said no"}
		default:
			pl.Why = []string{fmt.Sprintf("failed with exit code %d", a.Exit)}
		}
		return nil
	}
	pl.What = Anew
	was, ran := last[pl.Name]
	if !ran {
		pl.Why = []string{"never ran"}
		return nil
	}
	pl.Why = difference(was, pl.Parts)
	if len(pl.Why) == 0 {
		pl.Why = []string{"its result is gone"}
	}
	return nil
}

// WritePlan prints what would run and why.
func WritePlan(w io.Writer, plan []Planned) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, pl := range plan {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", pl.Name, pl.What, pl.Folder, strings.Join(pl.Why, "; "))
	}
	return t.Flush()
}
