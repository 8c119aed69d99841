package train

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"

	"eaft/compute"
	"eaft/internal/cli"
	"eaft/internal/store"
	"eaft/model"
	"eaft/model/weights"
	"eaft/parquet"
)

// Files of held-out evaluation in the folder of a run.
const (
	EvalName = "eval.jsonl"
	BestName = "best" // the best model by Options.Best, and best.json
)

// HeldOutSet is a tokens dataset that is not trained on.
type HeldOutSet struct {
	Name string `json:"name"`
	Dir  string `json:"-"`
}

// ParseHeldOut reads --eval: NAME=DIR, or DIR, whose last part is then the name.
func ParseHeldOut(args []string) ([]HeldOutSet, error) {
	var sets []HeldOutSet
	seen := map[string]bool{}
	for _, arg := range args {
		name, dir, ok := strings.Cut(arg, "=")
		ok = ok && !strings.Contains(name, "://") // = in a URL, such as behind its question mark
		if !ok {
			name, dir = store.Base(strings.TrimPrefix(arg, "tokens:")), strings.TrimPrefix(arg, "tokens:")
		}
		switch {
		case name == "" || dir == "" || strings.ContainsAny(name, ":/"):
			return nil, cli.Usagef("--eval %q: use NAME=DIR, NAME without : and /", arg)
		case seen[name]:
			return nil, cli.Usagef("--eval %s stands twice: give each a NAME=DIR of its own", name)
		}
		seen[name] = true
		sets = append(sets, HeldOutSet{name, dir})
	}
	return sets, nil
}

// HeldOutOptions are the part of Options that says what is evaluated during
// training, when, and what follows from it.
type HeldOutOptions struct {
	Eval      []HeldOutSet `json:"eval"`
	EvalEvery int          `json:"eval_every"` // steps; 0: at the end only
	Best      string       `json:"best"`       // NAME or NAME:loss or NAME:accuracy
	Patience  int          `json:"patience"`   // evaluations without a better one that end the run; 0: none do
}

func (o *HeldOutOptions) check() error {
	name, measure := o.best()
	known := false
	for _, s := range o.Eval {
		known = known || s.Name == name
	}
	switch {
	case o.EvalEvery < 0:
		return cli.Usagef("--eval-every %d: at least 1 step", o.EvalEvery)
	case o.Patience < 0:
		return cli.Usagef("--patience %d: at least 1 evaluation", o.Patience)
	case len(o.Eval) == 0 && (o.EvalEvery > 0 || o.Best != ""):
		return cli.Usagef("--eval-every and --best need --eval DIR")
	case o.Patience > 0 && (o.Best == "" || o.EvalEvery == 0):
		return cli.Usagef("--patience needs --best NAME, whose measure it waits for, and --eval-every")
	case o.Best != "" && measure != "loss" && measure != "accuracy":
		return cli.Usagef("--best %q: the measure is loss or accuracy", o.Best)
	case o.Best != "" && !known:
		return cli.Usagef("--best %q: no --eval has this name", name)
	}
	return nil
}

// best is the set and the measure of --best.
func (o *HeldOutOptions) best() (name, measure string) {
	name, measure, ok := strings.Cut(o.Best, ":")
	if !ok {
		measure = "loss"
	}
	return name, measure
}

// Evaluation is a line of eval.jsonl: a held-out set after a step; step 0 is the
// model that training starts from, the base.
type Evaluation struct {
	Step      int     `json:"step"`
	Name      string  `json:"name"`
	Rows      int     `json:"rows"`
	Targets   int     `json:"targets"`
	Loss      float64 `json:"loss"`           // mean of -logprob
	Accuracy  float64 `json:"accuracy"`       // share of targets that are the likeliest token
	Agreement float64 `json:"base_agreement"` // share of targets at which the likeliest token is the base's
	KL        float64 `json:"base_kl"`        // mean KL(base || model) over the whole vocabulary, nats
}

// HeldOutState is what a resumed run needs of the one before.
type HeldOutState struct {
	Step      int          `json:"step"`  // up to which everything is evaluated
	Bytes     int64        `json:"bytes"` // of eval.jsonl
	Last      []Evaluation `json:"last"`
	BestStep  int          `json:"best_step"` // 0: none yet
	BestValue float64      `json:"best_value"`
	Waited    int          `json:"waited"` // evaluations since
}

// heldOut evaluates a run on its held-out sets.
type heldOut struct {
	o      *Options
	dev    compute.Device
	m      *model.Model
	from   *weights.Checkpoint
	sets   []*heldOutSet
	head   model.Head // the base's
	file   *os.File
	events *eventsFile  // nil until the run has one
	base   []Evaluation // at step 0
	HeldOutState
}

// heldOutSet is a set's rows and what the base makes of them.
type heldOutSet struct {
	name  string
	micro [][]*row
	n     int // targets
	rows  int
	top1  []int32        // the base's likeliest tokens
	lse   []float32      // and log-sum-exps of its logits
	base  []model.States // of each micro-batch
}

// maxKept bounds the hidden states of the base that are kept for the KL.
const maxKept = 1 << 30

// openHeldOut opens the held-out sets; their contents are part of what a run is of.
func (in *inputs) openHeldOut(c *weights.Checkpoint, o *Options) error {
	for _, s := range o.Eval {
		ds, err := parquet.OpenDataset(s.Dir, parquet.SchemaTokens)
		if err != nil {
			return &cli.Error{Code: cli.ExitUsage, Err: err}
		}
		if in.hashes["eval."+s.Name], err = ds.ContentHash(); err != nil {
			return err
		}
		if err := in.check(c, ds, o.Stderr); err != nil {
			return err
		}
		in.heldOut = append(in.heldOut, ds)
	}
	return nil
}

// openHeldOut reads the held-out sets of a run, if it has any, and what the base,
// which m must still be, makes of them; nil without any.
func openHeldOut(ctx context.Context, m *model.Model, dev compute.Device, from *weights.Checkpoint, o *Options, in *inputs) (*heldOut, error) {
	if len(o.Eval) == 0 {
		return nil, nil
	}
	h := &heldOut{o: o, dev: dev, m: m, from: from}
	spec := m.Spec()
	targets := 0
	for i, s := range o.Eval {
		set, err := loadRows(in.heldOut[i], 0, spec.Vocab, spec.MaxPositions)
		if err != nil {
			return nil, err
		}
		if len(set.rows) == 0 {
			return nil, set.nothingToTrain(s.Dir)
		}
		if len(set.rejects) > 0 {
			fmt.Fprintf(o.Stderr, "warning: --eval %s: %d of %d rows are not evaluated: %s\n", s.Name, len(set.rejects), set.ledger.RowsIn, dropped(set.ledger))
		}
		n := int(set.ledger.Targets)
		targets += n
		h.sets = append(h.sets, &heldOutSet{name: s.Name, micro: micro(set.rows, MicroTokens), n: n, rows: len(set.rows)})
	}
	if kept, _ := m.KeptBytes(targets); kept > maxKept {
		return nil, cli.Usagef("--eval: the base's hidden states of %d targets take %d MiB, and %d MiB are kept at most: take fewer rows", targets, kept>>20, maxKept>>20)
	}
	var err error
	if h.head, err = m.KeepHead(); err != nil {
		return nil, err
	}
	h.base, err = h.evaluate(ctx, m, 0)
	return h, err
}

// bytes is what is held beside the model.
func (h *heldOut) bytes() int64 {
	if h == nil {
		return 0
	}
	targets := 0
	for _, s := range h.sets {
		targets += s.n
	}
	states, head := h.m.KeptBytes(targets)
	return states + head + 3*4*stripe*int64(h.m.Spec().Vocab)
}

// evaluate measures every set with m as it is after a step.
func (h *heldOut) evaluate(ctx context.Context, m *model.Model, step int) ([]Evaluation, error) {
	var lines []Evaluation
	for _, s := range h.sets {
		e, err := h.measure(ctx, m, s, step)
		if err != nil {
			return nil, err
		}
		lines = append(lines, e)
	}
	return lines, nil
}

// state is what a checkpoint keeps of the evaluations.
func (h *heldOut) state() HeldOutState {
	if h == nil {
		return HeldOutState{}
	}
	return h.HeldOutState
}

// begin starts eval.jsonl with what the base is; with the state of an earlier run
// it goes on behind the lines that this one knew.
func (h *heldOut) begin(state HeldOutState) error {
	if h == nil {
		return nil
	}
	h.HeldOutState = state
	if err := os.RemoveAll(h.fresh()); err != nil {
		return err
	}
	var err error
	path := filepath.Join(h.o.dir, EvalName)
	if h.file, err = os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o666); err != nil {
		return err
	}
	st, err := h.file.Stat()
	if err != nil {
		return err
	}
	if st.Size() < h.Bytes {
		return cli.Usagef("%s has %d bytes, and had %d at the checkpoint: --resume none starts anew", path, st.Size(), h.Bytes)
	}
	if err := h.file.Truncate(h.Bytes); err != nil || h.Bytes > 0 {
		return err
	}
	h.Last = h.base
	return h.write(h.base)
}

// after evaluates the model after step of steps, if it is time and was not done
// before, says so on bar, and keeps the model if it is the best. stop says why the
// run should end early, "" if it should not.
func (h *heldOut) after(ctx context.Context, step, steps int, bar *cli.Progress) (stop string, err error) {
	if h == nil {
		return "", nil
	}
	if h.Step < step && (step == steps || h.o.EvalEvery > 0 && step%h.o.EvalEvery == 0) {
		lines, err := h.evaluate(ctx, h.m, step)
		if err != nil {
			return "", err
		}
		if err := h.write(lines); err != nil {
			return "", err
		}
		for _, e := range lines {
			bar.Say(e.String())
		}
		h.Step, h.Last = step, lines
		if err := h.choose(step); err != nil {
			return "", err
		}
	}
	if h.o.Patience > 0 && h.Waited >= h.o.Patience && step < steps {
		name, measure := h.o.best()
		stop = fmt.Sprintf("%s of %s has not been better in %d evaluations than %.6g at step %d", measure, name, h.Waited, h.BestValue, h.BestStep)
	}
	return stop, nil
}

func (e Evaluation) String() string {
	return fmt.Sprintf("step %d  %s: loss %.4f  accuracy %.4f  as the base %.4f  KL %.4f", e.Step, e.Name, e.Loss, e.Accuracy, e.Agreement, e.KL)
}

// choose keeps the model if it is the best so far, and counts how long there was
// no better one.
func (h *heldOut) choose(step int) error {
	name, measure := h.o.best()
	for _, e := range h.Last {
		if e.Name != name {
			continue
		}
		value, better := e.Loss, e.Loss < h.BestValue
		if measure == "accuracy" {
			value, better = e.Accuracy, e.Accuracy > h.BestValue
		}
		if h.BestStep == 0 || better {
			h.BestStep, h.BestValue, h.Waited = step, value, 0
			return h.keep()
		}
		h.Waited++
	}
	return nil
}

// fresh is where the best model is written before it gets its name.
func (h *heldOut) fresh() string { return filepath.Join(h.o.dir, "."+BestName+hiddenSuffix) }

// keep puts the model into the folder of the best one, whole or not at all.
func (h *heldOut) keep() error {
	dir := filepath.Join(h.o.dir, BestName)
	fresh := h.fresh()
	if err := os.RemoveAll(fresh); err != nil {
		return err
	}
	if err := h.o.saveBest(h.m, fresh, h.from); err != nil {
		return err
	}
	name, measure := h.o.best()
	best := map[string]any{"step": h.BestStep, "eval": name, measure: h.BestValue}
	if h.o.Merge {
		best["of"] = AdapterName // and not of the merged model beside it
	}
	if err := writeJSON(filepath.Join(fresh, "best.json"), best); err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.Rename(fresh, dir)
}

// write appends lines to eval.jsonl.
func (h *heldOut) write(lines []Evaluation) error {
	for _, e := range lines {
		data, err := json.Marshal(e)
		if err != nil {
			return err
		}
		n, err := h.file.WriteAt(append(data, '\n'), h.Bytes)
		if err != nil {
			return err
		}
		h.Bytes += int64(n)
		if h.events == nil {
			continue
		}
		if err := h.events.addEvaluation(data); err != nil {
			return err
		}
	}
	return h.file.Sync()
}

// close ends the file.
func (h *heldOut) close() error {
	if h == nil || h.file == nil {
		return nil
	}
	return h.file.Close()
}

// measure evaluates a set. At step 0 it keeps what the base makes of it.
func (h *heldOut) measure(ctx context.Context, m *model.Model, s *heldOutSet, step int) (Evaluation, error) {
	e := Evaluation{Step: step, Name: s.name, Rows: s.rows, Targets: s.n}
	var loss, kl float64
	hits, agree, done := 0, 0, 0
	for i, rows := range s.micro {
		if err := ctx.Err(); err != nil {
			return e, err
		}
		b, at := pack(rows)
		st, states, err := m.ScoreStates(b, at, 1)
		if err != nil {
			return e, fmt.Errorf("--eval %s: %w", s.name, err)
		}
		if step == 0 {
			s.base = append(s.base, m.Keep(states))
			s.top1, s.lse = append(s.top1, st.Top1ID...), append(s.lse, st.LogSumExp...)
		} else {
			for _, x := range h.divergences(m, s.base[i], s.lse[done:], states, st.LogSumExp) {
				kl += x
			}
		}
		for j, lp := range st.LogProb {
			loss -= float64(lp)
			if st.Rank[j] == 0 {
				hits++
			}
			if st.Top1ID[j] == s.top1[done+j] {
				agree++
			}
		}
		done += len(at)
	}
	n := float64(s.n)
	e.Loss, e.Accuracy, e.Agreement, e.KL = loss/n, float64(hits)/n, float64(agree)/n, kl/n
	if !finite(e.Loss) || !finite(e.KL) {
		return e, fmt.Errorf("step %d: loss %v and KL %v on --eval %s: the model has come apart; take a smaller --lr", step, e.Loss, e.KL, s.name)
	}
	return e, nil
}

// stripe is how many targets have their logits in memory at a time.
const stripe = 32

// divergences is KL(base || model) of each of n targets, in nats, over the whole
// vocabulary: with logits a of the base and b of the model, the sum of
// p (a - b), p = exp(a - lse(a)), less lse(a) - lse(b). Logits are float32, their
// sum float64 in the order of the ids.
func (h *heldOut) divergences(m *model.Model, base model.States, baseLSE []float32, now model.States, nowLSE []float32) []float64 {
	V, n := m.Spec().Vocab, len(nowLSE)
	out := make([]float64, n)
	a, b := make([]float32, stripe*V), make([]float32, stripe*V)
	for lo := 0; lo < n; lo += stripe {
		hi := min(lo+stripe, n)
		m.Logits(a[:(hi-lo)*V], base, lo, hi, &h.head)
		m.Logits(b[:(hi-lo)*V], now, lo, hi, nil)
		parallel(h.dev, hi-lo, func(i int) {
			x, y, lse := a[i*V:][:V], b[i*V:][:V], float64(baseLSE[lo+i])
			sum := 0.0
			for k, v := range x {
				sum += math.Exp(float64(v)-lse) * (float64(v) - float64(y[k]))
			}
			out[lo+i] = sum - (lse - float64(nowLSE[lo+i]))
		})
	}
	return out
}
