package cli

import "fmt"

// Say writes a line that stays, above the bar on a terminal.
func (p *Progress) Say(line string) {
	if p.tty {
		line = "\r\x1b[K" + line
	}
	fmt.Fprintln(p.w, line)
}
