package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"eaft/internal/cli"
	"eaft/parquet"
	"eaft/train"
)

// process starts train as a program of its own.
func process(args ...string) *exec.Cmd {
	exe, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return &exec.Cmd{Path: exe, Args: append([]string{"train"}, args...)}
}

// corpus writes a dataset that takes a run of the small Llama a second or so.
func corpus(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tokens")
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	w, err := parquet.CreateTokens(filepath.Join(dir, parquet.ShardName(0, 1)))
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	const rows = 200
	for i := range rows {
		r := parquet.TokensRow{ID: fmt.Sprint(i)}
		for j := range 10 + rng.IntN(50) {
			id := int32(1 + rng.IntN(60))
			r.InputIDs = append(r.InputIDs, id)
			if j < 4 {
				id = parquet.Ignore
			}
			r.Labels = append(r.Labels, id)
		}
		if err := w.Write(&r); err != nil {
			t.Fatal(err)
		}
	}
	info, err := w.Commit(parquet.Meta{Schema: parquet.SchemaTokens, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if err := parquet.WriteManifest(dir, &parquet.Manifest{Schema: parquet.SchemaTokens, Version: "test",
		Shards: []parquet.ShardInfo{info}, Ledger: parquet.Ledger{RowsIn: rows, RowsOut: rows}}); err != nil {
		t.Fatal(err)
	}
	return dir
}

// results are the files of a finished run but for its checkpoints and what
// TensorBoard reads, the metrics without the clock's fields.
func results(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(dir, path)
		switch {
		case err != nil:
			return err
		case d.IsDir() && (rel == train.CheckpointsName || rel == train.EventsName):
			return fs.SkipDir
		case d.IsDir():
			return nil
		}
		data, err := os.ReadFile(path)
		if rel == train.MetricsName {
			var kept bytes.Buffer
			for line := range bytes.Lines(data) {
				var m map[string]any
				if err := json.Unmarshal(line, &m); err != nil {
					return err
				}
				delete(m, "time")
				delete(m, "tokens_per_s")
				json.NewEncoder(&kept).Encode(m)
			}
			data = kept.Bytes()
		}
		out[rel] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func compare(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	for name, data := range want {
		if got[name] != data {
			t.Errorf("%s: %s differs from the undisturbed run's", what, name)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s: %s is left over", what, name)
		}
	}
}

// TestKilled kills a run at random moments, as kill -9 does, and lets others go
// on until it is done; and so with SIGTERM, which must end with 75 or, of a run
// that was just done, 0. Two moments of each, and more until a run has gone on
// from a checkpoint; with EAFT_STRESS set, fifty.
func TestKilled(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	moments := 2
	if os.Getenv("EAFT_STRESS") != "" {
		moments = 50
	}
	tokens := corpus(t)
	command := func(out string) *exec.Cmd {
		return process("--model", "../../model/testdata/llama", "--tokens", tokens, "--out", out, "--loss", "eaft", "--lr", "1e-2",
			"--epochs", "2", "--batch-tokens", "700", "--save-every", fmt.Sprint(1+rng.IntN(9)), "--threads", fmt.Sprint(1+rng.IntN(2)))
	}
	whole := filepath.Join(t.TempDir(), "whole")
	began := time.Now()
	if out, err := command(whole).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	took := time.Since(began)
	want := results(t, whole)
	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		stops, runs, resumed := 0, 0, 0
		for (stops < moments || resumed == 0) && !t.Failed() {
			runs++
			out := filepath.Join(t.TempDir(), "stopped")
			for range 1 + rng.IntN(3) {
				cmd := command(out)
				var log bytes.Buffer
				cmd.Stderr = &log
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				if signal == syscall.SIGTERM { // which the program must be up to hear
					for range 1000 {
						if who, _ := os.ReadFile(filepath.Join(out, ".lock")); strings.Contains(string(who), fmt.Sprintf(" %d ", cmd.Process.Pid)) {
							break
						}
						time.Sleep(time.Millisecond)
					}
				}
				time.Sleep(time.Duration(rng.Int64N(int64(took))))
				cmd.Process.Signal(signal)
				err := cmd.Wait()
				if err != nil {
					stops++
				}
				if code := cmd.ProcessState.ExitCode(); signal == syscall.SIGTERM && code != cli.ExitStopped && code != cli.ExitDone {
					t.Fatalf("seed %d: SIGTERM ends with %v\n%s", seed, err, &log)
				}
				if strings.Contains(log.String(), "going on from") {
					resumed++
				}
			}
			log, err := command(out).CombinedOutput()
			if err != nil {
				t.Fatalf("seed %d, %v: %v\n%s", seed, signal, err, log)
			}
			if strings.Contains(string(log), "going on from") {
				resumed++
			}
			compare(t, fmt.Sprintf("seed %d, %v, after %d stops", seed, signal, stops), results(t, out), want)
			os.RemoveAll(out)
		}
		t.Logf("%v: %d stops in %d folders of runs that take %v, %d times gone on from a checkpoint; every result is the undisturbed one's", signal, stops, runs, took.Round(time.Millisecond), resumed)
	}
}
