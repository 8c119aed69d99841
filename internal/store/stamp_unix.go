//go:build linux || darwin

package store

import (
	"fmt"
	"io/fs"
	"syscall"
	"time"
)

// identity is where a file lies and when anything of it changed last.
func identity(st fs.FileInfo) (place string, at time.Time, ok bool) {
	s, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return "", time.Time{}, false
	}
	when := changed(s)
	return fmt.Sprintf("%d/%d", s.Dev, s.Ino), time.Unix(when.Unix()), true
}
