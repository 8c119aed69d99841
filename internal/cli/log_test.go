package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// Lines of text become records, in whatever pieces they come; JSON is passed on.
func TestLog(t *testing.T) {
	var out bytes.Buffer
	l := NewLog("score", &out)
	child := l.Stream("train")
	fmt.Fprint(child, "half")
	fmt.Fprint(l, "one\n\n  two  \r\nwarning: <three> & \xff\n")
	fmt.Fprint(child, " a line\n"+`{"msg":"of another","program":"x"}`+"\n{}x")
	p := NewProgress(l, "score", "rows", 10, 4)
	p.last = time.Time{}
	p.Add(2, "short ones")
	p.Say("kept")
	p.Done()
	if err := child.Close(); err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(out.String()) {
		var r map[string]any
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		got = append(got, fmt.Sprint(r["program"], " ", r["level"], " ", r["msg"]))
		if r["msg"] == "progress" && (r["stage"] != "score" || r["done"] != 6.0 || r["total"] != 10.0 || r["unit"] != "rows" || r["note"] != "short ones" || r["per_second"] == nil || r["eta_seconds"] == nil) {
			t.Errorf("progress is %s", line)
		}
	}
	want := []string{"score INFO one", "score INFO   two", "score WARN <three> & \uFFFD", "train INFO half a line", "x <nil> of another", "score INFO progress", "score INFO kept", "train INFO {}x"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// Lines of several streams at once stay whole.
func TestLogStreams(t *testing.T) {
	var out bytes.Buffer
	l := NewLog("a", &out)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			s := l.Stream("b")
			for i := range 500 {
				fmt.Fprintf(s, "{\"msg\":")
				fmt.Fprintf(s, "\"%d\"}\ntext\n", i)
			}
			s.Close()
		})
	}
	wg.Wait()
	n := 0
	for line := range strings.Lines(out.String()) {
		if n++; !json.Valid([]byte(line)) {
			t.Fatalf("%q", line)
		}
	}
	if n != 4000 {
		t.Errorf("%d lines", n)
	}
}

func TestAsksForJSON(t *testing.T) {
	for args, want := range map[string]bool{"a --log-format json": true, "--log-format=json a": true, "a": false, "--log-format text": false, "a -- --log-format=json": false, "a --log-format": false} {
		if asksForJSON(strings.Fields(args)) != want {
			t.Errorf("%s: not %v", args, want)
		}
	}
}
