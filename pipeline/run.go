package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"eaft/internal/cli"
	"eaft/internal/lock"
	"eaft/internal/store"
)

const lockName = "lock"

// Run makes what is missing of the run, step by step, and the report. A second
// run of the folder is refused while it lasts.
func (p *Pipeline) Run(ctx context.Context) error {
	isa, err := p.provide()
	if err != nil {
		return err
	}
	ctx, held, err := p.acquire(ctx, p.at(p.Out, lockName), false, p.Wait, "another pipeline works in this folder")
	if err != nil {
		return err
	}
	defer held.Close()
	p.Runner.Hold = held.files
	p.equip(isa)
	return lost(ctx, p.all(ctx, held))
}

// all makes what is missing while the run's lock is held.
func (p *Pipeline) all(ctx context.Context, held *holding) error {
	plan, err := p.Plan(ctx)
	if err != nil {
		return err
	}
	if p.Until != "" && !slices.ContainsFunc(plan, func(pl Planned) bool { return pl.Name == p.Until }) {
		return cli.Usagef("--until %q: the steps are %s", p.Until, strings.Join(names(plan), ", "))
	}
	if err := p.probe(ctx, plan); err != nil {
		return err
	}
	if err := p.keepSet(); err != nil {
		return err
	}
	var failed error
	ran := 0
	for i := range plan {
		pl := &plan[i]
		if err := p.remember(pl.Step); err != nil {
			return err
		}
		if pl.What == Done {
			p.say("step", pl.Name, "done", "folder", pl.Folder)
		} else {
			ran++
			p.say("step", pl.Name, pl.What, "why", strings.Join(pl.Why, "; "), "folder", pl.Folder)
			failed = p.step(ctx, held, plan, pl)
			if failed == nil {
				pl.What, pl.Why = Done, nil
			} else if errors.Is(failed, lock.ErrLost) {
				return failed // another one writes the report
			}
		}
		p.writeMetrics(plan)
		if failed != nil {
			break
		}
		if pl.Name == p.Until {
			return nil
		}
	}
	// What there is of a report is wanted most after a failure; of a stop it is not.
	if !errors.Is(failed, context.Canceled) && cli.Code(failed) != cli.ExitStopped {
		switch err := p.Report(ctx, plan); {
		case failed == nil:
			failed = err
		case err == nil:
			failed = &cli.Error{Code: cli.Code(failed), Err: fmt.Errorf("%w, the report %s", failed, p.at(p.Out, reportDir, "index.html"))}
		}
	}
	if failed == nil && ran == 0 {
		p.say("run", p.Path, "nothing to do")
	}
	if _, machines := p.Runner.Err.(*cli.Log); failed == nil && !machines {
		return p.status(plan).Text(p.Runner.Out)
	}
	return failed
}

// equip tells the stages where they work and with which instruction set.
func (p *Pipeline) equip(isa string) {
	p.Runner.Work = p.workplace()
	p.Runner.Env = []string{"EAFT_CPU=" + isa}
}

func names(plan []Planned) (out []string) {
	for _, pl := range plan {
		out = append(out, pl.Name)
	}
	return out
}

// remember keeps the parts of a step's key, for the next plan to say what changed.
func (p *Pipeline) remember(s *Step) error {
	last := map[string]map[string]string{}
	if err := readJSON(p.at(p.Out, stateName), &last); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if maps.Equal(last[s.Name], s.Parts) {
		return nil
	}
	last[s.Name] = s.Parts
	return writeJSON(p.at(p.Out, stateName), last)
}

// step runs one stage and records what came of it.
func (p *Pipeline) step(ctx context.Context, held *holding, plan []Planned, pl *Planned) error {
	r := pl.Record
	if another, err := p.unchanged(pl.Step); err != nil || another != "" {
		return fmt.Errorf("%s: %w", pl.Name, cmp.Or(err, errors.New(another)))
	}
	if err := store.MkdirAll(p.at(pl.out())); err != nil {
		return err
	}
	// Workers that were started elsewhere may be at this step's shards.
	if pl.Shards >= 0 && p.Workers < 2 {
		of, alone, err := p.acquire(ctx, p.at(pl.Folder, workersLock), false, p.Wait, "workers are at the shards of "+pl.Name)
		if err != nil {
			return err
		}
		ctx = of
		defer alone.Close()
	}
	if pl.What == Mend {
		if err := p.mend(pl.Step); err != nil {
			return err
		}
		if err := p.forget(pl.Step); err != nil {
			return err
		}
	}
	if pl.Shards >= 0 {
		if err := p.intact(pl); err != nil {
			return err
		}
	}
	host, _ := os.Hostname()
	r.Done, r.Results = false, nil
	r.Attempts = append(r.Attempts, Attempt{Started: time.Now().UTC().Truncate(time.Second), Host: host, Workers: 1})
	a := &r.Attempts[len(r.Attempts)-1]
	path := p.at(pl.Folder, recordName)
	if err := writeJSON(path, r); err != nil {
		return err
	}
	began := time.Now()
	still := p.keepMetrics(plan)
	var peak int64
	var err error
	if pl.Shards >= 0 && p.Workers > 1 {
		a.Workers = p.Workers
		if peak, err = p.share(ctx, plan, pl); err == nil {
			var alone *holding
			if ctx, alone, err = p.acquire(ctx, p.at(pl.Folder, workersLock), false, true, ""); err == nil {
				defer alone.Close()
			}
		}
	}
	var u Usage
	if err == nil {
		err = lost(ctx, p.execute(ctx, held, pl, &u))
		peak = max(peak, u.PeakMemory)
	} else if e := held.lost(); e != nil {
		err = e
	}
	still()
	if errors.Is(err, lock.ErrLost) {
		return err // the record is another's
	}
	if code := cli.Code(err); code != cli.ExitStopped && code != cli.ExitGate {
		another, e := p.unchanged(pl.Step)
		if another != "" { // also where the stage failed for that
			err = cmp.Or(p.discard(pl.Step), errors.New(another))
		}
		err = cmp.Or(err, e)
	}
	a.Ended, a.Seconds, a.Exit, a.PeakMemory = true, time.Since(began).Seconds(), cli.Code(err), peak
	if err == nil {
		if r.Results, err = p.results(pl.Step); err == nil {
			r.Done = true
		}
	}
	if w := writeJSON(path, r); err == nil {
		err = w
	}
	if err != nil && cli.Code(err) != cli.ExitStopped {
		err = &cli.Error{Code: cli.Code(err), Err: fmt.Errorf("%s: %w; its log is %s", pl.Name, err, p.at(pl.Folder, logName))}
	}
	if err == nil {
		p.say("step", pl.Name, "finished", "seconds", math.Round(10*a.Seconds)/10, "peak_memory_mib", peak>>20)
	}
	return err
}

// execute runs the step's program to its end.
func (p *Pipeline) execute(ctx context.Context, held *holding, pl *Planned, u *Usage) error {
	// What killed attempts were writing; nobody else is in the folder now.
	for _, dir := range []string{p.at(pl.Folder), p.at(pl.out())} {
		if err := store.CleanTemps(dir); err != nil {
			return err
		}
	}
	if err := store.RemoveIfThere(p.at(pl.Folder, conflictsName)); err != nil {
		return err
	}
	f, err := openLog(p.at(pl.Folder, logName))
	if err != nil {
		return err
	}
	gone := false
	defer func() { f.Close(!gone) }()
	run := func(s Stage) error {
		err := p.Runner.Run(ctx, s)
		if e := held.lost(); e != nil {
			gone, err = true, e
		}
		return err
	}
	s := Stage{Program: pl.Program, Args: pl.Args, Usage: u, Shown: pl.Stdout == "", Copy: &lossy{w: f}}
	if s.Shown {
		return run(s)
	}
	// What a gate refused is written all the same: that is when it is looked at.
	out, err := store.Create(p.at(pl.Folder, pl.Stdout))
	if err != nil {
		return err
	}
	s.Out = out
	err = run(s)
	if err != nil && cli.Code(err) != cli.ExitGate {
		out.Abort()
		return err
	}
	if e := out.Commit(); e != nil {
		return e
	}
	return err
}

// say reports on the run itself: a line for people, or a record for machines, in
// which numbers are numbers. fields are names and values.
func (p *Pipeline) say(what, name, event string, fields ...any) {
	if log, ok := p.Runner.Err.(*cli.Log); ok {
		log.Info(event, append([]any{what, name}, fields...)...)
		return
	}
	var more []string
	for i := 0; i+1 < len(fields); i += 2 {
		if fields[i+1] != "" {
			more = append(more, fmt.Sprintf("%s %v", strings.ReplaceAll(fields[i].(string), "_", " "), fields[i+1]))
		}
	}
	fmt.Fprintf(p.Runner.Err, "== %s: %s  %s\n", name, event, strings.Join(more, ", "))
}

// Clean removes what the run, as its file is now, does not refer to: folders of
// steps with another key, unless the file names something in them. dry only names them.
func (p *Pipeline) Clean(ctx context.Context, dry bool, w io.Writer) error {
	if _, err := store.Stat(p.at(p.Out)); errors.Is(err, fs.ErrNotExist) {
		return nil // nothing was made
	}
	ctx, held, err := p.acquire(ctx, p.at(p.Out, lockName), false, p.Wait, "another pipeline works in this folder")
	if err != nil {
		return err
	}
	defer held.Close()
	plan, err := p.Plan(ctx)
	if err != nil {
		return err
	}
	keep := map[string]bool{}
	for _, pl := range plan {
		keep[store.Base(pl.Folder)] = true
	}
	entries, err := store.ReadDir(p.at(p.Out))
	if err != nil {
		return err
	}
	inputs := p.inputs()
	for _, e := range entries {
		dir := p.at(p.Out, e.Name)
		var r Record
		if !e.Dir || keep[e.Name] || readJSON(store.Join(dir, recordName), &r) != nil || len(r.Key) < 12 || !strings.HasSuffix(e.Name, "-"+r.Key[:12]) {
			continue // not a step's folder
		}
		if slices.ContainsFunc(inputs, func(name string) bool { return within(dir, name) }) {
			continue
		}
		size, err := sizeOf(dir)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "%s  %.1f MB  %s\n", dir, float64(size)/1e6, r.Step); err != nil {
			return err
		}
		if dry {
			continue
		}
		_, busy, err := p.acquire(ctx, store.Join(dir, workersLock), false, p.Wait, "workers are at the shards of "+r.Step)
		if err != nil {
			return err
		}
		// The result first: by its record, what a killed removal leaves is found again.
		err = errors.Join(store.RemoveAll(store.Join(dir, "out")), store.RemoveAll(dir), busy.Close())
		if store.IsURL(dir) {
			err = errors.Join(err, store.RemoveAll(store.Join(dir, workersLock))) // Close has written there
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func sizeOf(dir string) (n int64, err error) {
	err = store.Walk(dir, func(_ string, size int64) { n += size })
	return n, err
}
