package train

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"eaft/internal/cli"
)

// The masked checksum of the check value of CRC-32C (RFC 3720, B.4, of
// "123456789": e3069283), rotated by 15 and shifted by a282ead8.
func TestMaskedCRC(t *testing.T) {
	if got := maskedCRC([]byte("123456789")); got != 0xc78ab0e5 {
		t.Errorf("%#x", got)
	}
}

// The event file has what the metrics have, and is the same whether its lines
// came one by one or at a resumption.
func TestEvents(t *testing.T) {
	w := newWorld(t)
	if err := w.run(&countdown{Context: t.Context(), left: 2}); cli.Code(err) != cli.ExitStopped {
		t.Fatal(err)
	}
	must(t, w.run(t.Context()))
	path := filepath.Join(w.o.Out, EventsName, eventsFileName)
	got, err := os.ReadFile(path)
	must(t, err)
	again := t.TempDir()
	e, err := openEvents(again, filepath.Join(w.o.Out, MetricsName))
	must(t, err)
	must(t, e.f.Close())
	want, err := os.ReadFile(filepath.Join(again, eventsFileName))
	must(t, err)
	if !bytes.Equal(got, want) {
		t.Error("the events are not those of the metrics")
	}

	exe := os.Getenv("EAFT_PYTHON")
	if exe == "" {
		t.Skip("set EAFT_PYTHON to a Python with tensorboard")
	}
	cmd := exec.Command(exe, "testdata/read_events.py", path)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	var read struct {
		Wall    []float64
		Scalars map[string][][2]float64
	}
	must(t, json.Unmarshal(out, &read))
	metrics, err := os.ReadFile(filepath.Join(w.o.Out, MetricsName))
	must(t, err)
	lines := strings.Split(strings.TrimSpace(string(metrics)), "\n")
	for i, line := range lines {
		var m map[string]float64
		must(t, json.Unmarshal([]byte(line), &m))
		if read.Wall[i+1] != m["time"] {
			t.Errorf("step %d at %v, the metrics say %v", i+1, read.Wall[i+1], m["time"])
		}
		for _, name := range []string{"loss", "sft_loss", "mean_weight", "grad_norm", "lr", "tokens", "tokens_per_s"} {
			points := read.Scalars["train/"+name]
			if len(points) != len(lines) || points[i] != [2]float64{m["step"], float64(float32(m[name]))} {
				t.Errorf("train/%s: %v, step %d of the metrics has %v", name, points, i+1, m[name])
			}
		}
	}
	// A flipped bit is seen by the reader's checksums.
	got[len(got)/2] ^= 1
	must(t, os.WriteFile(path, got, 0o666))
	if err := exec.Command(exe, "testdata/read_events.py", path).Run(); err == nil {
		t.Error("a damaged file is read")
	}
}
