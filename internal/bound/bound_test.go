package bound

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

var sink []byte

// What is too slow or too greedy fails, in a process of its own; the rest passes.
func TestInput(t *testing.T) {
	switch os.Getenv("EAFT_BOUND") {
	case "slow":
		Input(t, 3)
		select {}
	case "greedy":
		Input(t, 3)
		sink = make([]byte, fixed+4*perByte)
		return
	case "good":
		Input(t, 3)
		sink = make([]byte, 1<<20)
		return
	}
	for what, want := range map[string]string{"slow": "3 bytes took over 10 s", "greedy": "3 bytes allocated 512 MiB, more than 512", "good": ""} {
		if what == "slow" && testing.Short() {
			continue
		}
		c := exec.Command(os.Args[0], "-test.run=^TestInput$")
		c.Env = append(os.Environ(), "EAFT_BOUND="+what)
		out, err := c.CombinedOutput()
		if (err != nil) != (want != "") || !strings.Contains(string(out), want) {
			t.Errorf("%s: %v: %.400s", what, err, out)
		}
	}
}
