// Package lock keeps runs out of each other's way: by the system's locks on
// files of a folder that all of them see, and by claims, which need no more of a
// folder or bucket than that a file can be created once.
package lock

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"eaft/internal/cli"
	"eaft/internal/store"
)

// Held is the error of a lock that somebody else has.
type Held struct {
	Path  string
	Owner Owner // its zero value: not known
}

func (h *Held) Error() string { return h.Path + " is locked" }

// Taken is the error of a stage whose folder another run writes.
func Taken(dir string, by Owner) error {
	who := by.Name()
	if who == "" {
		who = "it has just begun"
	}
	return fmt.Errorf("%s: another run writes this folder (%s): wait until it has ended, or choose another --out", dir, who)
}

// FolderName is the file by which Folder locks.
const FolderName = ".lock"

// Folder locks a folder alone for the stage that writes it, which must be there, with
// errors for that stage's user.
func Folder(dir string) (*os.File, error) {
	f, err := File(filepath.Join(dir, FolderName), false)
	var held *Held
	switch {
	case errors.As(err, &held):
		return nil, Taken(dir, held.Owner)
	case err != nil:
		return nil, cli.Usagef("--out: %w", err)
	}
	return f, nil
}

// File locks the file path (flock(2)), alone or with others that share it, for as
// long as this process, or a child that was handed the file, holds it open: the
// lock ends with the last of them, however that ends, so that none is ever stale.
// Who holds it alone stands in it, for messages; it may remove the file when it ends.
// Another's lock is a *Held.
func File(path string, shared bool) (*os.File, error) {
	for {
		f, err := file(path, shared)
		if err != nil || store.HasName(f) {
			return f, err
		}
		f.Close() // who had it has removed it since it was opened
	}
}

func file(path string, shared bool) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	how := syscall.LOCK_EX
	if shared {
		how = syscall.LOCK_SH
	}
	switch err = store.Flock(f, how); {
	case errors.Is(err, syscall.EWOULDBLOCK):
		err = &Held{path, said(f)}
	case err != nil:
		err = fmt.Errorf("%s: the file system has no locks (%w); take a folder where flock works", path, err)
	case !shared:
		if err = f.Truncate(0); err == nil {
			_, err = f.WriteAt([]byte(self().String()+"\n"), 0)
		}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func said(f *os.File) Owner {
	data, _ := io.ReadAll(io.NewSectionReader(f, 0, 1<<10))
	return parseOwner(strings.TrimSpace(string(data)))
}

// Holder is who has the lock alone at this moment; nil: nobody.
func Holder(path string) *Owner {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	if store.Flock(f, syscall.LOCK_SH) == nil {
		return nil
	}
	o := said(f)
	return &o
}
