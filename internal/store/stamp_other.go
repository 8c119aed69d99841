//go:build !linux && !darwin

package store

import (
	"io/fs"
	"time"
)

// identity is not known here: every file is read again.
func identity(fs.FileInfo) (place string, changed time.Time, ok bool) { return "", time.Time{}, false }
