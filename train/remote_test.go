package train

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"eaft/internal/cli"
	"eaft/internal/lock"
	"eaft/internal/s3test"
	"eaft/internal/store"
)

// inBucket lets w write to a bucket, with a lease of so long.
func inBucket(t *testing.T, w *world, lease time.Duration) *s3test.Server {
	t.Helper()
	s := s3test.Start(t)
	s3test.Setenv(t, s.Endpoint)
	t.Setenv("TMPDIR", t.TempDir())
	was := runLease
	runLease = lease
	t.Cleanup(func() { runLease = was })
	w.o.Out = s3test.URL("run?endpoint=" + s.Endpoint)
	return s
}

// scratches are what runs left in TMPDIR.
func scratches(t *testing.T) []string {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(os.TempDir(), "eaft-*"))
	must(t, err)
	return left
}

// A run in a bucket makes what one in a folder makes, is finished for the next
// command, and leaves nothing on this machine.
func TestBucket(t *testing.T) {
	w := newWorld(t)
	w.o.Eval, w.o.EvalEvery, w.o.Best = []HeldOutSet{{"held", w.o.Tokens}}, 2, "held"
	w.o.SaveEvery, w.o.Keep = 1, 3
	must(t, w.run(t.Context()))
	folder := w.o.Out
	s := inBucket(t, w, time.Minute)
	must(t, w.run(t.Context()))
	copied := filepath.Join(w.dir, "copied")
	must(t, os.CopyFS(copied, os.DirFS(filepath.Join(s.Dir, "run"))))
	must(t, os.RemoveAll(filepath.Join(copied, lockFolder)))
	got, want := results(t, copied), results(t, folder)
	delete(want, lock.FolderName)
	for _, files := range []map[string]string{got, want} { // the way to the tokens is another one
		var m map[string]any
		must(t, json.Unmarshal([]byte(files["audit/_manifest.json"]), &m))
		delete(m, "tokens")
		delete(m, "scores")
		data, err := json.Marshal(m)
		must(t, err)
		files["audit/_manifest.json"] = string(data)
	}
	same(t, "in a bucket", got, want)
	steps, err := checkpoints(store.Join(w.o.Out, CheckpointsName))
	must(t, err)
	if len(steps) != 3 {
		t.Errorf("checkpoints of steps %v, not three", steps)
	}
	w.log.Reset()
	must(t, w.run(t.Context()))
	if !strings.Contains(w.log.String(), "is finished already") {
		t.Errorf("again: %s", w.log.String())
	}
	if left := scratches(t); len(left) > 0 {
		t.Errorf("left in TMPDIR: %v", left)
	}
}

// A run that is refused leaves nothing in the bucket but its lock's folder.
func TestRefusedInBucket(t *testing.T) {
	w := newWorld(t)
	s := inBucket(t, w, time.Minute)
	w.o.Memory = 1 << 20
	if err := w.run(t.Context()); cli.Code(err) != cli.ExitUsage || !strings.Contains(err.Error(), "--memory") {
		t.Errorf("the error is %v", err)
	}
	objects, err := s.Objects("")
	must(t, err)
	for name := range objects {
		if !strings.HasPrefix(name, "run/"+lockFolder+"/") {
			t.Errorf("%s is left in the bucket", name)
		}
	}
	if left := scratches(t); len(left) > 0 {
		t.Errorf("left in TMPDIR: %v", left)
	}
}

// A checkpoint in which a bit flipped is named and passed over, for the one before.
func TestDamagedInBucket(t *testing.T) {
	w := newWorld(t)
	s := inBucket(t, w, time.Minute)
	w.o.SaveEvery = 1
	must(t, w.run(t.Context()))
	want, err := s.Objects("run/model")
	must(t, err)
	unfinish(t, filepath.Join(s.Dir, "run"))
	steps, err := checkpoints(store.Join(w.o.Out, CheckpointsName))
	must(t, err)
	must(t, s.Flip("run/checkpoints/"+stepName(steps[0])+"/"+mastersFile))
	w.log.Reset()
	must(t, w.run(t.Context()))
	if log := w.log.String(); !strings.Contains(log, "warning: s3://bucket/run/checkpoints/"+stepName(steps[0])) || !strings.Contains(log, mastersFile+" was changed") ||
		!strings.Contains(log, "going on from s3://bucket/run/checkpoints/"+stepName(steps[1])) {
		t.Errorf("log: %s", log)
	}
	got, err := s.Objects("run/model")
	must(t, err)
	same(t, "after a flipped bit", got, want)
}

// Of two runs in one bucket the second is refused while the first shows life, and
// goes on when it does not; the first, if it lives after all, writes nothing more.
func TestLeaseInBucket(t *testing.T) {
	w := newWorldOf(t, 36)
	s := inBucket(t, w, 500*time.Millisecond)
	folder := store.Join(w.o.Out, lockFolder)
	other, err := lock.OpenClaims(folder, time.Hour)
	must(t, err)
	_, err = other.Take([]int{0}, 1)
	must(t, err)
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-end:
				return
			case <-time.After(20 * time.Millisecond):
				other.Beat()
			}
		}
	}()
	if err := w.run(t.Context()); cli.Code(err) != cli.ExitFailed || !strings.Contains(err.Error(), "another run writes this folder (process ") {
		t.Errorf("beside one that lives: %v", err)
	}
	close(end)
	<-ended
	w.o.Steps, w.o.Epochs = 2, 0
	must(t, w.run(t.Context()))
	if lost, err := other.Beat(); err != nil || len(lost) != 1 {
		t.Errorf("the first lost %v, %v", lost, err)
	}
	// Now somebody takes over from this one.
	w.o.Out = strings.Replace(w.o.Out, "/run", "/next", 1)
	w.o.Steps, w.o.SaveEvery = 1000, 1
	go func() {
		dir := filepath.Join(s.Dir, "next", lockFolder)
		for {
			if _, err := os.Stat(filepath.Join(dir, "00000.claim.0")); err == nil {
				os.WriteFile(filepath.Join(dir, "00000.claim.1"), []byte("{}"), 0o666)
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	}()
	if err := w.run(t.Context()); cli.Code(err) != cli.ExitFailed || !strings.Contains(err.Error(), "another one has gone on with it") {
		t.Errorf("one that was taken over: %v", err)
	}
	if left := scratches(t); len(left) > 0 {
		t.Errorf("left in TMPDIR: %v", left)
	}
}

// What the store does not take at the end is kept, and the error says where.
func TestUnsent(t *testing.T) {
	w := newWorld(t)
	s := inBucket(t, w, time.Minute)
	w.o.Steps, w.o.Epochs = 2, 0
	// A folder where the record's object would be: the server refuses to write it.
	must(t, os.MkdirAll(filepath.Join(s.Dir, "run", RecordName, "x"), 0o777))
	err := w.run(t.Context())
	left := scratches(t)
	if err == nil || len(left) != 1 || !strings.Contains(err.Error(), left[0]) || !strings.Contains(err.Error(), RecordName) {
		t.Fatalf("%v; left in TMPDIR: %v", err, left)
	}
	if _, err := os.Stat(filepath.Join(left[0], ModelName, "model.safetensors")); err != nil {
		t.Error(err)
	}
}
