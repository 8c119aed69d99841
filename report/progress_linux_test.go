package report

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// terminal is a file that is one, and what was written there, when it is closed.
func terminal(t *testing.T) (f *os.File, said func() string) {
	t.Helper()
	pty, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no terminal to draw on: %v", err)
	}
	must(t, unix.IoctlSetPointerInt(int(pty.Fd()), unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(int(pty.Fd()), unix.TIOCGPTN)
	must(t, err)
	f, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	done := make(chan string)
	go func() {
		var b bytes.Buffer
		b.ReadFrom(pty) // fails when the other end is closed
		done <- b.String()
	}()
	return f, func() string {
		f.Close()
		defer pty.Close()
		return <-done
	}
}

// TestProgressCountsRows: the bar ends at the number of rows, however often each is
// looked at.
func TestProgressCountsRows(t *testing.T) {
	scores, _ := write(t, random(21), "trained")
	uses := map[string]func(o Options) error{
		"inspect": func(o Options) error { _, err := Build(t.Context(), o); return err },
		"diff":    func(o Options) error { _, err := BuildDiff(t.Context(), o, scores); return err },
		"export":  func(o Options) error { return Export(t.Context(), io.Discard, o, Where{}, "jsonl") },
		"filter": func(o Options) error {
			_, err := Filter(t.Context(), o, Where{}, MaskTokens, filepath.Join(t.TempDir(), "out"))
			return err
		},
	}
	for _, thresholds := range []string{"q=0.15", "p<=0.05,h<=0.1"} {
		for name, use := range uses {
			f, said := terminal(t)
			o := options(t, scores, thresholds)
			o.Log = f
			must(t, use(o))
			if out := said(); !strings.Contains(out, name+" 100%  21/21 rows") {
				t.Errorf("%s: the bar is %q", thresholds, out)
			}
		}
	}
}
