package train

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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

// The event file has what the metrics and the evaluations have, and is the same
// whether its lines came one by one or at a resumption.
func TestEvents(t *testing.T) {
	for sets, tags := range map[int]map[string]string{0: {}, 1: {"held": "eval/"}, 2: {"held": "eval/held_", "other": "eval/other_"}} {
		t.Run(fmt.Sprint(sets), func(t *testing.T) { events(t, tags) })
	}
}

// events tests a run whose held-out sets have tags that begin so.
func events(t *testing.T, tags map[string]string) {
	w := newWorld(t)
	for _, name := range slices.Sorted(maps.Keys(tags)) {
		w.o.Eval, w.o.EvalEvery = append(w.o.Eval, HeldOutSet{name, w.o.Tokens}), 2
	}
	left := 2
	if len(tags) > 0 {
		left = 7 // the base and some steps
	}
	if err := w.run(&countdown{Context: t.Context(), left: left}); cli.Code(err) != cli.ExitStopped {
		t.Fatal(err)
	}
	w.log.Reset()
	must(t, w.run(t.Context()))
	if !strings.Contains(w.log.String(), "going on from") {
		t.Fatalf("nothing to go on from: %s", w.log.String())
	}
	path := filepath.Join(w.o.Out, EventsName, eventsFileName)
	got, err := os.ReadFile(path)
	must(t, err)
	again := t.TempDir()
	e, err := openEvents(again, filepath.Join(w.o.Out, MetricsName), filepath.Join(w.o.Out, EvalName), len(tags))
	must(t, err)
	must(t, e.f.Close())
	want, err := os.ReadFile(filepath.Join(again, eventsFileName))
	must(t, err)
	if !bytes.Equal(got, want) {
		t.Error("the events are not those of the metrics and the evaluations")
	}
	var evaluations []map[string]any
	if len(tags) > 0 {
		must(t, eachLine(filepath.Join(w.o.Out, EvalName), func(fields map[string]any) { evaluations = append(evaluations, fields) }))
	}
	for _, e := range evaluations {
		for _, name := range []string{"loss", "accuracy", "base_agreement", "base_kl"} {
			tag := tags[e["name"].(string)] + name
			if !bytes.Contains(got, appendScalars(nil, tag, e[name])) {
				t.Errorf("no %s of %v at step %v", tag, e[name], e["step"])
			}
		}
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
		Scalars map[string][][3]float64 // step, value, time
	}
	must(t, json.Unmarshal(out, &read))
	metrics, err := os.ReadFile(filepath.Join(w.o.Out, MetricsName))
	must(t, err)
	lines := strings.Split(strings.TrimSpace(string(metrics)), "\n")
	at := map[float64]float64{} // time of each step
	for i, line := range lines {
		var m map[string]float64
		must(t, json.Unmarshal([]byte(line), &m))
		at[m["step"]] = m["time"]
		for _, name := range []string{"loss", "sft_loss", "mean_weight", "grad_norm", "lr", "tokens", "tokens_per_s"} {
			points := read.Scalars["train/"+name]
			if len(points) != len(lines) || points[i] != [3]float64{m["step"], float64(float32(m[name])), m["time"]} {
				t.Errorf("train/%s: %v, step %d of the metrics has %v at %v", name, points, i+1, m[name], m["time"])
			}
		}
	}
	at[0] = at[1]
	if n := len(read.Scalars); n != 7+4*len(tags) {
		t.Errorf("%d tags: %v", n, slices.Sorted(maps.Keys(read.Scalars)))
	}
	for _, prefix := range tags {
		if points := read.Scalars[prefix+"loss"]; len(points) != len(evaluations)/len(tags) || len(points) < 3 {
			t.Errorf("%sloss: %v", prefix, points)
		}
	}
	for i, e := range evaluations {
		step := e["step"].(float64)
		for _, name := range []string{"loss", "accuracy", "base_agreement", "base_kl"} {
			tag := tags[e["name"].(string)] + name
			points := read.Scalars[tag]
			if k := i / len(tags); k >= len(points) || points[k] != [3]float64{step, float64(float32(e[name].(float64))), at[step]} {
				t.Errorf("%s: %v, step %v of the evaluations has %v at %v", tag, points, step, e[name], at[step])
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
