package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"eaft/internal/s3test"
)

// project is a run whose file, corpus and folder are in a bucket.
type project struct {
	t      *testing.T
	server *s3test.Server
	name   string // prefix in the bucket
	env    []string
	dir    string // where the programs run: an empty folder
}

func newProject(t *testing.T, s *s3test.Server, endpoint, name string) *project {
	t.Helper()
	for _, f := range []string{"run.yaml", "corpus.jsonl"} {
		data, err := os.ReadFile(filepath.Join(workspace(t), f))
		if err == nil {
			err = os.MkdirAll(filepath.Join(s.Dir, name), 0o777)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(s.Dir, name, f), data, 0o666)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return &project{t, s, name, append(s3test.Env(endpoint), "TMPDIR="+t.TempDir()), t.TempDir()}
}

func (p *project) url() string { return s3test.URL(p.name) + "/run.yaml" }

func (p *project) command(verb string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(programs, "pipeline"), append([]string{verb, p.url()}, args...)...)
	cmd.Dir, cmd.Env = p.dir, append(os.Environ(), p.env...)
	return cmd
}

// do runs a command that must end with the exit code.
func (p *project) do(code int, verb string, args ...string) string {
	p.t.Helper()
	cmd := p.command(verb, args...)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != code {
		p.t.Fatalf("%v: %v, want exit code %d\n%s", cmd.Args, err, code, out)
	}
	return string(out)
}

// same compares what the steps made with that of a run in a folder.
func (p *project) same(want map[string]string) {
	p.t.Helper()
	objects, err := p.server.Objects(p.name)
	if err != nil {
		p.t.Fatal(err)
	}
	got := map[string]string{}
	for name, data := range objects {
		parts := strings.Split(name, "/")
		last := parts[len(parts)-1]
		if len(parts) < 4 || parts[0] != "run" || parts[2] != "out" || parts[3] == "_lock" || last == "metrics.jsonl" || strings.HasPrefix(last, "events.out.") {
			continue
		}
		got[name] = strings.ReplaceAll(data, s3test.URL(p.name)+"/", "") // a report names its scores
	}
	alike(p.t, p.name, got, want)
	if left, _ := os.ReadDir(p.dir); len(left) > 0 {
		p.t.Errorf("%v lies where the programs ran", left)
	}
}

// inFolder is what all runs in buckets must come to.
func inFolder(t *testing.T) map[string]string {
	t.Helper()
	dir := workspace(t)
	if out, err := pipelineRun(dir, "--workers", "1").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := map[string]string{}
	for name, data := range results(t, dir) {
		want[filepath.ToSlash(name)] = data
	}
	return want
}

// TestS3Run runs a whole pipeline whose file, corpus and folder are in a bucket:
// undisturbed, while one request in forty fails, with its workers elsewhere, and
// killed at random. The objects are those of a run in a folder, byte for byte.
func TestS3Run(t *testing.T) {
	s := s3test.Start(t)
	want := inFolder(t)
	for name, decide := range map[string]func(int, *http.Request) s3test.Fault{
		"plain":  func(int, *http.Request) s3test.Fault { return s3test.None },
		"faulty": s3test.Share(40, 500, 503, 429, s3test.Reset, s3test.Lost, s3test.Cut, s3test.Slow),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			proxy := s3test.Through(t, s, decide)
			p := newProject(t, s, proxy.Endpoint, "run-"+name)
			temp := t.TempDir()
			p.env = append(p.env, "TMPDIR="+temp)
			for _, verb := range []string{"plan", "run"} {
				if out := p.do(2, verb, "--set", "train.loss=eaftt"); !strings.Contains(out, "--set train.loss") {
					t.Errorf("%s with an unknown loss: %s", verb, out)
				}
			}
			p.do(0, "run")
			p.same(want)
			if left, _ := os.ReadDir(temp); len(left) > 0 {
				t.Errorf("%v lies in TMPDIR", left)
			}
			if out := p.do(0, "run"); !strings.Contains(out, "nothing to do") {
				t.Errorf("again: %s", out)
			}
			t.Logf("requests by fault: %v", proxy.Done())
		})
	}
	t.Run("elsewhere", func(t *testing.T) {
		t.Parallel()
		p := newProject(t, s, s.Endpoint, "run-elsewhere")
		for _, stage := range []string{"tokenize", "score"} {
			a, b := p.command("work", "--stage", stage, "--shard", "0/2"), p.command("work", "--stage", stage)
			for _, cmd := range []*exec.Cmd{a, b} {
				cmd.Env, cmd.Stderr = append(cmd.Env, "TMPDIR="+t.TempDir()), &strings.Builder{}
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
			}
			for _, cmd := range []*exec.Cmd{a, b} {
				if err := cmd.Wait(); err != nil {
					t.Fatalf("%v: %v\n%v", cmd.Args, err, cmd.Stderr)
				}
			}
			p.do(0, "run", "--workers", "1", "--until", stage)
		}
		p.do(0, "run")
		p.same(want)
		var st struct {
			Done  bool
			Steps []struct{ Name, State string }
		}
		if err := json.Unmarshal([]byte(p.do(0, "status", "--json")), &st); err != nil || !st.Done || len(st.Steps) < 5 {
			t.Errorf("status: %+v %v", st, err)
		}
	})
}

// TestS3RunKilled kills a random process of a run in a bucket at random moments.
func TestS3RunKilled(t *testing.T) {
	s := s3test.Start(t)
	want := inFolder(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	until := time.Now().Add(stressTime(t))
	kills := 0
	for round := 0; kills < 6 || time.Now().Before(until); round++ {
		p := newProject(t, s, s.Endpoint, fmt.Sprintf("run-killed-%d", round))
		kills += untilDone(t, fmt.Sprintf("seed %d, round %d", seed, round), rng, func() *exec.Cmd { return p.command("run", "--lease", "3s") },
			func() time.Duration { return time.Duration(200+rng.IntN(4000)) * time.Millisecond })
		p.same(want)
		os.RemoveAll(filepath.Join(s.Dir, p.name))
	}
	t.Logf("%d kills", kills)
}

// TestS3RunTwo: of two runs in a bucket the second is refused, or waits; one whose
// machine is gone is gone on with once its lease is over; one that stood still for
// longer than that writes nothing more.
func TestS3RunTwo(t *testing.T) {
	s := s3test.Start(t)
	want := inFolder(t)
	p := newProject(t, s, s.Endpoint, "run-two")
	begin := func(cmd *exec.Cmd) {
		t.Helper()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for range 600 {
			if _, err := os.Stat(filepath.Join(s.Dir, p.name, "run", "state.json")); err == nil {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Fatal("the first run does not begin")
	}
	first := p.command("run", "--lease", "3s")
	begin(first)
	// Another machine has another folder for temporary files.
	p.env = append(p.env, "TMPDIR="+t.TempDir())
	if out := p.do(0, "status"); !strings.Contains(out, "at work: process ") {
		t.Errorf("status: %s", out)
	}
	first.Process.Signal(syscall.SIGSTOP)
	second := p.command("run", "--lease", "2s")
	out, err := second.CombinedOutput()
	if err != nil {
		t.Errorf("after one that stands still: %v\n%s", err, out)
	}
	first.Process.Signal(syscall.SIGCONT)
	if err := first.Wait(); first.ProcessState.ExitCode() != 1 {
		t.Errorf("the one that stood still: %v", err)
	}
	p.same(want)
	if out := p.do(0, "run"); !strings.Contains(out, "nothing to do") {
		t.Errorf("the one that stood still wrote what is another's: %s", out)
	}
	if out := p.do(0, "clean", "--set", "score.dtype=f32", "--dry-run"); !strings.Contains(out, p.url()[:len(p.url())-len(".yaml")]+"/score-") {
		t.Errorf("clean: %s", out)
	}
}
