package store

import (
	"fmt"
	"io/fs"
	"syscall"
	"time"
)

// identity is where a file lies and when anything of it changed last.
func identity(st fs.FileInfo) (place string, changed time.Time, ok bool) {
	s, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return "", time.Time{}, false
	}
	return fmt.Sprintf("%d/%d", s.Dev, s.Ino), time.Unix(s.Ctimespec.Unix()), true
}
