package train

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"eaft/internal/cli"
	"eaft/internal/store"
	"eaft/model/weights"
)

// saveInterval is the time from one checkpoint to the next without SaveEvery.
const saveInterval = 15 * time.Minute

// course is a run under way: after how many steps, with what it has written.
type course struct {
	*trainer
	rec     *Record
	rows    []*row
	steps   []step
	plan    string
	metrics *metricsFile
	events  *eventsFile
	audit   *audit
	sum     *Summary
	held    *heldOut // nil without held-out sets
	in      *inputs
	weights float64 // sum of the steps' mean weights

	done    int    // steps
	stopped string // why it ends before the last step, "" if it does not
	saved   int    // step of the newest checkpoint, 0 without
	savedAt time.Time
}

// begin opens what the run writes, at its beginning or, with at, where the
// checkpoint in the folder from left off.
func begin(t *trainer, held *heldOut, rec *Record, rows []*row, steps []step, in *inputs, from string, at *state) (c *course, err error) {
	c = &course{trainer: t, in: in, rec: rec, rows: rows, steps: steps, held: held, plan: planHash(steps),
		audit: newAudit(rec, t.o, steps), sum: newSummary(in, t.o.K), savedAt: time.Now()}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	t.visit = c.audit.visit
	t.annotate(in, rows)
	var lines position
	var evaluated HeldOutState
	if at == nil {
		err = c.audit.begin()
	} else {
		lines, evaluated = at.Metrics, at.HeldOut
		err = c.restore(from, at)
	}
	if err != nil {
		return c, err
	}
	if err = held.begin(evaluated); err != nil {
		return c, err
	}
	path := filepath.Join(t.o.dir, MetricsName)
	if c.metrics, err = openMetrics(path, lines); err != nil {
		return c, err
	}
	if c.events, err = openEvents(filepath.Join(t.o.dir, EventsName), path, filepath.Join(t.o.dir, EvalName), len(t.o.Eval)); err != nil {
		return c, err
	}
	if held != nil {
		held.events = c.events
	}
	return c, nil
}

func (c *course) close() {
	c.held.close()
	if c.metrics != nil {
		c.metrics.f.Close()
	}
	if c.events != nil {
		c.events.f.Close()
	}
}

// restore goes back to a checkpoint that is whole. Newer ones, which are not or
// are not wanted, are removed: the run will write them again.
func (c *course) restore(from string, s *state) error {
	if cost := c.rec.goOn(s); cost != "" {
		if c.o.Resume == ResumeAuto {
			return cli.Usagef("%s: %s; --resume %s goes on all the same, and --resume none starts anew", from, cost, from)
		}
		fmt.Fprintf(c.o.Stderr, "warning: %s: %s\n", from, cost)
	}
	if s.Plan != c.plan || s.Step > len(c.steps) {
		return cli.Usagef("%s was written by a program that orders rows differently (version %s): go on with that one, or --resume none to start anew", from, s.Record.Version)
	}
	for name, ts := range map[string][]State{mastersFile: c.masters(), momentsFile: c.opt.state()} {
		if err := readTensors(filepath.Join(from, name), c.dev, ts); err != nil {
			return err
		}
	}
	c.m.Refresh()
	if err := c.audit.restore(filepath.Join(from, visitsFile), s.Audit); err != nil {
		return err
	}
	s.Summary.k = c.sum.k
	c.sum, c.weights, c.done, c.saved = s.Summary, s.Weights, s.Step, s.Step
	if err := c.unpack(s.Found); err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	dir := filepath.Dir(from)
	newer, err := checkpoints(dir)
	if err != nil {
		return err
	}
	for _, n := range newer {
		if n <= s.Step {
			break
		}
		if err := removeCheckpoint(dir, n); err != nil {
			return err
		}
	}
	fmt.Fprintf(c.o.Stderr, "going on from %s, after step %d of %d\n", store.Join(c.o.Out, CheckpointsName, stepName(s.Step)), s.Step, len(c.steps))
	return nil
}

// train makes the steps that are missing.
func (c *course) train(ctx context.Context) error {
	var total, done int64
	for i, s := range c.steps {
		for _, r := range s.rows {
			total += int64(len(r.ids))
		}
		if i+1 == c.done {
			done = total
		}
	}
	bar := cli.NewProgress(c.o.Stderr, "train", "tokens", total, done)
	for {
		stopped, err := c.held.after(ctx, c.done, len(c.steps), bar)
		if err != nil && errors.Is(err, ctx.Err()) {
			return c.stop(err)
		}
		if err != nil {
			return c.failed(err)
		}
		if c.stopped = stopped; stopped != "" || c.done == len(c.steps) {
			break
		}
		mt, err := c.trainer.step(ctx, c.steps[c.done], c.done+1, c.in.matched(c.o.rateAt(c.done, len(c.steps)), c.done))
		if err != nil && errors.Is(err, ctx.Err()) {
			return c.stop(err)
		}
		if err != nil {
			return c.failed(err)
		}
		if err := c.keep(mt); err != nil {
			return c.failed(err)
		}
		bar.Add(mt.Tokens, fmt.Sprintf("step %d/%d  loss %.4f  weight %.3f", c.done, len(c.steps), mt.Loss, mt.MeanWeight))
		if c.due() {
			if err := c.save(); err != nil {
				return c.failed(err)
			}
			if err := c.o.remote.push(); err != nil && ctx.Err() == nil {
				bar.Say("warning: " + cli.Redact(err.Error()) + "; the next checkpoint is tried again")
			}
		}
	}
	bar.Done()
	return nil
}

// keep makes a step that was trained part of everything that is written.
func (c *course) keep(mt Metrics) error {
	s := c.steps[c.done]
	line, err := c.metrics.add(mt)
	if err != nil {
		return err
	}
	if err := c.events.add(line); err != nil {
		return err
	}
	if err := c.audit.keep(); err != nil {
		return err
	}
	c.sum.add(mt, s.rows)
	c.weights += mt.MeanWeight
	for _, r := range s.rows {
		r.logp, r.topk, r.mass = nil, nil, nil
	}
	c.done++
	if c.weights == 0 && (c.done == len(c.steps) || c.steps[c.done].epoch > 0) {
		return fmt.Errorf("every target of %d steps had the weight 0, so that nothing was learnt: take a milder gate or mask, or --loss sft", c.done)
	}
	return nil
}

// due reports whether a checkpoint is to be written now. After the last step the
// model is.
func (c *course) due() bool {
	switch {
	case c.done == len(c.steps):
		return false
	case c.o.SaveEvery > 0:
		return c.done%c.o.SaveEvery == 0
	}
	return time.Since(c.savedAt) >= saveInterval
}

// save writes a checkpoint.
func (c *course) save() error {
	at, err := c.metrics.sync()
	if err != nil {
		return err
	}
	s := &state{Record: *c.rec, Asked: c.o.SaveEvery > 0 && c.done%c.o.SaveEvery == 0, Step: c.done, Epoch: c.steps[c.done-1].epoch, Plan: c.plan,
		Metrics: at, Audit: c.audit.auditState, Summary: c.sum, Weights: c.weights, Found: c.pack(), HeldOut: c.held.state()}
	if c.held != nil {
		if s.Evals, err = positionOf(filepath.Join(c.o.dir, EvalName), c.held.Bytes); err != nil {
			return err
		}
	}
	dir := filepath.Join(c.o.dir, CheckpointsName)
	if _, err := writeCheckpoint(dir, c.trainer, s, c.audit.open, c.audit.meta); err != nil {
		return fmt.Errorf("the checkpoint after step %d: %w", c.done, err)
	}
	c.saved, c.savedAt = c.done, time.Now()
	return prune(dir, c.o.Keep)
}

// stop drops the step in progress and saves what is done.
func (c *course) stop(why error) error {
	c.audit.drop()
	if c.done > c.saved {
		if err := c.save(); err != nil {
			return c.failed(err)
		}
	}
	if err := c.o.remote.push(); err != nil {
		return c.failed(err)
	}
	fmt.Fprintf(c.o.Stderr, "stopped after step %d of %d\n", c.done, len(c.steps))
	return why
}

// failed says of an error from where the run can go on.
func (c *course) failed(err error) error {
	last := c.saved
	if c.o.remote != nil {
		last = c.o.remote.newest
	}
	if last == 0 {
		return fmt.Errorf("%w (no checkpoint was written yet)", err)
	}
	return fmt.Errorf("%w (the last checkpoint, %s, is whole: the same command goes on from it)", err,
		store.Join(c.o.Out, CheckpointsName, stepName(last)))
}

// finish writes what a finished run has. The record completes it. What ctx stops
// leaves no model, as any run that was stopped.
func (c *course) finish(ctx context.Context, checkpoint *weights.Checkpoint) error {
	if c.sum.Steps != len(c.steps) && c.stopped == "" {
		return fmt.Errorf("internal error: %d steps of %d are trained", c.sum.Steps, len(c.steps))
	}
	if _, err := c.metrics.sync(); err != nil {
		return err
	}
	merged, err := c.write(ctx, checkpoint)
	if err != nil && errors.Is(err, ctx.Err()) {
		for _, name := range []string{ModelName, AdapterName} {
			err = errors.Join(err, os.RemoveAll(filepath.Join(c.o.dir, name)))
		}
	}
	if err != nil {
		return err
	}
	if err := c.audit.commit(); err != nil {
		return err
	}
	c.sum.close(c.rows)
	c.sum.HeldOut = c.held.summary(c.stopped, merged)
	if err := writeJSON(filepath.Join(c.o.dir, SummaryName), c.sum); err != nil {
		return err
	}
	if err := complete(c.o, c.rec); err != nil {
		return err
	}
	if err := tidy(c.o.dir); err != nil {
		return err
	}
	return c.o.remote.push()
}

// write writes what the run has made, and measures what was merged.
func (c *course) write(ctx context.Context, checkpoint *weights.Checkpoint) (*Merged, error) {
	if err := c.o.save(ctx, c.m, checkpoint); err != nil {
		return nil, err
	}
	if err := c.o.mergeBest(ctx, checkpoint); err != nil {
		return nil, err
	}
	return c.measureMerged(ctx)
}

// rescue keeps what was trained when it could not be written as a model.
func (c *course) rescue(err error) error {
	if c.done > c.saved {
		if also := c.save(); also != nil {
			return c.failed(errors.Join(err, also))
		}
		if also := c.o.remote.push(); also != nil {
			return c.failed(errors.Join(err, also))
		}
	}
	return c.failed(err)
}

// pack spells the conflicts found in each row; -1 resolved is a row not visited.
func (c *course) pack() []byte {
	if c.sum.Conflicts == nil {
		return nil
	}
	var b []byte
	for _, r := range c.rows {
		f := r.found
		if !f.visited {
			f.resolved = -1
		}
		for _, n := range []int32{f.resolved, f.persisting, f.new} {
			b = binary.LittleEndian.AppendUint32(b, uint32(n))
		}
	}
	return b
}

func (c *course) unpack(b []byte) error {
	if c.sum.Conflicts == nil {
		return nil
	}
	if len(b) != 12*len(c.rows) {
		return fmt.Errorf("%s: conflicts of %d rows, not of %d", stateFile, len(b)/12, len(c.rows))
	}
	for i, r := range c.rows {
		n := func(j int) int32 { return int32(binary.LittleEndian.Uint32(b[12*i+4*j:])) }
		if n(0) >= 0 {
			r.found = conflicts{true, n(0), n(1), n(2)}
		}
	}
	return nil
}
