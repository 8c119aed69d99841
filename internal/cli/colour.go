package cli

import (
	"os"

	"golang.org/x/term"
)

// Colours reports whether results are for eyes: a terminal, and no NO_COLOR.
func (s IO) Colours() bool {
	f, ok := s.Out.(*os.File)
	return ok && os.Getenv("NO_COLOR") == "" && term.IsTerminal(int(f.Fd()))
}
