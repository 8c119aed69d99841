package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"eaft/internal/cli"
	"eaft/internal/s3test"
	"eaft/parquet"
	"eaft/train"
)

// TestBucketKilled kills a run in a bucket at random moments, as the end of a spot
// machine does, takes its disk away, and lets the same command go on elsewhere,
// while one request in twelve fails. The results are those of a run in a folder
// that nothing disturbed, and whatever is complete in the bucket at any such
// moment is so to the bit.
func TestBucketKilled(t *testing.T) {
	s := s3test.Start(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	tokens := corpus(t)
	args := func(out string) []string {
		return []string{"--model", "../../model/testdata/llama", "--tokens", tokens, "--out", out, "--loss", "eaft", "--lr", "1e-2",
			"--epochs", "2", "--batch-tokens", "700", "--save-every", fmt.Sprint(1 + rng.IntN(9)), "--eval", "held=" + tokens, "--eval-every", "8", "--best", "held"}
	}
	whole := filepath.Join(t.TempDir(), "whole")
	began := time.Now()
	if out, err := process(args(whole)...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	took := 2 * time.Since(began) // with what goes to the bucket
	want := results(t, whole)
	delete(want, ".lock")
	comparable(t, want)
	p := s3test.Through(t, s, s3test.Share(12, 503, 429, s3test.Reset, s3test.Lost, s3test.Cut))
	rounds := 2
	if os.Getenv("EAFT_STRESS") != "" {
		rounds = 20
	}
	stops, resumed := 0, 0
	for round := range rounds {
		out := fmt.Sprint("run", round)
		for try := 0; ; try++ {
			if try > 20 {
				t.Fatal("no end of it")
			}
			cmd := process(args(s3test.URL(out))...)
			cmd.Env = append(append(os.Environ(), s3test.Env(p.Endpoint)...), "TMPDIR="+t.TempDir())
			var log bytes.Buffer
			cmd.Stderr = &log
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			signal := []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM}[rng.IntN(2)]
			var kill *time.Timer
			if try < 4 {
				kill = time.AfterFunc(took/4+time.Duration(rng.Int64N(int64(took))), func() { cmd.Process.Signal(signal) })
			}
			err := cmd.Wait()
			if kill != nil {
				kill.Stop()
			}
			if strings.Contains(log.String(), "going on from s3://bucket/"+out) {
				resumed++
			}
			wholeMarkers(t, s, out)
			if err == nil {
				break
			}
			stops++
			if code := cmd.ProcessState.ExitCode(); code != cli.ExitStopped && code != -1 {
				t.Fatalf("seed %d: %v\n%s", seed, err, &log)
			}
		}
		copied := filepath.Join(t.TempDir(), "copied")
		if err := os.CopyFS(copied, os.DirFS(filepath.Join(s.Dir, out))); err != nil {
			t.Fatal(err)
		}
		os.RemoveAll(filepath.Join(copied, "_lock"))
		got := results(t, copied)
		comparable(t, got)
		compare(t, fmt.Sprintf("seed %d, %s", seed, out), got, want)
	}
	t.Logf("%d stops, %d times gone on from a checkpoint in the bucket; requests by fault: %v", stops, resumed, p.Done())
	if stops == 0 {
		t.Error("no run was stopped")
	}
}

// comparable removes the way from the audit to the tokens, which differs.
func comparable(t *testing.T, files map[string]string) {
	t.Helper()
	name := path.Join(train.AuditName, parquet.ManifestName)
	var m map[string]any
	if err := json.Unmarshal([]byte(files[name]), &m); err != nil {
		t.Fatal(err)
	}
	delete(m, "tokens")
	data, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	files[name] = string(data)
}

// wholeMarkers checks that every checkpoint with a manifest is what it says, and a
// run with a record has a model and an audit.
func wholeMarkers(t *testing.T, s *s3test.Server, out string) {
	t.Helper()
	objects, err := s.Objects(out)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for name, data := range objects {
		if strings.HasPrefix(name, train.CheckpointsName+"/") && path.Base(name) == "manifest.json" {
			var m struct {
				Files []struct {
					Name   string
					SHA256 string
				}
			}
			if err := json.Unmarshal([]byte(data), &m); err != nil || len(m.Files) < 4 {
				t.Errorf("%s: %v, %d files", name, err, len(m.Files))
			}
			for _, f := range m.Files {
				if got := fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(objects[path.Join(path.Dir(name), f.Name)]))); got != f.SHA256 {
					t.Errorf("%s is there, and %s is not what it says", name, f.Name)
				}
			}
		}
	}
	if _, ok := objects[train.RecordName]; ok {
		for _, name := range []string{"model/model.safetensors", "model/config.json", "audit/_manifest.json", "summary.json"} {
			if _, ok := objects[name]; !ok {
				t.Errorf("the run is recorded, and %s is not there", name)
			}
		}
	}
}

// What the trained model is exported to, and its audit, are beside it.
func TestBucketExport(t *testing.T) {
	s := s3test.Start(t)
	t.Setenv("TMPDIR", t.TempDir())
	tokens := corpus(t)
	do := func(args ...string) string {
		t.Helper()
		cmd := process(args...)
		cmd.Env = append(os.Environ(), s3test.Env(s.Endpoint)...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return string(out)
	}
	for _, out := range []string{s3test.URL("run"), filepath.Join(t.TempDir(), "run")} {
		do("--model", "../../model/testdata/llama", "--tokens", tokens, "--out", out, "--loss", "sft", "--steps", "2", "--export", "gguf")
		if !strings.Contains(out, "://") {
			objects, err := s.Objects("run")
			if err != nil {
				t.Fatal(err)
			}
			if data, err := os.ReadFile(filepath.Join(out, "model.gguf")); err != nil || objects["model.gguf"] != string(data) {
				t.Errorf("the export in the bucket is not that in the folder: %v", err)
			}
			a, b := do("audit", out, "--json"), do("audit", s3test.URL("run"), "--tokens", tokens, "--json")
			if strip(a) != strip(b) {
				t.Errorf("audit of a folder\n%s\nof a bucket\n%s", a, b)
			}
		}
	}
	if left, _ := filepath.Glob(filepath.Join(os.Getenv("TMPDIR"), "*")); len(left) > 0 {
		t.Errorf("left in TMPDIR: %v", left)
	}
}

// A run with adapters leaves in a bucket what it leaves in a folder, merged models
// and the best adapter among it, and an adapter in a bucket is merged into a folder
// in one, which is then not written over.
func TestBucketMerge(t *testing.T) {
	s := s3test.Start(t)
	t.Setenv("TMPDIR", t.TempDir())
	tokens, model := corpus(t), "../../model/testdata/llama"
	do := func(args ...string) (string, error) {
		cmd := process(args...)
		cmd.Env = append(os.Environ(), s3test.Env(s.Endpoint)...)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	folder := filepath.Join(t.TempDir(), "run")
	for _, args := range [][]string{
		{"--model", model, "--tokens", tokens, "--out", folder, "--loss", "sft", "--steps", "2", "--lora", "2", "--merge", "--eval", "held=" + tokens, "--best", "held"},
		{"--model", model, "--tokens", tokens, "--out", s3test.URL("run"), "--loss", "sft", "--steps", "2", "--lora", "2", "--merge", "--eval", "held=" + tokens, "--best", "held"},
		{"export", "--model", model, "--adapter", s3test.URL("run/adapter"), "--out", s3test.URL("again")},
	} {
		if out, err := do(args...); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	run, err := s.Objects("run")
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.Objects("again")
	if err != nil {
		t.Fatal(err)
	}
	files := results(t, folder)
	for _, name := range []string{"model/model.safetensors", "model/config.json", "adapter/adapter_model.safetensors", "best/model.safetensors", "best/config.json",
		"best/best.json", "best/adapter/adapter_model.safetensors", "best/adapter/adapter_config.json", "summary.json"} {
		if want, ok := files[name]; !ok || run[name] != want {
			t.Errorf("%s differs in the bucket, or is not there", name)
		}
	}
	for name, want := range files {
		if name, ok := strings.CutPrefix(name, "model/"); ok && again[name] != want {
			t.Errorf("%s of the export differs from the run's", name)
		}
	}
	if out, err := do("export", "--model", model, "--out", s3test.URL("again")); err == nil || !strings.Contains(out, "holds a model already") {
		t.Errorf("%v: %s", err, out)
	}
	if left, _ := filepath.Glob(filepath.Join(os.Getenv("TMPDIR"), "*")); len(left) > 0 {
		t.Errorf("left in TMPDIR: %v", left)
	}
}

// strip leaves of a report what does not say where things lie.
func strip(s string) string {
	var kept []string
	for line := range strings.Lines(s) {
		if !strings.Contains(line, "/") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}
