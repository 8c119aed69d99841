package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const killedRun = `model: demo
corpora: [corpus.jsonl]
workers: 3
tokenize: {shards: 7, split: held=20%}
train: {dtype: f32, batch-tokens: 512}
eval:
  held: {split: held}
`

// TestKilled kills a random process of a run with three workers at random
// moments, as kill -9 does, runs it again until it is done, and compares all
// results with those of a run that nothing disturbed. EAFT_STRESS is how long
// that goes on, such as 5m; without it, one round.
func TestKilled(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("no /proc to find the processes of a run in")
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	rounds, until := 1, time.Now().Add(stressTime(t))
	whole := workspace(t)
	if out, err := pipelineRun(whole, "--workers", "1").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := results(t, whole)
	began := time.Now()
	if out, err := pipelineRun(workspace(t)).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	took := time.Since(began)
	kills := 0
	for round := 0; round < rounds || time.Now().Before(until); round++ {
		dir := workspace(t)
		about := fmt.Sprintf("seed %d, round %d", seed, round)
		kills += untilDone(t, about, rng, func() *exec.Cmd { return pipelineRun(dir) }, func() time.Duration { return time.Duration(rng.Int64N(int64(took / 2))) })
		alike(t, about, results(t, dir), want)
		os.RemoveAll(dir)
	}
	if t.Logf("%d kills", kills); kills == 0 {
		t.Error("no process was killed")
	}
}

// untilDone runs a command until it succeeds, and kills a process of it after a
// pause, up to four times. It returns how many were killed.
func untilDone(t *testing.T, about string, rng *rand.Rand, command func() *exec.Cmd, pause func() time.Duration) (kills int) {
	t.Helper()
	for try := 0; ; try++ {
		cmd := command()
		var log strings.Builder
		cmd.Stdout, cmd.Stderr = &log, &log
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		var err error
		select {
		case err = <-ended:
		case <-time.After(pause()):
			if try < 4 {
				kills += killOne(rng, cmd.Process.Pid)
			}
			select {
			case err = <-ended:
			case <-time.After(time.Minute):
				cmd.Process.Kill()
				t.Fatalf("%s: still at it after a minute:\n%s", about, log.String())
			}
		}
		if err == nil {
			return kills
		}
		var exit *exec.ExitError
		if try > 8 || !errors.As(err, &exit) {
			t.Fatalf("%s: %v\n%s", about, err, log.String())
		}
	}
}

// alike compares contents by their names.
func alike(t *testing.T, about string, got, want map[string]string) {
	t.Helper()
	for name, data := range want {
		if got[name] != data {
			t.Errorf("%s: %s differs: %d bytes, sha256 %x, want %d bytes, sha256 %x", about, name, len(got[name]), sha256.Sum256([]byte(got[name])), len(data), sha256.Sum256([]byte(data)))
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s: %s is left over", about, name)
		}
	}
}

// stressTime is how long a test goes on that could go on for ever: EAFT_STRESS.
func stressTime(t *testing.T) time.Duration {
	s := os.Getenv("EAFT_STRESS")
	if s == "" {
		return 0
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatalf("EAFT_STRESS: %v", err)
	}
	return d
}

func workspace(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	data, err := os.ReadFile("../../examples/demo/corpus.jsonl")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "corpus.jsonl"), data, 0o666)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "run.yaml"), []byte(killedRun), 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func pipelineRun(dir string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(programs, "pipeline"), append([]string{"run", "run.yaml"}, args...)...)
	cmd.Dir = dir
	return cmd
}

// killOne kills a process of the tree below pid, or itself, and returns 1 if
// there was one.
func killOne(rng *rand.Rand, pid int) int {
	tree := []int{pid}
	for i := 0; i < len(tree); i++ {
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", tree[i]))
		for _, path := range tasks {
			data, _ := os.ReadFile(path)
			for _, f := range strings.Fields(string(data)) {
				if child, err := strconv.Atoi(f); err == nil {
					tree = append(tree, child)
				}
			}
		}
	}
	if syscall.Kill(tree[rng.IntN(len(tree))], syscall.SIGKILL) != nil {
		return 0
	}
	return 1
}

// results are the contents of what the steps of a run made, by their paths.
// Left out is what says when, how fast and by whom: a run that was killed when all
// was written leaves its name in the lock.
func results(t *testing.T, dir string) map[string]string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "run", "*", "out"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("%v: no results in %s", err, dir)
	}
	out := map[string]string{}
	for _, p := range paths {
		err := filepath.WalkDir(p, func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() || d.Name() == "metrics.jsonl" || d.Name() == ".lock" || strings.HasPrefix(d.Name(), "events.out.") {
				return err
			}
			data, err := os.ReadFile(path)
			rel, _ := filepath.Rel(dir, path)
			out[rel] = string(data)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// firstWrite tells of the first thing that is written to it.
type firstWrite struct {
	said chan struct{}
	once sync.Once
}

func (f *firstWrite) Write(b []byte) (int, error) {
	f.once.Do(func() { close(f.said) })
	return len(b), nil
}

// TestStopped: SIGTERM is exit code 75, nothing is left running, and a run goes on.
func TestStopped(t *testing.T) {
	dir := workspace(t)
	stopped := 0
	for i := range 6 {
		cmd := pipelineRun(dir, "--workers", strconv.Itoa(1+2*(i%2)))
		begun := &firstWrite{said: make(chan struct{})}
		cmd.Stderr = begun
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		<-begun.said // before, it may not listen to signals yet
		time.Sleep(time.Duration(40+60*i) * time.Millisecond)
		cmd.Process.Signal(syscall.SIGTERM)
		err := cmd.Wait()
		var exit *exec.ExitError
		if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 75) {
			t.Fatalf("stopped after %d ms: %v, want exit code 75", 40+60*i, err)
		}
		if err != nil {
			stopped++
		}
	}
	if out, err := pipelineRun(dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if stopped == 0 {
		t.Error("no run was stopped before it was done")
	}
}

// TestNoLife: a worker whose claims cannot be written any more has failed; nobody has
// stopped it, which a scheduler would take for a reason to try again without end.
func TestNoLife(t *testing.T) {
	dir := workspace(t)
	if out, err := pipelineRun(dir, "--until", "tokenize").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.Command(filepath.Join(programs, "pipeline"), "work", "run.yaml", "--stage", "score", "--batch", "7", "--lease", "200ms")
	cmd.Dir = dir
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var claims []string
	for until := time.Now().Add(time.Minute); len(claims) < 7 && time.Now().Before(until); time.Sleep(5 * time.Millisecond) {
		claims, _ = filepath.Glob(filepath.Join(dir, "run", "score-*", "shards", "*.claim.0"))
	}
	if len(claims) == 0 {
		t.Fatal("no claims")
	}
	if err := os.Rename(filepath.Dir(claims[0]), filepath.Join(dir, "aside")); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(said.String(), "this worker cannot show life: ") {
		t.Errorf("%v\n%s", cmd.ProcessState, said.String())
	}
}

// TestTwo: a second run of the folder is refused, or waits and finds all done.
func TestTwo(t *testing.T) {
	dir := workspace(t)
	first := pipelineRun(dir)
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	for _, err := os.Stat(filepath.Join(dir, "run", "state.json")); err != nil; _, err = os.Stat(filepath.Join(dir, "run", "state.json")) {
		time.Sleep(5 * time.Millisecond)
	}
	second := pipelineRun(dir)
	out, err := second.CombinedOutput()
	if second.ProcessState.ExitCode() != 2 || !strings.Contains(string(out), "another pipeline works in this folder (process ") {
		t.Errorf("a second run: %v\n%s", err, out)
	}
	out, err = pipelineRun(dir, "--wait").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "nothing to do") {
		t.Errorf("one that waits: %v\n%s", err, out)
	}
	if err := first.Wait(); err != nil {
		t.Error(err)
	}
}
