package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestKilled kills the program at random moments, as kill -9 does, runs it again
// until it is done, and compares with a run that nothing disturbed. EAFT_STRESS
// is how long that goes on, such as 5m; without it, two rounds of each kind.
func TestKilled(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	in := filepath.Join(t.TempDir(), "in.jsonl")
	var lines bytes.Buffer
	for i := range 1500 {
		fmt.Fprintf(&lines, `{"messages":[{"role":"user","content":"Tell me of %d"},{"role":"assistant","content":"%s"}]}`+"\n", i%1200, strings.Repeat(fmt.Sprintf("It is %d. ", i%1200), 10))
	}
	lines.WriteString("{\"messages\":[]}\n")
	if err := os.WriteFile(in, lines.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	command := func(out string, options []string) *exec.Cmd {
		args := append([]string{"tokenize", "--model", "demo", "--shards", "5", "--out", out}, options...)
		return &exec.Cmd{Path: exe, Args: append(args, in)}
	}
	deadline := time.Now()
	if s := os.Getenv("EAFT_STRESS"); s != "" {
		d, err := time.ParseDuration(s)
		if err != nil {
			t.Fatalf("EAFT_STRESS: %v", err)
		}
		deadline = deadline.Add(d)
	}
	kinds := [][]string{{}, {"--shuffle", "3", "--split", "held-out=10%", "--dedup", "near=0.9", "--threads", "1"}}
	whole := make([]map[string]string, len(kinds))
	took := make([]time.Duration, len(kinds))
	for round := 0; round < 4 || time.Now().Before(deadline); round++ {
		k := round % len(kinds)
		if whole[k] == nil {
			dir := filepath.Join(t.TempDir(), "whole")
			start := time.Now()
			if out, err := command(dir, kinds[k]).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			whole[k], took[k] = files(t, dir), time.Since(start)
		}
		dir := filepath.Join(t.TempDir(), "killed")
		kills := 0
		for range 1 + rng.IntN(4) {
			cmd := command(dir, kinds[k])
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Duration(rng.Int64N(int64(took[k]))))
			cmd.Process.Kill()
			if cmd.Wait() != nil {
				kills++
			}
		}
		if out, err := command(dir, kinds[k]).CombinedOutput(); err != nil {
			t.Fatalf("after %d kills: %v\n%s", kills, err, out)
		}
		got := files(t, dir)
		for name, data := range whole[k] {
			if got[name] != data {
				t.Errorf("seed %d, round %d, after %d kills: %s differs", seed, round, kills, name)
			}
		}
		if len(got) != len(whole[k]) {
			t.Errorf("seed %d, round %d, after %d kills: %d files, want %d", seed, round, kills, len(got), len(whole[k]))
		}
		os.RemoveAll(dir)
	}
}

// files are the contents of all files below dir.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
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
	return out
}
