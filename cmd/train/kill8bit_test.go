package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"eaft/train"
)

// moments are the 8-bit codes in a checkpoint's optimizer, by the names of the
// weights' moments.
func moments(t *testing.T, path string) map[string][]byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	header := binary.LittleEndian.Uint64(data)
	var tensors map[string]struct {
		DType   string
		Shape   []int
		Offsets [2]int `json:"data_offsets"`
	}
	if err := json.Unmarshal(data[8:8+header], &tensors); err != nil {
		t.Fatal(err)
	}
	codes := map[string][]byte{}
	for name, x := range tensors {
		if x.DType == "U8" {
			codes[name] = data[8+int(header):][x.Offsets[0]:x.Offsets[1]]
		}
	}
	return codes
}

// TestKilledEightBit: with moments of 8 bits, of weights that are large enough to
// have them, a run that is killed or stopped behind a checkpoint goes on from it to
// the bytes of one that is not: its results, and masters, codes and scales of the
// checkpoints that follow.
func TestKilledEightBit(t *testing.T) {
	tokens := corpus(t)
	command := func(out string) (args []string) {
		return []string{"--model", "demo", "--tokens", tokens, "--out", out, "--loss", "eaft", "--lr", "1e-3", "--optimizer", "adamw8bit",
			"--steps", "6", "--batch-tokens", "300", "--save-every", "2", "--keep", "9"}
	}
	whole := filepath.Join(t.TempDir(), "whole")
	if out, err := process(command(whole)...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := results(t, whole)
	last := filepath.Join(train.CheckpointsName, "step-000004")
	codes := moments(t, filepath.Join(whole, last, "optimizer.safetensors"))
	for name, c := range codes {
		used := map[byte]bool{}
		for _, x := range c {
			used[x] = true
		}
		if len(c) < 4096 || len(used) < 16 {
			t.Errorf("%s: %d codes, %d of them differ", name, len(c), len(used))
		}
	}
	if len(codes) < 10 {
		t.Fatalf("only %d moments have 8 bits", len(codes))
	}
	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		resumed := false
		for try := 0; !resumed; try++ {
			if try == 10 {
				t.Fatalf("%v: no run was stopped in time", signal)
			}
			out := filepath.Join(t.TempDir(), "stopped")
			cmd := process(command(out)...)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()
			for running, sent := true, false; running; {
				if _, err := os.Stat(filepath.Join(out, train.CheckpointsName, "step-000002")); err == nil && !sent {
					cmd.Process.Signal(signal)
					sent = true
				}
				select {
				case <-ended:
					running = false
				case <-time.After(time.Millisecond):
				}
			}
			log, err := process(command(out)...).CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %v\n%s", signal, err, log)
			}
			resumed = strings.Contains(string(log), "going on from")
			compare(t, fmt.Sprint(signal), results(t, out), want)
			for _, name := range []string{"model.safetensors", "optimizer.safetensors"} {
				a, err := os.ReadFile(filepath.Join(whole, last, name))
				if err != nil {
					t.Fatal(err)
				}
				b, err := os.ReadFile(filepath.Join(out, last, name))
				if err != nil || !bytes.Equal(a, b) {
					t.Errorf("%v: %s differs from the undisturbed run's: %v", signal, filepath.Join(last, name), err)
				}
			}
		}
	}
}
