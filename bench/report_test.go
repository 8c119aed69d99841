package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReport(t *testing.T) {
	mean := -1.5
	r := report{CPU: "A CPU", Cores: 4, Memory: 8 << 30, Threads: 2, Rounds: 3, Best: map[string]int{torchAll + ": " + scoreAll: 4096}, Versions: map[string]string{"eaft": "1", "ISA": "avx2"}}
	for round, rate := range []float64{300, 100, 200} {
		r.Runs = append(r.Runs,
			measurement{Work: scoreAll, Tool: ours, Round: round, Rate: rate, Memory: 5e8, MeanLogProb: &mean},
			measurement{Work: scoreAll, Tool: torchAll, Batch: 4096, Round: round, Rate: rate / 4, Memory: 1e9})
	}
	r.Runs = append(r.Runs, measurement{Work: scoreAll, Tool: torchAll, Batch: 1024, Rate: 1, Memory: 1})
	text := r.long()
	for _, want := range []string{"| score every position | 200, 500 MB | PyTorch + transformers | 50, 1000 MB | 4.0x the speed, 0.50x the memory |", "A CPU, 2 of 4 cores, 8 GiB of memory, ISA avx2; eaft 1",
		"| score every position | PyTorch + transformers | 1024 | 0 | 1 | 0 | 0.0 |  |", "-1.5000"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing:\n%s", want, text)
		}
	}
}

func TestSplice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(path, []byte("a\n"+begin+"old\n"+end+"b\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := splice(path, "new\n"); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "a\n"+begin+"new\n"+end+"b\n" {
		t.Errorf("%v: %q", err, data)
	}
	if err := os.WriteFile(path, []byte("a\n"+begin), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := splice(path, "new\n"); err == nil {
		t.Error("a page without the marks is written")
	}
}
