package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"eaft/internal/cli"
	"eaft/internal/lock"
	"eaft/internal/store"
	"eaft/internal/version"
	"eaft/parquet"
)

const (
	workersLock = "workers.lock" // shared by the workers of a step, alone for who closes it
	shardsDir   = "shards"       // claims, logs and statistics, by shard
	doneSuffix  = ".done.json"   // of a shard's ShardDone there
)

// ShardDone is NNNNN.done.json: that a shard is there, and what is in it.
type ShardDone struct {
	Shard      int            `json:"shard"`
	Files      []ShardFile    `json:"files"`
	Ledger     parquet.Ledger `json:"ledger"`
	Seconds    float64        `json:"seconds"` // of the process that made it, and the shards beside it
	PeakMemory int64          `json:"peak_memory"`
	Beside     int            `json:"beside"` // shards that the process made with it
	Host       string         `json:"host"`
	Version    string         `json:"version"`
	ISA        string         `json:"isa"`
}

// ShardFile is a file of a shard, seen from the step's folder.
type ShardFile struct {
	Name string `json:"name"`
	parquet.ShardInfo
}

// Slice chooses shards: those whose number leaves Index when divided by Count.
type Slice struct{ Index, Count int }

// ParseSlice reads "3/16".
func ParseSlice(s string) (Slice, error) {
	a, b, ok := strings.Cut(s, "/")
	i, err1 := strconv.Atoi(a)
	n, err2 := strconv.Atoi(b)
	if !ok || err1 != nil || err2 != nil || i < 0 || n < 1 || i >= n || n > 1e5 {
		return Slice{}, cli.Usagef("--shard %q: use I/N with 0 <= I < N, such as 3/16", s)
	}
	return Slice{i, n}, nil
}

// Work makes shards of a step: those of the slice that are neither there nor in
// another worker's hands. It ends when all of the slice are there. batch is how
// many shards a process of the stage makes before it ends, for what it has to
// load first; 0: more while many are left, one at the end.
func (p *Pipeline) Work(ctx context.Context, name string, slice Slice, batch int) error {
	if _, err := store.Stat(p.at(p.Out)); err != nil && name != "tokenize" {
		return cli.Usagef("%s: the run was not begun: %s", p.at(p.Out), command("run", p.Path, p.Set, "--until", "tokenize"))
	}
	isa, err := p.provide()
	if err != nil {
		return err
	}
	p.equip(isa)
	plan, err := p.Plan(ctx)
	if err != nil {
		return err
	}
	s, err := find(plan, name)
	if err != nil {
		return err
	}
	if s.Shards < 0 {
		return cli.Usagef("%s has no shards that workers could share%s", name, map[bool]string{true: ": it takes tokenize.shards of two or more, and no tokenize.dedup"}[s.kind == "tokenize"])
	}
	if s.What == Done {
		p.say("step", name, "done")
		return nil
	}
	for _, need := range s.Needs {
		n, err := find(plan, need.Name)
		if err != nil {
			return err
		}
		if n.What != Done {
			return cli.Usagef("%s needs %s, which is not done (%s): %s", name, need.Name, strings.Join(n.Why, "; "), command("run", p.Path, p.Set, "--until", need.Name))
		}
	}
	n := p.shardCount(s)
	if err := store.MkdirAll(p.at(s.out())); err != nil {
		return err
	}
	// A worker of a run shares its lock through the run; this one is of its step.
	ctx, held, err := p.acquire(ctx, p.at(s.Folder, workersLock), true, p.Wait, "the step "+name+" is being made or closed by another process")
	if err != nil {
		return err
	}
	defer held.Close()
	p.Runner.Hold = append(p.Runner.Hold, held.files...)
	w := &worker{p: p, s: s, n: n, isa: isa, batch: batch}
	if w.claims, err = lock.OpenClaims(p.at(s.Folder, shardsDir), p.lease()); err != nil {
		return err
	}
	return lost(ctx, w.all(ctx, slice))
}

func (p *Pipeline) lease() time.Duration {
	if p.Lease > 0 {
		return p.Lease
	}
	return 30 * time.Second
}

func find(plan []Planned, name string) (*Planned, error) {
	for i := range plan {
		if plan[i].Name == name {
			return &plan[i], nil
		}
	}
	return nil, cli.Usagef("--stage %q: the steps are %s", name, strings.Join(names(plan), ", "))
}

// shardCount is how many shards the step has; 0: workers cannot share it, or
// its input, which has as many, is not there.
func (p *Pipeline) shardCount(s *Planned) int {
	if s.Shards != 0 {
		return max(0, s.Shards)
	}
	n := 0
	for _, need := range s.Needs {
		if m, err := parquet.ReadManifest(store.Dir(p.at(need.Folder, need.Markers[0]))); err == nil {
			n = len(m.Shards)
		}
	}
	return n
}

// shardsDone counts what workers have made, and all there is to make.
func (p *Pipeline) shardsDone(s *Planned) (done, n int) {
	n = p.shardCount(s)
	made, err := p.made(s.Step)
	if err != nil {
		return 0, n // whoever works there says so
	}
	for i := range n {
		if made[i] {
			done++
		}
	}
	return done, n
}

// shardsThere counts the shards that are there, of workers or of a stage that makes all
// of them, and all there is to make; 0 of 0 where that is not known before.
func (p *Pipeline) shardsThere(s *Planned) (done, n int) {
	done, n = p.shardsDone(s)
	if s.kind == "tokenize" && s.options == &p.Tokenize {
		n = p.Config.Shards
	}
	switch {
	case s.What == Done:
		return n, n
	case done > 0 || len(s.Record.Attempts) == 0:
		return done, n
	}
	there := map[string]int64{}
	for _, m := range s.Markers {
		sizes, err := store.Sizes(p.at(s.Folder, path.Dir(m)))
		if err != nil {
			continue // not begun
		}
		for name, size := range sizes {
			there[path.Join(path.Dir(m), name)] = size
		}
	}
	for i := range n {
		if !slices.ContainsFunc(s.shardFiles(i, n), func(name string) bool { _, ok := there[name]; return !ok }) {
			done++
		}
	}
	return done, n
}

// made are the shards of which workers have said that they are there.
func (p *Pipeline) made(s *Step) (map[int]bool, error) {
	entries, err := store.ReadDir(p.at(s.Folder, shardsDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	out := map[int]bool{}
	for _, e := range entries {
		if number, ok := strings.CutSuffix(e.Name, doneSuffix); ok {
			if i, err := strconv.Atoi(number); err == nil {
				out[i] = true
			}
		}
	}
	return out, nil
}

// said are what workers have said of the shards that are there, of n; of what is
// refused, nothing. They are read side by side: each may be a request to a store
// far away.
func (p *Pipeline) said(s *Step, n int) ([]ShardDone, error) {
	made, err := p.made(s)
	if err != nil {
		return nil, err
	}
	shards := slices.Sorted(maps.Keys(made))
	out, errs := make([]ShardDone, len(shards)), make([]error, len(shards))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(16, len(shards)) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(shards)); i = next.Add(1) - 1 {
				name := p.doneFile(s, shards[i])
				if errs[i] = readJSON(name, &out[i]); errs[i] == nil && shards[i] < n {
					if err := out[i].check(s.shardFiles(shards[i], n)); err != nil {
						errs[i] = fmt.Errorf("%s: %w; remove it", name, err)
					}
				}
				if errs[i] != nil {
					out[i] = ShardDone{}
				}
				out[i].Shard = shards[i]
			}
		})
	}
	wg.Wait()
	return out, errors.Join(errs...)
}

func (p *Pipeline) doneFile(s *Step, shard int) string {
	return p.at(s.Folder, shardsDir, fmt.Sprintf("%05d%s", shard, doneSuffix))
}

// forget removes what workers have noted of a step that is made again in parts.
func (p *Pipeline) forget(s *Step) error { return store.RemoveAll(p.at(s.Folder, shardsDir)) }

type worker struct {
	p      *Pipeline
	s      *Planned
	n      int
	isa    string
	batch  int
	claims *lock.Claims
}

func (w *worker) all(ctx context.Context, slice Slice) error {
	var look time.Time // when others' claims are looked at next
	for {
		made, err := w.p.made(w.s.Step)
		if err != nil {
			return err
		}
		var todo []int
		for i := slice.Index; i < w.n; i += slice.Count {
			if !made[i] {
				todo = append(todo, i)
			}
		}
		if len(todo) == 0 {
			return nil
		}
		batch := w.batch
		if batch == 0 {
			batch = min(64, (len(todo)+7)/8)
		}
		var got []int
		if time.Now().After(look) {
			got, err = w.claims.Take(todo, batch)
		}
		if err == nil && len(got) > 0 {
			err = w.make(ctx, got)
		}
		if err := errors.Join(err, w.claims.Drop()); err != nil {
			return err
		}
		if len(got) > 0 {
			continue
		}
		// Others are at what is left; one of them may die. In a bucket each of their
		// claims is a request or two, and one list says what they have made.
		if store.IsURL(w.p.at(w.p.Out)) && time.Now().After(look) {
			look = time.Now().Add(w.p.lease() / 4)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(min(w.p.pause(), w.p.lease()/4)):
		}
	}
}

// make runs the stage on claimed shards, shows life meanwhile, and writes down
// what came of each.
func (w *worker) make(ctx context.Context, shards []int) error {
	// Between the look and the claim another may have finished one.
	made, err := w.p.made(w.s.Step)
	if err != nil {
		return err
	}
	missing := slices.DeleteFunc(slices.Clone(shards), func(i int) bool { return made[i] })
	if len(missing) == 0 {
		return nil
	}
	run, cancel := context.WithCancelCause(ctx)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		w.live(run, cancel)
	}()
	err = w.execute(run, missing)
	cancel(nil)
	<-stopped
	switch cause := context.Cause(run); {
	case err == nil || ctx.Err() != nil:
	case errors.Is(cause, errLost):
		w.p.say("worker", w.s.Name, "goes on", "why", cause.Error())
		return nil
	case !errors.Is(cause, context.Canceled): // the stage was stopped for it
		return cause
	}
	return err
}

var errLost = errors.New("this worker showed no life for too long")

// live beats until the stage has ended.
func (w *worker) live(ctx context.Context, cancel context.CancelCauseFunc) {
	tick := time.NewTicker(w.p.lease() / 4)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if lost, err := w.claims.Beat(); err != nil {
				cancel(fmt.Errorf("this worker cannot show life: %w", err))
			} else if len(lost) > 0 {
				cancel(fmt.Errorf("%w, and another took over shard %d", errLost, lost[0]))
			}
		}
	}
}

func (w *worker) execute(ctx context.Context, shards []int) error {
	list := make([]string, len(shards))
	for i, s := range shards {
		list[i] = strconv.Itoa(s)
	}
	nonce := w.claims.Nonce()
	logPath := filepath.Join(store.TempDir(w.p.at(w.s.Folder, shardsDir)), fmt.Sprintf("%05d.%s.log-part", shards[0], nonce))
	f, err := os.Create(logPath)
	if err != nil {
		return err
	}
	defer os.Remove(logPath)
	defer f.Close()
	args := append([]string(nil), w.s.Args...)
	at := 0 // behind the subcommand, before the corpora
	if len(commands[w.s.kind]) > 1 {
		at = 1
	}
	args = append(args[:at:at], append([]string{"--shard=" + strings.Join(list, ",") + "/" + strconv.Itoa(w.n)}, args[at:]...)...)
	var u Usage
	var last ending
	log := io.MultiWriter(&lossy{w: f}, &last)
	fmt.Fprintf(log, "$ %s %s\n", w.s.Program, quote(args))
	err = w.p.Runner.Run(ctx, Stage{Program: w.s.Program, Args: args, Out: log, Err: log, Quiet: true, Usage: &u})
	if said, e := os.ReadFile(logPath); e == nil {
		for _, i := range shards {
			writeLog(w.p.at(w.s.Folder, shardsDir, fmt.Sprintf("%05d.log", i)), said)
		}
	}
	if err != nil {
		if cli.Code(err) != cli.ExitStopped && ctx.Err() == nil {
			fmt.Fprint(w.p.Runner.Err, last.String())
			err = &cli.Error{Code: cli.Code(err), Err: fmt.Errorf("shards %s of %s: %w", strings.Join(list, ","), w.s.Name, err)}
		}
		return err
	}
	for _, i := range shards {
		if err := w.done(i, len(shards), &u); err != nil {
			return err
		}
	}
	return nil
}

// shardFiles are the files of a shard of n, seen from the step's folder.
func (s *Step) shardFiles(shard, n int) (names []string) {
	for _, m := range s.Markers {
		names = append(names, path.Join(path.Dir(m), parquet.ShardName(shard, n)))
	}
	return names
}

// done looks at a shard that was made, and says so.
func (w *worker) done(shard, beside int, u *Usage) error {
	host, _ := os.Hostname()
	d := ShardDone{Shard: shard, Seconds: u.Seconds, PeakMemory: u.PeakMemory, Beside: beside, Version: version.Version, ISA: w.isa, Host: host}
	for _, name := range w.s.shardFiles(shard, w.n) {
		file := w.p.at(w.s.Folder, name)
		meta, err := parquet.ReadMeta(file)
		if err != nil {
			return err
		}
		st, err := store.Stat(file)
		if err != nil {
			return err
		}
		sum, err := store.Hash(file)
		if err != nil {
			return err
		}
		d.Ledger.Add(meta.Ledger)
		d.Files = append(d.Files, ShardFile{name, parquet.ShardInfo{Name: path.Base(name), Rows: meta.Ledger.RowsOut, Bytes: st.Size, SHA256: sum}})
	}
	w.p.say("shard", fmt.Sprintf("%s %d/%d", w.s.Name, shard, w.n), "finished", "rows", d.Ledger.RowsOut)
	return writeJSON(w.p.doneFile(w.s.Step, shard), &d)
}

// merge adds up what the workers wrote down of the shards that they made, and
// returns the largest process among them. A shard whose bytes are no longer those
// that a worker made is removed, to be made again, and named in bad.
func (p *Pipeline) merge(s *Planned, n int) (sum parquet.Ledger, peak int64, bad []string, err error) {
	said, err := p.said(s.Step, n)
	if err != nil {
		return sum, 0, nil, err
	}
	for _, d := range said {
		if d.Shard >= n {
			continue
		}
		damaged := false
		for _, f := range d.Files {
			path := p.at(s.Folder, f.Name)
			got, err := store.Hash(path)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return sum, 0, nil, err
			}
			if got == f.SHA256 {
				continue
			}
			bad, damaged = append(bad, path), true
			if err := store.RemoveIfThere(path); err != nil {
				return sum, 0, nil, err
			}
		}
		if damaged {
			if err := store.Remove(p.doneFile(s.Step, d.Shard)); err != nil {
				return sum, 0, nil, err
			}
			continue
		}
		sum.Add(d.Ledger)
		peak = max(peak, d.PeakMemory)
	}
	return sum, peak, bad, nil
}

// check refuses what is not of a shard with these files: what differs from its hash
// is removed.
func (d *ShardDone) check(names []string) error {
	if len(d.Files) != len(names) {
		return fmt.Errorf("%d files, not the %d of its shard", len(d.Files), len(names))
	}
	for i, f := range d.Files {
		if f.Name != names[i] {
			return fmt.Errorf("names %q, not the file %s of its shard", f.Name, names[i])
		}
	}
	if !(d.Seconds >= 0 && d.Seconds < maxSeconds) || d.PeakMemory < 0 {
		return fmt.Errorf("took %v seconds and %d bytes", d.Seconds, d.PeakMemory)
	}
	return d.Ledger.Check()
}

// intact removes shards that workers made and that were damaged since, and says so.
func (p *Pipeline) intact(s *Planned) error {
	_, _, bad, err := p.merge(s, p.shardCount(s))
	for _, path := range bad {
		p.say("shard", path, "is not what a worker made, and is made again")
	}
	return err
}
