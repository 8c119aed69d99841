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
	block := func(isa, text string) string {
		begin, end := marks(isa)
		return begin + text + end
	}
	for _, c := range []struct{ page, isa, want string }{
		{"a\n" + block("amx", "old\n") + "b\n", "amx", "a\n" + block("amx", "new\n") + "b\n"},
		{"a\n" + block("amx", "old\n") + "b\n", "avx2", "a\n" + block("amx", "old\n") + "\n" + block("avx2", "new\n") + "b\n"},
		{"a\n" + block("amx", "old\n") + block("avx2", "old\n"), "amx", "a\n" + block("amx", "new\n") + block("avx2", "old\n")},
		{"a\n", "amx", ""},
		{"<!-- bench amx: begin, written by make bench -->\n", "amx", ""},
	} {
		if err := os.WriteFile(path, []byte(c.page), 0o666); err != nil {
			t.Fatal(err)
		}
		err := splice(path, c.isa, "new\n")
		data, readErr := os.ReadFile(path)
		if readErr != nil {
			t.Fatal(readErr)
		}
		switch {
		case c.want == "" && (err == nil || string(data) != c.page):
			t.Errorf("%q: a page without the marks is written: %q", c.page, data)
		case c.want != "" && (err != nil || string(data) != c.want):
			t.Errorf("%q: %v, %q; want %q", c.page, err, data, c.want)
		}
	}
}
