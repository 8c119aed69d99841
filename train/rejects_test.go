package train

import (
	"errors"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"eaft/internal/cli"
	"eaft/internal/lock"
	"eaft/internal/store"
)

// rejected are the lines of the world's two rows that cannot be trained on.
const rejected = `{"id":"untrained","source":"part-00000-of-00001.parquet","row":0,"reason":"no trained target","detail":"2 tokens"}
{"id":"long","source":"part-00000-of-00001.parquet","row":5,"reason":"longer than the model's positions","detail":"65 tokens, the model has 64 positions"}
`

// isRejects checks the rejects in the folder of w's run.
func isRejects(t *testing.T, w *world) {
	t.Helper()
	data, err := store.ReadFile(store.Join(w.o.Out, RejectsName))
	if err != nil || string(data) != rejected {
		t.Errorf("rejects: %v\n%s", err, data)
	}
}

// turnedDown checks that w's run is refused at a rate of 2 in 11, with what is left out
// beside whatever the folder had.
func turnedDown(t *testing.T, w *world) {
	t.Helper()
	before, err := store.Sizes(w.o.Out)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	was := w.o.MaxReject
	w.o.MaxReject = 0.18
	err = w.run(t.Context())
	w.o.MaxReject = was
	want := "2 of 11 rows cannot be trained on (18.2%; --max-reject is 18.0%): 1 no trained target, 1 longer than the model's positions; first no trained target: untrained (2 tokens); each is named in " + store.Join(w.o.Out, RejectsName)
	if cli.Code(err) != cli.ExitGate || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
	after, err := store.Sizes(w.o.Out)
	must(t, err)
	for _, sizes := range []map[string]int64{before, after} {
		for _, name := range []string{RejectsName, unfinishedName, lock.FolderName} {
			delete(sizes, name)
		}
	}
	if !maps.Equal(before, after) {
		t.Errorf("the folder has %v, had %v", after, before)
	}
	isRejects(t, w)
}

// Rows that cannot be trained on are named, and more of them than --max-reject
// allows refuse the run before it begins and before it goes on, which changes
// nothing of what it makes.
func TestMaxReject(t *testing.T) {
	w := newWorld(t)
	w.o.MaxReject = 2.0 / 11
	must(t, w.run(t.Context()))
	isRejects(t, w)
	if want := "warning: 2 of 11 rows are not trained on: 1 no trained target, 1 longer than the model's positions; first no trained target: untrained (2 tokens); each is named in "; !strings.Contains(w.log.String(), want) {
		t.Errorf("%q, want %q", w.log.String(), want)
	}
	want := results(t, w.o.Out)
	w.o.Out = store.Join(w.dir, "gated")
	turnedDown(t, w)
	if err := w.run(&countdown{Context: t.Context(), left: 3}); cli.Code(err) != cli.ExitStopped {
		t.Fatalf("stopped: %v", err)
	}
	if strings.Contains(w.log.String(), "unfinished run") {
		t.Errorf("nothing was begun, but: %s", w.log.String())
	}
	turnedDown(t, w)
	w.log.Reset()
	must(t, w.run(t.Context()))
	if !strings.Contains(w.log.String(), "going on from ") {
		t.Errorf("log: %q", w.log.String())
	}
	same(t, "after refusals", results(t, w.o.Out), want)
}

func TestMaxRejectInBucket(t *testing.T) {
	w := newWorld(t)
	s := inBucket(t, w, time.Minute)
	turnedDown(t, w)
	must(t, w.run(t.Context()))
	isRejects(t, w)
	objects, err := s.Objects("run/")
	must(t, err)
	if names := slices.Collect(maps.Keys(objects)); slices.Contains(names, unfinishedName) || !slices.Contains(names, RecordName) {
		t.Errorf("the bucket has %v", names)
	}
}

// Of a dataset without a usable row the first one is named.
func TestNothingToTrain(t *testing.T) {
	w := newWorld(t)
	w.o.MaxRows, w.o.MaxReject = 1, 1
	if err := w.run(t.Context()); cli.Code(err) != cli.ExitUsage || !strings.Contains(err.Error(), "no row to train on: of 1 rows 1 no trained target; first: untrained (2 tokens)") {
		t.Errorf("%v", err)
	}
}
