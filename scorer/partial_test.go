package scorer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"eaft/compute/cpu"
	"eaft/internal/cli"
	"eaft/internal/s3test"
	"eaft/parquet"
)

// countdown is a context that is cancelled when it was asked so many times whether
// it is; then is called just before.
type countdown struct {
	context.Context
	left int
	then func()
}

func (c *countdown) Err() error {
	if c.left--; c.left >= 0 {
		return nil
	}
	if c.left == -1 && c.then != nil {
		c.then()
	}
	return context.Canceled
}

// until stops a run that has asked left times whether it is to stop since it looked at
// the rows of its one shard.
func until(t *testing.T, o Options, left int, then func()) (Summary, error) {
	t.Helper()
	dev, err := cpu.New(1)
	if err != nil {
		t.Fatal(err)
	}
	sum, _, err := Run(&countdown{t.Context(), left + 1, then}, dev, open(t, llama), o)
	return sum, err
}

// many are the fixture's rows, each of them in five forms, which are windows enough
// for a budget of few tokens.
func many(v int) []parquet.TokensRow {
	var out []parquet.TokensRow
	for i := range 5 {
		for _, r := range rows(v) {
			r.ID = fmt.Sprint(i, r.ID)
			for t := range r.InputIDs {
				id := (r.InputIDs[t] + int32(i)) % int32(v)
				if r.InputIDs[t] = id; r.Labels[t] != parquet.Ignore {
					r.Labels[t] = id
				}
			}
			out = append(out, r)
		}
	}
	return out
}

// A run that is stopped before any batch, inside a shard, keeps what it has scored
// and goes on there, to the bytes of one that was not; so does one that is killed,
// from what it saved last. Nothing is left over.
func TestStoppedInsideAShard(t *testing.T) {
	v := vocab(t)
	for name, change := range map[string]func(o *Options){
		"plain": func(o *Options) {},
		"topk":  func(o *Options) { o.StoreTopK = 2 },
		"limit": func(o *Options) { o.Limit = 61 },
	} {
		t.Run(name, func(t *testing.T) {
			o := options(dataset(t, many(v), 1, ""), t.TempDir())
			o.Budget = 3
			change(&o)
			whole := score(t, 1, o)
			want := files(t, o.Out)
			batches := 0
			for left := 1; ; left += 7 {
				o.Out = t.TempDir()
				_, err := until(t, o, left, nil)
				if err == nil {
					break
				}
				if !errors.Is(err, context.Canceled) {
					t.Fatal(err)
				}
				batches++
				if _, err := parquet.OpenDataset(o.Out, parquet.SchemaScores); err == nil || !strings.Contains(err.Error(), "unfinished") {
					t.Fatalf("the dataset of a stopped run: %v", err)
				}
				var log bytes.Buffer
				o.Log = &log
				sum := score(t, 1, o)
				if !strings.Contains(log.String(), "going on: ") {
					t.Errorf("stopped at %d: the next run says\n%s", left, &log)
				}
				if sum.Work.Tokens >= whole.Work.Tokens || left > 20 && sum.Work.Tokens > whole.Work.Tokens*9/10 {
					t.Errorf("stopped at %d: the next run scored %d tokens of %d", left, sum.Work.Tokens, whole.Work.Tokens)
				}
				sameFiles(t, fmt.Sprint("stopped at ", left), files(t, o.Out), want)
			}
			if batches < 8 {
				t.Fatalf("stopped %d times only", batches)
			}
		})
	}
}

func sameFiles(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	for name, data := range want {
		if got[name] != data {
			t.Errorf("%s: %s differs from the undisturbed run's", what, name)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s: %s is left", what, name)
		}
	}
}

// What is on the disk at any moment, as a kill leaves it, leads to the same bytes,
// and with less to do once something was saved.
func TestKilledInsideAShard(t *testing.T) {
	was := saveInterval
	t.Cleanup(func() { saveInterval = was })
	for _, saveInterval = range []time.Duration{time.Hour, 0} { // each window, each batch
		o := options(dataset(t, many(vocab(t)), 2, ""), t.TempDir())
		o.Budget = 3
		whole := score(t, 1, o)
		want := files(t, o.Out)
		kept := 0
		for left := 5; ; left += 9 {
			o.Out = t.TempDir()
			killed := o.Out + "-killed" // as far from the tokens
			_, err := until(t, o, left, func() {
				if err := os.CopyFS(killed, os.DirFS(o.Out)); err != nil {
					t.Fatal(err)
				}
			})
			if err == nil {
				break
			}
			o.Out = killed
			if sum := score(t, 2, o); sum.Work.Tokens < whole.Work.Tokens {
				kept++
			}
			sameFiles(t, fmt.Sprint("killed at ", left), files(t, o.Out), want)
		}
		if kept < 3 {
			t.Errorf("saved every %v: %d runs had something to go on from", saveInterval, kept)
		}
	}
}

// A worker goes on with what another has left of its shard, says so, and leaves
// others' alone.
func TestWorkerGoesOn(t *testing.T) {
	o := options(dataset(t, many(vocab(t)), 2, ""), t.TempDir())
	o.Budget = 3
	score(t, 1, o)
	want := files(t, o.Out)
	o.Out = t.TempDir()
	for shard := range 2 {
		o.Shards, o.ShardsOf = []int{shard}, 2
		if _, err := until(t, o, 12, nil); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	for shard := range 2 {
		var log bytes.Buffer
		o.Log, o.Shards = &log, []int{shard}
		if _, _, err := run1(t, 1, o); err != nil {
			t.Fatal(err)
		}
		var done, of int
		if _, err := fmt.Sscanf(log.String(), "going on: %d of %d rows are scored\n", &done, &of); err != nil || done < 1 || done >= of {
			t.Errorf("shard %d: %v: the worker says %q", shard, err, &log)
		}
		// The folder stays, where others may be about to save.
		if left, err := os.ReadDir(filepath.Join(o.Out, parquet.PartialName)); err != nil || (len(left) > 0) != (shard == 0) {
			t.Errorf("after shard %d: %v, %v", shard, left, err)
		}
	}
	// Of a shard that is whole all rows are, and of one that a worker begins none.
	for _, c := range []struct {
		out  string
		want string
	}{{o.Out, "going on: 35 of 35 rows are scored\n"}, {t.TempDir(), ""}} {
		var log bytes.Buffer
		other := o
		other.Out, other.Log = c.out, &log
		if _, _, err := run1(t, 1, other); err != nil || log.String() != c.want {
			t.Errorf("%v: the worker says %q, not %q", err, &log, c.want)
		}
	}
	o.Shards, o.Log = nil, nil
	score(t, 1, o)
	sameFiles(t, "two workers", files(t, o.Out), want)
}

// What was begun with other options, of another model's run, or is damaged, is refused
// by name before anything is scored.
func TestPartialRefused(t *testing.T) {
	o := options(dataset(t, many(vocab(t)), 1, ""), t.TempDir())
	o.Budget = 3
	if _, err := until(t, o, 30, nil); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	for what, change := range map[string]func(o *Options){
		"k is":          func(o *Options) { o.K = 4 },
		"targets is":    func(o *Options) { o.Targets = All },
		"options":       func(o *Options) { o.Limit = 50 },
		"store_topk is": func(o *Options) { o.StoreTopK = 1 },
		"model is":      func(o *Options) { o.Adapter = adapter(t, 3) },
	} {
		other := o
		change(&other)
		if _, _, err := run1(t, 1, other); cli.Code(err) != cli.ExitUsage || !strings.Contains(err.Error(), parquet.PartialName) || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	paths, err := filepath.Glob(filepath.Join(o.Out, parquet.PartialName, "part-00000-of-00001-row-*.parquet"))
	if err != nil || len(paths) < 2 {
		t.Fatalf("%v, %v", paths, err)
	}
	data, err := os.ReadFile(paths[1])
	if err != nil {
		t.Fatal(err)
	}
	whole := o
	whole.Out = t.TempDir()
	score(t, 1, whole)
	want := files(t, whole.Out)
	saved := o.Out
	refused := 0
	for at := 5; at < len(data); at += len(data) / 30 {
		o.Out = t.TempDir()
		if err := os.CopyFS(o.Out, os.DirFS(saved)); err != nil {
			t.Fatal(err)
		}
		data[at] ^= 4
		path := filepath.Join(o.Out, parquet.PartialName, filepath.Base(paths[1]))
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
		data[at] ^= 4
		switch _, _, err := run1(t, 1, o); {
		case err == nil: // it was of no consequence
			sameFiles(t, fmt.Sprintf("byte %d of %d changed", at, len(data)), files(t, o.Out), want)
		case cli.Code(err) != cli.ExitUsage || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "remove "):
			t.Errorf("byte %d changed: %v", at, err)
		default:
			refused++
		}
	}
	if o.Out = saved; refused < 5 {
		t.Errorf("only %d of 30 changed bytes were seen", refused)
	}
	if err := os.Remove(paths[1]); err != nil {
		t.Fatal(err)
	}
	score(t, 1, o)
}

// In a bucket, too: what a stopped run has scored is there for a machine that has
// nothing of it.
func TestStoppedInABucket(t *testing.T) {
	s := s3test.Start(t)
	s3test.Setenv(t, s.Endpoint)
	o := options(dataset(t, many(vocab(t)), 1, ""), t.TempDir())
	o.Budget = 3
	whole := score(t, 1, o)
	want := files(t, o.Out)
	o.Out = s3test.URL("scores")
	for _, left := range []int{20, 40} {
		if _, err := until(t, o, left, nil); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	if sum := score(t, 1, o); sum.Work.Tokens > whole.Work.Tokens/2 {
		t.Errorf("the last run scored %d tokens of %d", sum.Work.Tokens, whole.Work.Tokens)
	}
	got, err := s.Objects("scores")
	if err != nil {
		t.Fatal(err)
	}
	delete(got, parquet.ManifestName) // which does not say where the tokens are
	delete(want, parquet.ManifestName)
	sameFiles(t, "in a bucket", got, want)
}

// beside is a context that is never cancelled and calls then when it is asked for the
// left-th time whether it is.
type beside struct {
	context.Context
	left int
	then func()
}

func (b *beside) Err() error {
	if b.left--; b.left == 0 {
		b.then()
	}
	return nil
}

// What another run saves of a shard meanwhile is looked at like what was there before:
// scores of other options are refused.
func TestPartialOfAnotherRunMeanwhile(t *testing.T) {
	o := options(dataset(t, many(vocab(t)), 1, ""), t.TempDir())
	o.Budget = 3
	o.Shards, o.ShardsOf = []int{0}, 1
	other := o
	other.Out, other.K = t.TempDir(), 4
	if _, err := until(t, other, 40, nil); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	dev, err := cpu.New(1)
	if err != nil {
		t.Fatal(err)
	}
	ctx := &beside{t.Context(), 5, func() {
		if err := os.CopyFS(filepath.Join(o.Out, parquet.PartialName), os.DirFS(filepath.Join(other.Out, parquet.PartialName))); err != nil {
			t.Fatal(err)
		}
	}}
	if _, _, err := Run(ctx, dev, open(t, llama), o); cli.Code(err) != cli.ExitUsage || !strings.Contains(err.Error(), "k is") {
		t.Errorf("the error is %v", err)
	}
}

// What another run of the same shard has just taken away is no error.
func TestPartialTakenAway(t *testing.T) {
	o := options(dataset(t, rows(vocab(t)), 1, ""), t.TempDir())
	if err := os.Mkdir(filepath.Join(o.Out, parquet.PartialName), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("gone", filepath.Join(o.Out, parquet.PartialName, "part-00000-of-00001-row-000000000000.parquet")); err != nil {
		t.Skip(err)
	}
	score(t, 1, o)
}

// A run that closes the dataset takes the folder away in which a worker has saved: the
// worker takes the shard that is there for its own.
func TestClosedBesideWorker(t *testing.T) {
	defer func(d time.Duration) { saveInterval = d }(saveInterval)
	saveInterval = 0
	o := options(dataset(t, many(vocab(t)), 2, ""), t.TempDir())
	o.Budget = 3
	score(t, 1, o)
	want := files(t, o.Out)
	dev, err := cpu.New(1)
	if err != nil {
		t.Fatal(err)
	}
	o.Out = t.TempDir()
	worker := o
	var log bytes.Buffer
	worker.Log, worker.Shards, worker.ShardsOf = &log, []int{1}, 2
	saved := 0
	ctx := &beside{t.Context(), 20, func() {
		left, err := os.ReadDir(filepath.Join(o.Out, parquet.PartialName))
		if saved = len(left); err != nil {
			t.Fatal(err)
		}
		score(t, 1, o)
	}}
	if _, _, err := Run(ctx, dev, open(t, llama), worker); err != nil {
		t.Error(err)
	}
	if saved == 0 {
		t.Error("the worker had saved nothing")
	}
	if got := log.String(); !strings.Contains(got, "part-00001-of-00002.parquet: another run has made this shard meanwhile; it is kept") {
		t.Errorf("the worker says %q", got)
	}
	sameFiles(t, "a worker beside the run that closes", files(t, o.Out), want)
}
