package cli

import (
	"io"
	"os"

	"golang.org/x/term"
)

// Terminal reports whether w is one that obeys: lines on it can be drawn anew, and have
// colours. TERM=dumb, as in editors' shells, is none of these.
func Terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(f.Fd()))
}

// Colours reports whether results are for eyes: a terminal, and no NO_COLOR.
func (s IO) Colours() bool { return os.Getenv("NO_COLOR") == "" && Terminal(s.Out) }
