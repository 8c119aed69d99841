package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"eaft/internal/cli"
	"eaft/internal/lock"
	"eaft/internal/s3test"
)

// place is where a chain of stages reads and writes: a folder, or a bucket.
type place struct {
	t    *testing.T
	root string // of all names
	env  []string
	dir  string // working directory, with corpus.jsonl
}

func (p *place) at(name string) string { return p.root + "/" + name }

// do runs a program of ours and returns its standard output; its exit code must be
// one of codes.
func (p *place) do(args []string, codes ...int) (out, log string) {
	p.t.Helper()
	cmd := p.command(args)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	for _, c := range codes {
		if c == cmd.ProcessState.ExitCode() {
			return stdout.String(), stderr.String()
		}
	}
	p.t.Fatalf("%v: %v, want exit code %v\n%s", args, err, codes, &stderr)
	return "", ""
}

func (p *place) command(args []string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(programs, args[0]), args[1:]...)
	cmd.Dir, cmd.Env = p.dir, append(os.Environ(), p.env...)
	return cmd
}

// stages are the commands of the chain, with what they read as arguments.
func (p *place) stages(corpus string) [][]string {
	return [][]string{
		{"tokenize", "--model", "demo", "--shards", "3", "--out", p.at("tok"), corpus},
		{"scorer", "score", "--model", "demo", "--dtype", "f32", "--tokens", p.at("tok"), "--out", p.at("sco")},
		{"scorer", "inspect", p.at("sco"), "--json", "--html", p.at("report.html")},
		{"train", "--model", "demo", "--tokens", p.at("tok"), "--scores", p.at("sco"), "--loss", "eaft", "--dtype", "f32", "--steps", "3", "--save-every", "1", "--out", p.at("run")},
		{"scorer", "verify", p.at("sco")},
	}
}

// chain runs all stages, and returns the conflict report.
func (p *place) chain(corpus string) (report string) {
	p.t.Helper()
	for _, args := range p.stages(corpus) {
		out, _ := p.do(args, cli.ExitDone)
		if args[1] == "inspect" {
			report = out
		}
	}
	return strings.ReplaceAll(report, p.root+"/", "")
}

// inFiles is the chain in a folder: what all others must come to.
func inFiles(t *testing.T) (p *place, report string, files map[string]string) {
	t.Helper()
	dir := workspace(t)
	p = &place{t: t, root: "made", dir: dir}
	if err := os.Mkdir(filepath.Join(dir, "made"), 0o777); err != nil {
		t.Fatal(err)
	}
	report = p.chain("corpus.jsonl")
	files = map[string]string{}
	err := filepath.WalkDir(filepath.Join(dir, "made"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		rel, _ := filepath.Rel(filepath.Join(dir, "made"), path)
		files[filepath.ToSlash(rel)] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return p, report, settled(files, "made")
}

// settled leaves out what says when, how fast, where and by whom.
func settled(files map[string]string, root string) map[string]string {
	out := map[string]string{}
	for name, data := range files {
		if name != "run/metrics.jsonl" && name != "run/.lock" && !strings.HasPrefix(name, "run/_lock/") && !strings.HasPrefix(name, "run/tensorboard/") && !strings.HasPrefix(name, "run/checkpoints/") {
			if name == "report.html" {
				data = strings.ReplaceAll(data, root+"/", "")
			}
			out[name] = data
		}
	}
	return out
}

// put makes an object of the corpus, as its user does.
func put(t *testing.T, s *s3test.Server, dir string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "corpus.jsonl"))
	if err == nil {
		err = s.Put("in/corpus.jsonl", data)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// watch looks at what is visible in the bucket until the test ends: whatever has
// the name of a shard has all of its bytes.
func watch(t *testing.T, s *s3test.Server, folder string, want map[string]string) {
	end := make(chan struct{})
	var wg sync.WaitGroup
	seen := 0
	wg.Go(func() {
		for {
			objects, _ := s.Objects(folder) // one may be replaced just now
			for name, data := range objects {
				if strings.HasSuffix(name, ".parquet") && want[name] != "" {
					if seen++; data != want[name] {
						t.Errorf("%s is visible with %d bytes of %d", name, len(data), len(want[name]))
					}
				}
			}
			select {
			case <-end:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	})
	t.Cleanup(func() {
		close(end)
		wg.Wait()
		if seen == 0 {
			t.Error("nothing was seen")
		}
	})
}

func sameObjects(t *testing.T, s *s3test.Server, folder string, want map[string]string) {
	t.Helper()
	objects, err := s.Objects(folder)
	if err != nil {
		t.Fatal(err)
	}
	got := settled(objects, s.URL(folder))
	alike(t, folder, got, want)
}

// TestChain runs the chain from a corpus in a bucket to a model in a bucket, once
// undisturbed, once while one request in ten fails in every way that requests do,
// and once killed again and again: the objects are the files of a run in a folder,
// byte for byte, and no part of one is ever visible. So on servers of each protocol.
func TestChain(t *testing.T) {
	for kind, start := range s3test.Kinds {
		t.Run(kind, func(t *testing.T) { onServer(t, start(t)) })
	}
}

func onServer(t *testing.T, s *s3test.Server) {
	files, report, want := inFiles(t)
	put(t, s, files.dir)
	corpus := s.URL("in/corpus.jsonl")
	for name, f := range map[string]func(int, *http.Request) s3test.Fault{
		"undisturbed": func(int, *http.Request) s3test.Fault { return s3test.None },
		"faults":      s3test.Share(10, 500, 503, 429, s3test.Reset, s3test.Lost, s3test.Cut, s3test.Slow),
	} {
		t.Run(name, func(t *testing.T) {
			proxy := s3test.Through(t, s, f)
			p := &place{t: t, root: s.URL(name), env: append(s.Env(proxy.Endpoint), "TMPDIR="+t.TempDir()), dir: files.dir}
			watch(t, s, name, want)
			if got := p.chain(corpus); got != report {
				t.Error("the report differs from that of files")
			}
			sameObjects(t, s, name, want)
			t.Logf("requests by fault: %v", proxy.Done())
			if n := len(proxy.Done()); name == "faults" && n < 6 {
				t.Errorf("only %d kinds of faults", n)
			}
			_, log := p.do(p.stages(corpus)[0], cli.ExitDone)
			if !strings.Contains(log, "nothing to do") {
				t.Errorf("again: %s", log)
			}
		})
	}
	// Machines that share nothing but the bucket make shards side by side.
	t.Run("shards", func(t *testing.T) {
		p := &place{t: t, root: s.URL("shards"), env: s.Env(s.Endpoint), dir: files.dir}
		watch(t, s, "shards", want)
		for i, args := range p.stages(corpus) {
			if i < 2 {
				var wg sync.WaitGroup
				for _, part := range []string{"0,2/3", "1/3"} {
					wg.Go(func() {
						cmd := p.command(append(args[:len(args):len(args)], "--shard="+part))
						cmd.Env = append(cmd.Env, "TMPDIR="+t.TempDir())
						if out, err := cmd.CombinedOutput(); err != nil {
							t.Errorf("%v: %v\n%s", cmd.Args, err, out)
						}
					})
				}
				wg.Wait()
			}
			p.do(args, cli.ExitDone)
		}
		sameObjects(t, s, "shards", want)
	})
	t.Run("killed", func(t *testing.T) {
		p := &place{t: t, root: s.URL("killed"), env: append(s.Env(s.Endpoint), "TMPDIR="+t.TempDir()), dir: files.dir}
		watch(t, s, "killed", want)
		seed := uint64(time.Now().UnixNano())
		rng := rand.New(rand.NewPCG(seed, 0))
		kills := 0
		for _, args := range p.stages(corpus) {
			for range 4 {
				cmd := p.command(args)
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				kill := time.AfterFunc(time.Duration(50+rng.IntN(400))*time.Millisecond, func() { cmd.Process.Kill() })
				if cmd.Wait() != nil {
					kills++
				}
				kill.Stop()
			}
			p.do(args, cli.ExitDone)
		}
		sameObjects(t, s, "killed", want)
		if t.Logf("seed %d: %d kills", seed, kills); kills == 0 {
			t.Error("nothing was killed")
		}
	})
}

// TestChainAdapter: an adapter in a bucket is that of a folder for all that reads
// one, on servers of each protocol, whatever requests fail; what is not there, or
// cannot be asked now, is said as of a model.
func TestChainAdapter(t *testing.T) {
	for kind, start := range s3test.Kinds {
		t.Run(kind, func(t *testing.T) { adapterOnServer(t, start(t)) })
	}
}

func adapterOnServer(t *testing.T, s *s3test.Server) {
	dir := workspace(t)
	f := s3test.Share(10, 500, 503, s3test.Reset, s3test.Cut)
	proxy := s3test.Through(t, s, f)
	temp := t.TempDir()
	p := &place{t: t, root: s.URL(""), env: append(s.Env(proxy.Endpoint), "TMPDIR="+temp), dir: dir}
	p.do([]string{"tokenize", "--model", "demo", "--out", "tok", "corpus.jsonl"}, cli.ExitDone)
	training := []string{"train", "--model", "demo", "--tokens", "tok", "--loss", "sft", "--dtype", "f32", "--lora", "4", "--lr", "1e-2", "--steps", "2", "--out"}
	p.do(append(training, "run"), cli.ExitDone)
	p.do(append(training, s.URL("run")), cli.ExitDone)
	score := func(adapter, out string) (log string) {
		_, log = p.do([]string{"scorer", "score", "--model", "demo", "--dtype", "f32", "--tokens", "tok", "--adapter", adapter, "--out", out}, cli.ExitDone)
		return log
	}
	score("run/adapter", "folder")
	score(s.URL("run/adapter"), "bucket")
	score("file://"+filepath.Join(dir, "run/adapter"), "file")
	for _, name := range []string{"part-00000-of-00001.parquet", "_manifest.json"} {
		want, err := os.ReadFile(filepath.Join(dir, "folder", name))
		if err != nil {
			t.Fatal(err)
		}
		for _, other := range []string{"bucket", "file"} {
			if got, err := os.ReadFile(filepath.Join(dir, other, name)); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s/%s differs from that of the adapter in a folder: %v", other, name, err)
			}
		}
	}
	if log := score(s.URL("run/adapter"), "folder"); !strings.Contains(log, "nothing to do") {
		t.Errorf("the same adapter elsewhere is another: %s", log)
	}
	for _, args := range [][]string{
		{"train", "eval", "--model", "demo", "--tokens", "tok", "--dtype", "f32", "--adapter"},
		{"scorer", "verify", "folder", "--sample", "5", "--model", "demo", "--adapter"},
	} {
		want, _ := p.do(append(args, "run/adapter"), cli.ExitDone)
		if got, _ := p.do(append(args, s.URL("run/adapter")), cli.ExitDone); got != want {
			t.Errorf("%v: %s, of a folder %s", args, got, want)
		}
		if _, log := p.do(append(args, s.URL("none")), cli.ExitUsage); !strings.Contains(log, s.URL("none")+": no such folder") {
			t.Errorf("%v: of one that is not there: %s", args, log)
		}
	}
	p.do([]string{"train", "audit", s.URL("run"), "--tokens", "tok", "--after", "folder"}, cli.ExitDone)
	if left, _ := os.ReadDir(temp); len(left) > 0 {
		t.Errorf("%v lies in TMPDIR", left)
	}
	away := s3test.Through(t, s, func(int, *http.Request) s3test.Fault { return s3test.Reset })
	p.env = append(p.env, s.Env(away.Endpoint)...)
	if _, log := p.do([]string{"train", "eval", "--model", "demo", "--tokens", "tok", "--adapter", s.URL("run/adapter")}, cli.ExitFailed); !strings.Contains(log, "run the same command again when the store answers") {
		t.Errorf("of a store that stays away: %s", log)
	}
}

// TestS3Away: of a store that stays away every stage says which object it could
// not read or write and what to do, with exit code 1.
func TestS3Away(t *testing.T) {
	s := s3test.Start(t)
	files, _, _ := inFiles(t)
	put(t, s, files.dir)
	p := s3test.Through(t, s, func(int, *http.Request) s3test.Fault { return s3test.Reset })
	away := &place{t: t, root: s3test.URL("away"), env: s3test.Env(p.Endpoint), dir: files.dir}
	for i, args := range away.stages(s3test.URL("in/corpus.jsonl"))[:4] {
		t.Run(fmt.Sprint(args[0], i), func(t *testing.T) {
			t.Parallel()
			_, log := away.do(args, cli.ExitFailed)
			lines := strings.Split(strings.TrimSpace(log), "\n")
			last := lines[len(lines)-1]
			if !strings.Contains(last, "s3://"+s3test.Bucket+"/") || !strings.Contains(last, "run the same command again when the store answers") {
				t.Errorf("the error is %s", last)
			}
		})
	}
}

// TestS3Damaged flips one bit in stored shards, behind the store's back: the next
// stage or verify names the object and what to do, and that brings the bytes back.
func TestS3Damaged(t *testing.T) {
	s := s3test.Start(t)
	files, _, want := inFiles(t)
	put(t, s, files.dir)
	p := &place{t: t, root: s3test.URL("damaged"), env: append(s3test.Env(s.Endpoint), "TMPDIR="+t.TempDir()), dir: files.dir}
	p.chain(s3test.URL("in/corpus.jsonl"))
	stages := p.stages(s3test.URL("in/corpus.jsonl"))
	for _, c := range []struct {
		object       string
		find, remedy []string
	}{
		{"sco/part-00001-of-00003.parquet", []string{"scorer", "verify", p.at("sco")}, stages[1]},
		{"tok/part-00002-of-00003.parquet", []string{"scorer", "verify", p.at("sco")}, stages[0]},
	} {
		if err := s.Flip("damaged/" + c.object); err != nil {
			t.Fatal(err)
		}
		_, log := p.do(c.find, cli.ExitFailed, cli.ExitUsage)
		if !strings.Contains(log, p.at(c.object)) {
			t.Errorf("%s is not named", c.object)
		}
		manifest := filepath.Join(filepath.Dir(c.object), "_manifest.json")
		if !strings.Contains(log, "remove it and the _manifest.json beside it, and run its stage again") {
			t.Errorf("no remedy: %s", log)
		}
		for _, name := range []string{c.object, manifest} {
			if err := os.Remove(filepath.Join(s.Dir, "damaged", name)); err != nil {
				t.Fatal(err)
			}
		}
		p.do(c.remedy, cli.ExitDone)
		sameObjects(t, s, "damaged", want)
	}
}

// TestS3Stall lets one read and one write of each stage stand still, in the midst
// of it, for as long as a request may: the stage says so, asks again, and makes
// what it makes undisturbed.
func TestS3Stall(t *testing.T) {
	s := s3test.Start(t)
	files, _, want := inFiles(t)
	put(t, s, files.dir)
	corpus := s.URL("in/corpus.jsonl")
	outputs := []string{"tok", "sco", "report.html", "run", ""}
	made := &place{t: t, root: s.URL("made"), dir: files.dir}
	for i, args := range made.stages(corpus) {
		// kind is that of a request for or with the bytes of an object.
		kind := func(r *http.Request) string {
			if r.URL.Query().Has("list-type") {
				return ""
			}
			return r.Method
		}
		var mu sync.Mutex
		usual := map[string]int{}
		proxy := s3test.Through(t, s, func(_ int, r *http.Request) s3test.Fault {
			mu.Lock()
			defer mu.Unlock()
			usual[kind(r)]++
			return s3test.None
		})
		made.env = s.Env(proxy.Endpoint)
		made.do(args, cli.ExitDone)
		t.Run(fmt.Sprint(args[:2]), func(t *testing.T) {
			t.Parallel()
			name := fmt.Sprint("stall", i)
			for _, dir := range outputs[:min(i, 2)] { // what the stage reads
				if err := os.CopyFS(filepath.Join(s.Dir, name, dir), os.DirFS(filepath.Join(s.Dir, "made", dir))); err != nil {
					t.Fatal(err)
				}
			}
			var mu sync.Mutex
			seen := map[string]int{}
			proxy := s3test.Through(t, s, func(_ int, r *http.Request) s3test.Fault {
				mu.Lock()
				defer mu.Unlock()
				k := kind(r)
				if seen[k]++; seen[k] != usual[k]/2+1 {
					return s3test.None
				}
				return map[string]s3test.Fault{http.MethodGet: s3test.Stall, http.MethodPut: s3test.Silent}[k]
			})
			p := &place{t: t, root: s.URL(name), env: append(s.Env(proxy.Endpoint), "TMPDIR="+t.TempDir()), dir: files.dir}
			began := time.Now()
			_, log := p.do(p.stages(corpus)[i], cli.ExitDone)
			took := time.Since(began)
			stalls := 1
			if usual[http.MethodPut] > 0 {
				stalls = 2
			}
			if done := proxy.Done(); done[s3test.Stall]+done[s3test.Silent] != stalls || took < 30*time.Second ||
				strings.Count(log, "did not answer in time; trying again (2 of 6)") != stalls {
				t.Errorf("after %v, with the faults %v:\n%s", took, done, log)
			}
			of := map[string]string{}
			for file, data := range want {
				if root, _, _ := strings.Cut(file, "/"); root == outputs[i] || slices.Contains(outputs[:min(i, 2)], root) {
					of[file] = data
				}
			}
			sameObjects(t, s, name, of)
			t.Logf("%v, %d stalls", took.Round(time.Second), stalls)
		})
	}
}

// TestClaims: of many that claim shards in a bucket at once exactly one gets each,
// and of one that gave up another does.
func TestClaims(t *testing.T) {
	for kind, start := range s3test.Kinds {
		t.Run(kind, func(t *testing.T) {
			s := start(t)
			s.Setenv(t, s.Endpoint)
			const workers, shards = 8, 24
			var all []int
			for i := range shards {
				all = append(all, i)
			}
			var mu sync.Mutex
			held := map[int]int{}
			for round := range 2 { // of the second one the first one's holders gave up
				var wg, taken sync.WaitGroup
				taken.Add(workers)
				for range workers {
					wg.Go(func() {
						c, err := lock.OpenClaims(s.At(s.Endpoint, "claims"), time.Hour)
						if err != nil {
							t.Error(err)
							taken.Done()
							return
						}
						for {
							got, err := c.Take(all, 3)
							if err != nil {
								t.Error(err)
							}
							if len(got) == 0 {
								break
							}
							mu.Lock()
							for _, s := range got {
								held[s]++
							}
							mu.Unlock()
						}
						taken.Done()
						taken.Wait() // so that nobody takes what is given back
						if lost, err := c.Beat(); err != nil || len(lost) > 0 {
							t.Error(lost, err)
						}
						if err := c.Drop(); err != nil {
							t.Error(err)
						}
					})
				}
				wg.Wait()
				for _, shard := range all {
					if held[shard] != 1 {
						t.Errorf("round %d: shard %d is in %d hands", round, shard, held[shard])
					}
				}
				clear(held)
			}
		})
	}
}
