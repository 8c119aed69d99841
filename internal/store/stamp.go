package store

import (
	"fmt"
	"os"
	"time"
)

// settled is how old the times of a file must be to say which content it has:
// older than what file systems cannot tell apart.
const settled = 2 * time.Second

// Stamp is a text that differs once the content of a file or object does, without
// reading it: of an object its version, of a file of this machine its size, its
// place on the disk and its times, of which that of the last change (ctime) cannot
// be set back. It is "" where that is not sure, as of a file that was changed just
// now. What is written through a memory map, or by a machine whose clock was set
// back, may escape it.
func Stamp(name string) (string, error) {
	if IsURL(name) {
		b, l, err := at(name)
		if err != nil {
			return "", err
		}
		a, err := attributes(b, l)
		if err != nil || a.ETag == "" {
			return "", err
		}
		return fmt.Sprintf("%s %d %d", a.ETag, a.Size, a.ModTime.UnixNano()), nil
	}
	f, err := os.Open(Local(name)) // a network's file system asks its server then
	if err != nil {
		return "", err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return "", err
	}
	place, changed, ok := identity(st)
	if !ok || time.Since(changed) < settled || time.Since(st.ModTime()) < settled {
		return "", nil
	}
	return fmt.Sprintf("%s %d %d %d", place, st.Size(), st.ModTime().UnixNano(), changed.UnixNano()), nil
}
