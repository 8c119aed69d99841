package cli

import (
	"bytes"
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// Bars and colours are for terminals that know what to do with them.
func TestTerminal(t *testing.T) {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip(err)
	}
	defer master.Close()
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	file, err := os.Create(t.TempDir() + "/file")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, c := range []struct {
		term, noColor string
		bar, colours  bool
	}{{"xterm", "", true, true}, {"xterm", "1", true, false}, {"", "", true, true}, {"dumb", "", false, false}} {
		t.Setenv("TERM", c.term)
		t.Setenv("NO_COLOR", c.noColor)
		if bar, colours := NewProgress(tty, "x", "rows", 1, 0).tty, (IO{Out: tty}).Colours(); bar != c.bar || colours != c.colours {
			t.Errorf("%+v: %v, %v", c, bar, colours)
		}
		if Terminal(file) || Terminal(&bytes.Buffer{}) {
			t.Errorf("%+v: a file is a terminal", c)
		}
	}
}
